//! Posts a signed webhook as its vendor does: for `trigger` and `forward`.

use std::{io, time::Duration};

use jiff::Timestamp;

use crate::{commands::failure::Failure, secrets::Secret, vendors::Vendor, verify::sign};

/// A gateway answers within 8 s; the vendors wait at least 10 s.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Longest wait for a connection: a packet filter may drop what it does not know yet.
const CONNECT: Duration = Duration::from_secs(5);
/// Most characters of an answer's body that are shown.
const SHOWN: usize = 200;

/// The sender.
#[derive(Debug)]
pub(super) struct Poster(ureq::Agent);

/// What was answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// The start of its body, escaped.
    pub(super) text: String,
}

impl Poster {
    pub(super) fn new() -> Self {
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            .timeout_connect(Some(CONNECT))
            .http_status_as_error(false)
            // A sender follows no redirect with its body, and a proxy variable must not carry secrets elsewhere.
            .max_redirects(0)
            .proxy(None)
            .build();
        Poster(agent.into())
    }

    /// Signs the body now, and posts it.
    ///
    /// # Errors
    /// No answer.
    pub(super) fn post(&self, url: &str, vendor: Vendor, secret: &Secret, body: &[u8]) -> Result<Answer, Failure> {
        let mut request = self.0.post(url).header("content-type", "application/json");
        request = request.header("user-agent", concat!("hookbus/", env!("CARGO_PKG_VERSION")));
        for (name, value) in sign::headers(vendor, secret, Timestamp::now().as_second(), body) {
            request = request.header(name, value);
        }
        let mut response = request.send(body).map_err(Failure::at(url))?;
        let text = response.body_mut().read_to_string().unwrap_or_default();
        let text = text.chars().take(SHOWN).collect::<String>().escape_debug().to_string();
        Ok(Answer { status: response.status().as_u16(), text })
    }
}

/// Whether a post failed before anything was sent: no name, no connection.
pub(super) fn is_unreached(failure: &Failure) -> bool {
    let Failure::At { source, .. } = failure else { return false };
    match source.downcast_ref() {
        Some(ureq::Error::Io(error)) => error.kind() == io::ErrorKind::ConnectionRefused,
        Some(ureq::Error::HostNotFound | ureq::Error::ConnectionFailed) => true,
        Some(ureq::Error::Timeout(timeout)) => *timeout == ureq::Timeout::Connect,
        _ => false,
    }
}
