//! The bus: where a message becomes durable. A closed set, so that no caller knows which one it is.

pub mod beside;
pub mod consumer;
mod danger;
#[cfg(test)]
pub(crate) mod fake;
mod incarnation;
pub mod journal_metrics;
pub mod kafka;
mod limit;
mod marks;
pub mod metrics;
pub mod nats;
mod outcome;
mod publication;
mod read;
mod reader;
mod record;

use journal::Journal;

#[cfg(all(test, feature = "simulation"))]
pub(crate) use self::outcome::Boxed;
pub use self::{
    consumer::{ConsumeError, Consumer, Ticket},
    danger::Found,
    incarnation::{Incarnation, tell_loss},
    limit::too_low,
    outcome::{Ack, PublishError, Scope},
    publication::Publication,
    reader::{ReadError, Reader},
    record::{Extent, Next, Record},
};
use self::{incarnation::Origin, publication::Kind};
use crate::envelope::Message;

/// The configured bus.
#[derive(Debug, Clone)]
pub enum Bus {
    /// The embedded bus: the journal itself.
    Journal(Journal),
    /// Apache Kafka.
    Kafka(kafka::Kafka),
    /// A JetStream stream.
    Nats(nats::Nats),
    /// One that a test controls.
    #[cfg(test)]
    Fake(std::sync::Arc<fake::Fake>),
}

impl Bus {
    /// Publishes one message. It is handed over when this returns, so calls keep their order; the future resolves when
    /// the message is durable. What dropping it means: see [`Publication`].
    ///
    /// # Errors
    /// See [`PublishError`].
    pub fn publish(&self, message: Message) -> Publication {
        match self {
            Bus::Kafka(kafka) => kafka.publish(&message),
            Bus::Journal(journal) => {
                let record = journal::Record { head: message.attributes.into_encoded(), body: message.body };
                Publication(Kind::Journal(journal.append(record)))
            }
            Bus::Nats(nats) => Publication(Kind::Boxed(nats.publish(message))),
            #[cfg(test)]
            Bus::Fake(fake) => Publication(Kind::Boxed(fake.publish(&message))),
        }
    }

    /// To be called by an event loop that is going to publish much, on its thread, before it does. Its publications then
    /// go on only while it polls them.
    pub async fn attach(&self) {
        if let Bus::Nats(nats) = self {
            nats.attach().await;
        }
    }

    /// To be called by the same event loop before it ends.
    pub async fn detach(&self) {
        if let Bus::Nats(nats) = self {
            nats.detach().await;
        }
    }

    /// Writes out what was handed over and closes the bus; blocks, at most ten seconds.
    pub fn close(&self) {
        match self {
            Bus::Journal(journal) => journal.close(),
            Bus::Kafka(kafka) => kafka.close(),
            Bus::Nats(nats) => nats.close(),
            #[cfg(test)]
            Bus::Fake(_) => {}
        }
    }

    /// The number of the incarnation that is published to now. When it grows, all that was acknowledged under a lower one is
    /// lost, as far as is known.
    pub fn incarnation_number(&self) -> u64 {
        match self {
            Bus::Journal(_) => 0,
            Bus::Kafka(kafka) => kafka.incarnations().number(),
            Bus::Nats(nats) => nats.incarnations().number(),
            #[cfg(test)]
            Bus::Fake(fake) => fake.incarnation_number(),
        }
    }

    /// Asks for a look whether it is still that incarnation, soon; does not wait for it.
    pub fn doubt(&self) {
        match self {
            Bus::Kafka(kafka) => kafka.look_again(),
            Bus::Nats(nats) => nats.look_again(),
            Bus::Journal(_) => {}
            #[cfg(test)]
            Bus::Fake(_) => {}
        }
    }

    /// The mark of the present incarnation, for a file; `None` until the broker has said enough of itself.
    pub fn incarnation(&self) -> Option<Incarnation> {
        match self {
            Bus::Journal(journal) => Some(Incarnation::new(Origin::HERE, *journal.durable().borrow())),
            Bus::Kafka(kafka) => kafka.incarnations().mark(),
            Bus::Nats(nats) => nats.incarnations().mark(),
            #[cfg(test)]
            Bus::Fake(fake) => Some(Incarnation::new(Origin::of(b"fake"), fake.incarnation_number())),
        }
    }

    /// Whether it could take a message now, as far as it knows without trying.
    pub fn up(&self) -> bool {
        match self {
            Bus::Journal(journal) => journal.stats().up,
            Bus::Kafka(kafka) => kafka.up(),
            Bus::Nats(nats) => nats.up(),
            #[cfg(test)]
            Bus::Fake(fake) => fake.up(),
        }
    }
}
