//! Why no broker answers, by broker.
//!
//! In: librdkafka's reasons, as `sasl_ssl://host:9092/bootstrap: Connect to ipv4#10.0.0.1:9092 failed: Connection refused (after
//! 0ms in state CONNECT, 3 identical error(s) suppressed)`. Out: `host:9092: Connection refused`, the same text for as long as
//! the cause is the same. Addresses and times change with each attempt, so they are left out.

use std::{
    collections::BTreeMap,
    fmt::{self, Display},
};

/// librdkafka's words before OpenSSL's, which it sometimes leaves out.
const HANDSHAKE: &str = "SSL handshake failed: ";
/// How OpenSSL's begin.
const OPENSSL: &str = "error:";

/// The last cause of each broker.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Causes(BTreeMap<String, String>);

impl Causes {
    /// Takes note of a reason; one that names no broker stands for all.
    pub(super) fn note(&mut self, reason: &str) {
        let (broker, cause) = parse(reason);
        let tls = cause.strip_prefix(HANDSHAKE).or(Some(cause).filter(|cause| cause.starts_with(OPENSSL)));
        let cause = tls.map_or_else(|| cause.to_owned(), |cause| format!("TLS handshake failed: {cause}"));
        self.0.insert(broker.to_owned(), cause);
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A broker answers: what was is over.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }
}

impl Display for Causes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (broker, cause)) in self.0.iter().enumerate() {
            let (between, colon) = (if number > 0 { "; " } else { "" }, if broker.is_empty() { "" } else { ": " });
            write!(f, "{between}{broker}{colon}{cause}")?;
        }
        Ok(())
    }
}

/// The broker and the cause. A broker has its number or `bootstrap` behind a slash, and its protocol in front unless that is
/// plain.
fn parse(reason: &str) -> (&str, &str) {
    let cause = reason.rsplit_once(" (after ").map_or(reason, |(cause, _)| cause);
    let named = cause.split_once(": ").and_then(|(name, cause)| Some((name.rsplit_once('/')?.0, cause)));
    let Some((broker, cause)) = named else { return ("", cause) };
    let broker = broker.split_once("://").map_or(broker, |(_, address)| address);
    // A name has several addresses, which are tried in turn.
    let tried = cause.strip_prefix("Connect to ").and_then(|rest| rest.split_once(" failed: "));
    (broker, tried.map_or(cause, |(_, cause)| cause))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_that_meet_the_same_are_one_cause() {
        for (reasons, expected) in [
            (
                &[
                    "sasl_ssl://localhost:9092/bootstrap: Connect to ipv6#[::1]:9092 failed: Connection refused (after 0ms in state CONNECT)",
                    "sasl_ssl://localhost:9092/1: Connect to ipv4#127.0.0.1:9092 failed: Connection refused (after 3ms in state CONNECT, 3 identical error(s) suppressed)",
                ][..],
                "localhost:9092: Connection refused",
            ),
            (
                &[
                    "b:1/bootstrap: Failed to resolve 'b:1': Name or service not known (after 5ms in state CONNECT)",
                    "a:1/2: Disconnected",
                ],
                "a:1: Disconnected; b:1: Failed to resolve 'b:1': Name or service not known",
            ),
            (
                &[
                    "a:1/0: SSL handshake failed: verify failed (install ca-certificates package) (after 9ms in state SSL_HANDSHAKE)",
                ],
                "a:1: TLS handshake failed: verify failed (install ca-certificates package)",
            ),
            (
                &[
                    "ssl://a:1/bootstrap: error:0A00010B:SSL routines::wrong version number (after 1ms in state SSL_HANDSHAKE)",
                ],
                "a:1: TLS handshake failed: error:0A00010B:SSL routines::wrong version number",
            ),
        ] {
            let mut causes = Causes::default();
            reasons.iter().for_each(|reason| causes.note(reason));
            assert_eq!(causes.to_string(), expected);
            causes.forget();
            assert!(causes.is_empty());
        }
    }

    #[test]
    fn a_reason_without_a_broker_is_kept_whole() {
        let mut causes = Causes::default();
        causes.note("Client is not configured: at all");
        assert_eq!(causes.to_string(), "Client is not configured: at all");
    }
}
