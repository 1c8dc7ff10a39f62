//! A publication under way, on any bus. In: what the bus's client has of it. Out: its acknowledgement.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use journal::Append;

use super::{
    kafka::UnderWay,
    outcome::{Ack, Boxed, PublishError},
};

/// A publication under way; it can be moved. It was handed over when it was made, so that calls keep their order; dropping
/// it takes nothing back. On an event loop that is attached ([`super::Bus::attach`]) it goes on only while it is polled.
pub struct Publication(pub(super) Kind);

/// By bus, since a box is an allocation for each event.
pub(super) enum Kind {
    Journal(Append),
    Kafka(UnderWay),
    Boxed(Boxed),
}

impl Future for Publication {
    type Output = Result<Ack, PublishError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Kind::Journal(append) => {
                Pin::new(append).poll(cx).map(|place| place.map(|_sequence| Ack::Stored).map_err(PublishError::from))
            }
            Kind::Kafka(under_way) => Pin::new(under_way).poll(cx),
            Kind::Boxed(publication) => publication.as_mut().poll(cx),
        }
    }
}

impl fmt::Debug for Publication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publication").finish_non_exhaustive()
    }
}
