//! The server's error line about what a login must not do: it comes apart from the publication or subscription.

/// What a login must not do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Violation<'a> {
    /// Publish to this subject.
    Publish(&'a str),
    /// Subscribe to one.
    Subscribe,
}

impl<'a> Violation<'a> {
    /// Reads `Permissions Violation for Publish to "subject"`.
    pub(super) fn read(error: &'a str) -> Option<Self> {
        let mut quoted = error.split('"');
        let what = quoted.next()?.to_ascii_lowercase();
        let subject = quoted.next()?;
        if !what.contains("permissions violation") {
            None
        } else if what.contains("publish") {
            Some(Violation::Publish(subject))
        } else {
            Some(Violation::Subscribe)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_refusals_are_read() {
        let publish = "Permissions Violation for Publish to \"webhooks.audit1.file.failed\"";
        assert_eq!(Violation::read(publish), Some(Violation::Publish("webhooks.audit1.file.failed")));
        assert_eq!(Violation::read(&publish.to_lowercase()), Violation::read(publish));
        let subscribe = "Permissions Violation for Subscription to \"_INBOX.x.*\"";
        assert_eq!(Violation::read(subscribe), Some(Violation::Subscribe));
        for other in ["Maximum Payload Violation", "", "\"\"", "stale connection \"publish\""] {
            assert_eq!(Violation::read(other), None, "{other}");
        }
    }
}
