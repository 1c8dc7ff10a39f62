//! The client of a vendor's own API, for commands and for the reconciler: the gateway has none.
//!
//! In: a [`Call`]. Out: what the vendor answered. What is called and how an answer reads is the vendor's row; here are the
//! connection, its limits, and what is tried again.
//!
//! It logs nothing. No error has a credential in it, even where the vendor's own words repeat one.

mod error;
mod listing;
mod reason;
#[cfg(test)]
mod tests;

use std::{
    collections::HashSet,
    fmt, fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderValue, Method, Request, header};
use jiff::Timestamp;
use serde_json::Value;
use ureq::{
    Agent, Proxy,
    tls::{Certificate as Authority, PemItem, RootCerts, TlsConfig, parse_pem},
};

pub use self::{error::ApiError, listing::Listing, reason::Reason};
use crate::{
    apis::{
        Api, Call, Certificate, Delivery, Endpoint, Happened, Login, Part, Shape, Wanted, check_certificate, message,
        refuses,
    },
    config::{ApiConfig, SourceConfig, is_loopback},
    secrets::Secret,
};

/// Most bytes of an answer; a list of a hundred endpoints has some 100 KiB.
const MOST_ANSWER: u64 = 8 << 20;
/// Most parts of a list; none is near it.
const MOST_PAGES: usize = 100;
/// How often a call is made that may be made again.
const ATTEMPTS: u32 = 4;
/// The first pause between two attempts; each one after it is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// Why there is no client: a credential, an authority, a table that is missing. In words for the operator.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ClientError(String);

/// One account at a vendor.
pub struct Client {
    agent: Agent,
    api: &'static Api,
    base: String,
    headers: HeaderMap,
    credentials: Vec<String>,
    deadline: Option<Instant>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("base", &self.base).finish_non_exhaustive()
    }
}

impl Client {
    /// Reads the credentials; nothing is sent.
    ///
    /// # Errors
    /// A file that cannot be read; a source without `[sources.api]`.
    pub fn new(source: &SourceConfig) -> Result<Self, ClientError> {
        let name = &source.name;
        let (config, api) =
            source.api().ok_or_else(|| ClientError(format!("source {name} has no [sources.api] table")))?;
        let key = credential(&config.key_file)?;
        let client_id = config.client_id_file.as_deref().map(credential).transpose()?;
        let mut headers = login(api.login, &key, client_id.as_deref())
            .ok_or_else(|| ClientError(format!("source {name}: a credential has characters that no header takes")))?;
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(concat!("hookbus/", env!("CARGO_PKG_VERSION"))));
        if let (Some(name), Some(environment)) = (api.environment_header, config.environment) {
            headers.insert(name, HeaderValue::from_static(environment));
        }
        // As they are, and as they were sent.
        let sent = format!("{key}:");
        let credentials = [Some(STANDARD.encode(sent)), Some(key), client_id].into_iter().flatten().collect();
        let base = config.base(api);
        Ok(Client { agent: agent(config, &base)?, api, base, headers, credentials, deadline: None })
    }

    /// Begins no call after this moment; one that is under way then may have its whole time.
    pub fn until(self, deadline: Instant) -> Self {
        Client { deadline: Some(deadline), ..self }
    }

    /// The base URL.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Every endpoint.
    pub fn endpoints(&self) -> Result<Vec<Endpoint>, ApiError> {
        let (mut endpoints, mut ids) = (Vec::new(), HashSet::new());
        let mut call = self.api.list();
        for _ in 0..MOST_PAGES {
            let page = self.api.read_list(&self.json(&call)?).map_err(|shape| self.odd(&call, shape))?;
            // A vendor that gives the same part again would go on for ever.
            let is_new = page.endpoints.iter().all(|new| !ids.contains(&new.id));
            ids.extend(page.endpoints.iter().map(|new| new.id.clone()));
            endpoints.extend(page.endpoints);
            match page.next {
                None => return Ok(endpoints),
                Some(next) if is_new => call = next,
                Some(_) => break,
            }
        }
        Err(self.odd(&call, Shape { path: "/has_more".into(), wanted: "a list that ends" }))
    }

    /// Makes an endpoint: its id, and its secret.
    ///
    /// # Errors
    /// Outside: it is not known to be there. Inside: it is there and its secret was not in the answer.
    pub fn create(&self, wanted: &Wanted) -> Result<(String, Result<Secret, ApiError>), ApiError> {
        let call = self.api.create(wanted);
        let (id, secret) = self.api.read_created(&self.json(&call)?);
        let odd = |shape| self.odd(&call, shape);
        let empty = || Shape { path: "/secret".into(), wanted: "a text" };
        let secret = secret.and_then(|text| Secret::from_text(text.into_bytes()).map_err(|_| empty()));
        Ok((id.map_err(odd)?, secret.map_err(odd)))
    }

    /// Changes an endpoint.
    pub fn update(&self, id: &str, wanted: &Wanted, url: bool, events: bool) -> Result<(), ApiError> {
        self.call(&self.api.update(id, wanted, url, events)).map(drop)
    }

    /// Deletes an endpoint; one that is not there is deleted.
    pub fn delete(&self, id: &str) -> Result<(), ApiError> {
        match self.call(&self.api.delete(id)) {
            Err(error) if error.status() == Some(404) => Ok(()),
            other => other.map(drop),
        }
    }

    /// Makes a call whose answer says nothing.
    pub fn tell(&self, call: &Call) -> Result<(), ApiError> {
        self.call(call).map(drop)
    }

    /// The deliveries of an endpoint, by their call.
    pub fn deliveries(&self, call: &Call) -> Result<Part<Delivery>, ApiError> {
        self.api.read_deliveries(&self.json(call)?).map_err(|shape| self.odd(call, shape))
    }

    /// A certificate, by its call, as the vendor wrote it. It is asked for once: when to ask again is the caller's matter.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub fn certificate(&self, call: &Call, id: &str) -> Result<Vec<u8>, ApiError> {
        let body = self.once(call)?;
        check_certificate(&self.parse(call, &body)?, id).map_err(|shape| self.odd(call, shape))?;
        Ok(body)
    }

    /// The newest certificates, about `most` of them; none where no document says how. `keep`: with the vendor's whole objects.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub fn certificates(&self, most: usize, keep: bool) -> Result<Listing<Certificate>, ApiError> {
        let fetch = |after: Option<&str>, is_first| {
            self.part(self.api.certificates(after), is_first, |answer| self.api.read_certificates(answer, keep))
        };
        listing::gather(most, None, fetch, |item| (Some(item.id.clone()), Some(item.created)))
    }

    /// What has happened since then, the newest first and about `most` of it; none where no document says how. `keep`: with the
    /// vendor's whole objects.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub fn happened(&self, since: Timestamp, most: usize, keep: bool) -> Result<Listing<Happened>, ApiError> {
        let fetch = |after: Option<&str>, is_first| {
            self.part(self.api.happened(after), is_first, |answer| self.api.read_happened(answer, keep))
        };
        listing::gather(most, Some(since), fetch, |item| (item.id.clone(), item.created))
    }

    /// A part of a list. A first one of which nothing is readable is of another shape altogether.
    fn part<T>(
        &self,
        call: Option<Call>,
        is_first: bool,
        read: impl Fn(&Value) -> Result<Part<T>, Shape>,
    ) -> listing::Fetched<T> {
        let Some(call) = call else { return Ok(None) };
        let body = self.call(&call)?;
        let part = read(&self.parse(&call, &body)?);
        let part = part.and_then(|part| if is_first { part.readable() } else { Ok(part) });
        Ok(Some((part.map_err(|shape| self.odd(&call, shape))?, body.len())))
    }

    fn json(&self, call: &Call) -> Result<Value, ApiError> {
        self.parse(call, &self.call(call)?)
    }

    fn parse(&self, call: &Call, body: &[u8]) -> Result<Value, ApiError> {
        serde_json::from_slice(body).map_err(|_| self.odd(call, Shape { path: String::new(), wanted: "JSON" }))
    }

    fn odd(&self, call: &Call, shape: Shape) -> ApiError {
        ApiError::Odd { call: self.named(call), shape }
    }

    /// A call in words, without its body.
    fn named(&self, call: &Call) -> String {
        format!("{} {}{}", call.method, self.base, call.path)
    }

    /// Makes a call, again where that can do no harm and may help.
    fn call(&self, call: &Call) -> Result<Vec<u8>, ApiError> {
        let mut pause = FIRST_PAUSE;
        let mut attempt = 1;
        loop {
            let error = match self.once(call) {
                Err(error) if call.method != Method::POST && attempt < ATTEMPTS => error,
                result => return result,
            };
            let is_over = |wait: &Duration| self.deadline.is_some_and(|deadline| deadline <= Instant::now() + *wait);
            let wait = error.worth_waiting(jittered(pause));
            let Some(wait) = wait.filter(|wait| !is_over(wait)) else { return Err(error) };
            thread::sleep(wait);
            (pause, attempt) = (pause * 2, attempt + 1);
        }
    }

    fn once(&self, call: &Call) -> Result<Vec<u8>, ApiError> {
        let no_answer = |error: &dyn std::fmt::Display| ApiError::NoAnswer {
            call: self.named(call),
            error: self.without_credentials(&error.to_string()),
        };
        if self.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return Err(no_answer(&"the time for all calls is over"));
        }
        let mut request = Request::builder().method(call.method.clone()).uri(format!("{}{}", self.base, call.path));
        if let Some(headers) = request.headers_mut() {
            headers.clone_from(&self.headers);
            if let Some((media_type, _)) = &call.body {
                headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
            }
        }
        let response = match &call.body {
            Some((_, body)) => {
                request.body(body.as_str()).map_err(ureq::Error::from).and_then(|request| self.agent.run(request))
            }
            None => request.body(()).map_err(ureq::Error::from).and_then(|request| self.agent.run(request)),
        };
        let mut response = response.map_err(|error| no_answer(&error))?;
        let body = response.body_mut().with_config().limit(MOST_ANSWER).read_to_vec();
        let status = response.status();
        let answer: Option<Value> = body.as_ref().ok().and_then(|body| serde_json::from_slice(body).ok());
        if status.is_success() && !answer.as_ref().is_some_and(refuses) {
            return body.map_err(|error| match error {
                ureq::Error::BodyExceedsLimit(_) => {
                    self.odd(call, Shape { path: String::new(), wanted: "within 8 MiB" })
                }
                error => no_answer(&error),
            });
        }
        let said = answer.as_ref().and_then(message).map(|text| self.without_credentials(text));
        let retry_after = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
        let retry_after = retry_after.and_then(error::retry_after);
        Err(ApiError::Refused { call: self.named(call), status: status.as_u16(), said, retry_after })
    }

    /// A vendor may repeat what it was sent.
    fn without_credentials(&self, text: &str) -> String {
        self.credentials.iter().fold(text.to_owned(), |text, credential| text.replace(credential, "***"))
    }
}

/// A pause so that several callers do not go in step: from half of it to one and a half.
pub fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(0.5 + fastrand::f64())
}

fn agent(config: &ApiConfig, base: &str) -> Result<Agent, ClientError> {
    let is_local = base.parse::<http::Uri>().is_ok_and(|uri| uri.host().is_some_and(is_loopback));
    let tls = TlsConfig::builder().root_certs(RootCerts::from(authorities(config.ca_file.as_deref())?.into_iter()));
    let agent = Agent::config_builder()
        .timeout_global(Some(config.timeout))
        .http_status_as_error(false)
        // Neither a redirect nor a proxy may carry a credential to where the operator did not send it.
        .max_redirects(0)
        .proxy(if is_local { None } else { Proxy::try_from_env() })
        .tls_config(tls.build());
    Ok(agent.build().into())
}

/// The system's authorities, and those of a file.
fn authorities(file: Option<&Path>) -> Result<Vec<Authority<'static>>, ClientError> {
    let system = rustls_native_certs::load_native_certs().certs;
    let mut certificates: Vec<_> = system.iter().map(|der| Authority::from_der(der).to_owned()).collect();
    if let Some(file) = file {
        let at = |problem: String| ClientError(format!("ca_file {}: {problem}", file.display()));
        let pem = fs::read(file).map_err(|error| at(error.to_string()))?;
        let before = certificates.len();
        for item in parse_pem(&pem) {
            if let PemItem::Certificate(certificate) = item.map_err(|error| at(error.to_string()))? {
                certificates.push(certificate);
            }
        }
        if certificates.len() == before {
            return Err(at("has no certificate".into()));
        }
    }
    Ok(certificates)
}

fn login(login: Login, key: &str, client_id: Option<&str>) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    let mut add = |name: &'static str, value: &str| {
        let mut value = HeaderValue::from_str(value).ok()?;
        value.set_sensitive(true);
        headers.insert(name, value);
        Some(())
    };
    match login {
        Login::Basic => {
            add("authorization", &format!("Basic {}", STANDARD.encode(format!("{key}:"))))?;
        }
        Login::Headers { id, secret } => {
            add(id, client_id?)?;
            add(secret, key)?;
        }
    }
    Some(headers)
}

fn credential(file: &Path) -> Result<String, ClientError> {
    let problem = |problem: String| ClientError(format!("credential file {} {problem}", file.display()));
    let secret = Secret::read(file).map_err(|fault| problem(fault.to_string()))?;
    let text = std::str::from_utf8(secret.expose()).map_err(|_| problem("is not text".into()))?;
    Ok(text.trim().to_owned())
}
