//! What an API is, and the calls that it takes.
//!
//! In: what an operator wants of an endpoint. Out: a [`Call`]; nothing is sent.

use std::{collections::BTreeSet, time::Duration};

use http::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};

use crate::vendors::Entry;

/// What a path or a form has without an escape.
pub(super) const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// All that is particular to a vendor's API. Each row says what of it is documented and what is assumed.
#[derive(Debug)]
pub struct Api {
    /// Its base URL.
    pub base_url: &'static str,
    /// How a caller proves who it is.
    pub login: Login,
    /// The header that chooses between `production` and `sandbox`.
    pub environment_header: Option<&'static str>,
    /// The path of all endpoints.
    pub endpoints: &'static str,
    /// The path of all certificates, where it lists them.
    pub certificates: Option<&'static str>,
    /// The path of what has happened, where it lists that.
    pub happened: Option<&'static str>,
    /// How a body is written.
    pub body: Encoding,
    /// JSON Pointer to the endpoint in the answer to its creation; the secret stands at `/secret`.
    pub created: &'static str,
    /// JSON Pointers to the list in an answer that lists endpoints, the first that is one.
    pub listed: &'static [&'static str],
    /// The words of an endpoint's `status`, where it has one.
    pub status: Option<Status>,
    /// Whether it can send a test event, and lists the deliveries of an endpoint.
    pub tests_and_lists_deliveries: bool,
    /// How long it tries a delivery again.
    pub retries: Duration,
    /// The forms whose events its endpoints can ask for.
    pub forms: &'static [&'static str],
    /// Events of these forms that no endpoint asks for.
    pub never: &'static [&'static str],
}

/// How a caller proves who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Login {
    /// HTTP Basic: the key is the user, and the password is empty.
    Basic,
    /// Two headers: the client's id, and its secret, which is the key.
    Headers {
        /// The header of the id.
        id: &'static str,
        /// The header of the secret.
        secret: &'static str,
    },
}

/// How a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// As an HTML form, a list as `events[]=…` repeated.
    Form,
    /// As JSON.
    Json,
}

/// The words of an endpoint's `status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// It gets events.
    pub on: &'static str,
    /// It gets none.
    pub off: &'static str,
}

/// One request to the API, below its base URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The method. A `POST` is never repeated: nothing says that the second would not do it twice.
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// The body and its media type.
    pub body: Option<(&'static str, String)>,
}

/// What an operator wants of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Where the vendor posts to.
    pub url: String,
    /// The events that it posts.
    pub events: BTreeSet<String>,
    /// A text for people.
    pub description: Option<String>,
}

impl Api {
    /// The events that one endpoint can ask for.
    pub fn all_events(&self, catalogue: &[Entry]) -> BTreeSet<String> {
        let entries = catalogue.iter().filter(|entry| self.forms.contains(&entry.form.name));
        entries.map(|entry| entry.event).filter(|event| !self.never.contains(event)).map(Into::into).collect()
    }

    /// Lists every endpoint.
    pub fn list(&self) -> Call {
        self.call(Method::GET, self.endpoints.into())
    }

    /// Makes an endpoint.
    pub fn create(&self, wanted: &Wanted) -> Call {
        let description = wanted.description.as_deref();
        self.with_body(Method::POST, self.endpoints.into(), Some(&wanted.url), Some(&wanted.events), description)
    }

    /// Changes what an endpoint gets, and where. A form names both, as the documents show it; JSON only what changes.
    pub fn update(&self, id: &str, wanted: &Wanted, url: bool, events: bool) -> Call {
        let whole = self.body == Encoding::Form;
        let url = (whole || url).then_some(wanted.url.as_str());
        self.with_body(Method::PUT, self.at(id), url, (whole || events).then_some(&wanted.events), None)
    }

    /// Switches an endpoint on or off; `None` where no document says how.
    pub fn switch(&self, id: &str, on: bool) -> Option<Call> {
        let status = self.status?;
        let body = json!({"status": if on { status.on } else { status.off }}).to_string();
        Some(Call { body: Some((JSON, body)), ..self.call(Method::PUT, self.at(id)) })
    }

    /// Deletes an endpoint.
    pub fn delete(&self, id: &str) -> Call {
        self.call(Method::DELETE, self.at(id))
    }

    /// Sends a test event to an endpoint; `None` where no document says how.
    pub fn test(&self, id: &str) -> Option<Call> {
        self.tests_and_lists_deliveries.then(|| self.call(Method::POST, format!("{}/test", self.at(id))))
    }

    /// Lists the deliveries of an endpoint; `None` where no document says how.
    pub fn deliveries(&self, id: &str) -> Option<Call> {
        self.tests_and_lists_deliveries.then(|| self.call(Method::GET, format!("{}/deliveries", self.at(id))))
    }

    fn at(&self, id: &str) -> String {
        format!("{}/{}", self.endpoints, utf8_percent_encode(id, PLAIN))
    }

    pub(super) fn call(&self, method: Method, path: String) -> Call {
        Call { method, path, body: None }
    }

    fn with_body(
        &self,
        method: Method,
        path: String,
        url: Option<&str>,
        events: Option<&BTreeSet<String>>,
        description: Option<&str>,
    ) -> Call {
        let texts = [("url", url), ("description", description)];
        let texts = texts.into_iter().filter_map(|(name, text)| Some((name, text?)));
        let body = match self.body {
            Encoding::Form => {
                let events = events.into_iter().flatten().map(|event| ("events[]", event.as_str()));
                let escape = |text| utf8_percent_encode(text, PLAIN);
                let pairs = texts.chain(events).map(|(name, text)| format!("{}={}", escape(name), escape(text)));
                ("application/x-www-form-urlencoded", pairs.collect::<Vec<_>>().join("&"))
            }
            Encoding::Json => {
                let mut members: Map<String, Value> = texts.map(|(name, text)| (name.into(), text.into())).collect();
                members.extend(events.map(|events| ("events".into(), json!(events))));
                (JSON, Value::Object(members).to_string())
            }
        };
        Call { body: Some(body), ..self.call(method, path) }
    }
}

const JSON: &str = "application/json";
