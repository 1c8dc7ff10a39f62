//! Who waits for which answer.
//!
//! In: numbers of tickets, and answers from the wire. Out: each answer to the attempt that waits under its number. It
//! keeps nothing for a publication that has ended.

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::oneshot;

use crate::envelope::{Attributes, attributes::Attribute};

/// What ends an attempt.
#[derive(Debug)]
pub(super) enum Answer {
    /// A message came to the reply subject.
    Reply(async_nats::Message),
    /// The server forbids the subject; it says so apart from any reply.
    Forbidden,
    /// The server forbids us to listen for replies.
    Deaf,
    /// The connection that it went over is gone, and an answer on its way with it.
    Lost,
}

/// The table.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    next: AtomicU64,
    entries: Mutex<HashMap<u64, Entry>>,
}

#[derive(Debug)]
struct Entry {
    /// For the route, should it be forbidden: a clone shares the text, a `String` would copy it for each event.
    attributes: Attributes,
    /// Number of the connection that the attempt went over; none before it has its turn.
    connection: Option<u64>,
    answer: oneshot::Sender<Answer>,
}

impl Waiting {
    /// A number for one publication.
    pub(super) fn ticket(&self) -> Ticket<'_> {
        Ticket { waiting: self, number: self.next.fetch_add(1, Ordering::Relaxed) }
    }

    /// Brings a reply to whoever waits for it.
    pub(super) fn reply(&self, message: async_nats::Message) {
        let number = message.subject.rsplit('.').next().and_then(|token| token.parse().ok());
        let entry = number.and_then(|number: u64| self.lock().remove(&number));
        if let Some(entry) = entry {
            // Nobody waits any more.
            let _late = entry.answer.send(Answer::Reply(message));
        }
    }

    /// Ends every attempt on a subject.
    pub(super) fn forbid(&self, subject: &str) {
        self.end(|entry| entry.attributes.get(Attribute::Route) == Some(subject), || Answer::Forbidden);
    }

    /// Ends every attempt over an earlier connection than this one.
    pub(super) fn reconnected(&self, connection: u64) {
        self.end(|entry| entry.connection.is_some_and(|own| own != connection), || Answer::Lost);
    }

    /// Ends every attempt.
    pub(super) fn deafen(&self) {
        self.end(|_| true, || Answer::Deaf);
    }

    fn end(&self, meant: impl Fn(&Entry) -> bool, answer: impl Fn() -> Answer) {
        for (_, entry) in self.lock().extract_if(|_, entry| meant(entry)) {
            let _late = entry.answer.send(answer());
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One publication's number; nothing is kept under it once it is dropped.
#[derive(Debug)]
pub(super) struct Ticket<'a> {
    waiting: &'a Waiting,
    number: u64,
}

impl Ticket<'_> {
    /// Last token of the reply subject.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Begins to wait, before an attempt. An answer to an earlier attempt counts for this one too.
    pub(super) fn wait(&self, attributes: Attributes) -> oneshot::Receiver<Answer> {
        let (answer, answered) = oneshot::channel();
        self.waiting.lock().insert(self.number, Entry { attributes, connection: None, answer });
        answered
    }

    /// The attempt goes over the connection of this number.
    pub(super) fn goes_over(&self, connection: u64) {
        if let Some(entry) = self.waiting.lock().get_mut(&self.number) {
            entry.connection = Some(connection);
        }
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.waiting.lock().remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(route: &str) -> Attributes {
        let mut attributes = Attributes::default();
        attributes.push(Attribute::Route, &route);
        attributes
    }

    #[test]
    fn a_forbidden_subject_ends_its_own_attempts_and_leaves_nothing_behind() {
        let waiting = Waiting::default();
        let (first, second) = (waiting.ticket(), waiting.ticket());
        let (mut mine, mut other) = (first.wait(on("a.b")), second.wait(on("a.c")));
        waiting.forbid("a.b");
        assert!(matches!(mine.try_recv(), Ok(Answer::Forbidden)));
        assert!(other.try_recv().is_err());
        waiting.deafen();
        assert!(matches!(other.try_recv(), Ok(Answer::Deaf)));
        let third = waiting.ticket();
        let [mut earlier, mut later, mut unsent] = [&first, &second, &third].map(|ticket| ticket.wait(on("a.b")));
        first.goes_over(1);
        second.goes_over(2);
        waiting.reconnected(2);
        assert!(matches!(earlier.try_recv(), Ok(Answer::Lost)));
        assert!(later.try_recv().is_err() && unsent.try_recv().is_err());
        drop(third);
        drop((first, second));
        assert!(waiting.lock().is_empty());
    }
}
