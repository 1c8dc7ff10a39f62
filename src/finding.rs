//! What can be found at the vendors that did not come by itself: a closed list. The event that each becomes is hookbus's own
//! and no vendor's.

use crate::metrics::Label;

/// Before the kind in a finding's `type`.
pub const TYPE: &str = "com.hookbus.finding.";
/// The `type` of what a vendor's API shows of a certificate whose event never came.
pub const MISSED: &str = "com.hookbus.missed.certificate";
/// The `type` of what a vendor's API shows of a certificate after its webhook.
pub const DETAILS: &str = "com.hookbus.details.certificate";
/// `vendor` of the events that are hookbus's own.
pub const VENDOR: &str = "hookbus";

/// The subject or topic of what an API shows of missed certificates.
pub const MISSED_ROUTE: &str = "webhooks.hookbus.missed.certificate";
/// The subject or topic of details.
pub const DETAILS_ROUTE: &str = "webhooks.hookbus.details.certificate";
/// Every subject of hookbus's own events, as a pattern of NATS.
pub const PATTERN: &str = "webhooks.hookbus.>";

/// A kind of finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// No endpoint at the vendor has our URL.
    EndpointMissing,
    /// The endpoint is switched off: a vendor that has given up may do that.
    EndpointOff,
    /// The endpoint gets other events than the configuration wants.
    EndpointChanged,
    /// A certificate is pending or processing for too long.
    CertificateStuck,
    /// A certificate is in error, of which 1099Policy sends no webhook.
    CertificateError,
    /// Something happened, and its event is not on the bus.
    EventMissed,
    /// Audit1 has given a delivery up.
    DeliveryFailed,
    /// The vendor's API goes on refusing a certificate's details, or shows them in another shape.
    DetailsRefused,
}

impl Kind {
    /// What it is, for people.
    pub fn description(self) -> &'static str {
        match self {
            Kind::EndpointMissing => "no endpoint at the vendor has the configured URL",
            Kind::EndpointOff => "the endpoint at the vendor is switched off",
            Kind::EndpointChanged => "the endpoint at the vendor gets other events than the configuration wants",
            Kind::CertificateStuck => "a certificate is pending or processing for longer than reconcile.stuck_after",
            Kind::CertificateError => "a certificate is in the status error, of which the vendor sends no webhook",
            Kind::EventMissed => "something happened at the vendor, and its event is not on the bus",
            Kind::DetailsRefused => {
                "the vendor's API refuses the details of a certificate, or shows them in another shape"
            }
            Kind::DeliveryFailed => {
                "the vendor has given a delivery up; its API tells neither the event's id nor its body"
            }
        }
    }

    /// Whether it is the state of an endpoint, which ends when the endpoint is as wanted.
    pub fn is_endpoint(self) -> bool {
        matches!(self, Kind::EndpointMissing | Kind::EndpointOff | Kind::EndpointChanged)
    }

    /// Its subject or topic.
    pub fn route(self) -> String {
        ["webhooks.hookbus.finding.", self.as_str()].concat()
    }
}

impl Label for Kind {
    fn all() -> impl IntoIterator<Item = (Self, &'static str)> {
        [
            (Kind::EndpointMissing, "endpoint_missing"),
            (Kind::EndpointOff, "endpoint_off"),
            (Kind::EndpointChanged, "endpoint_changed"),
            (Kind::CertificateStuck, "certificate_stuck"),
            (Kind::CertificateError, "certificate_error"),
            (Kind::EventMissed, "event_missed"),
            (Kind::DeliveryFailed, "delivery_failed"),
            (Kind::DetailsRefused, "details_refused"),
        ]
    }
}
