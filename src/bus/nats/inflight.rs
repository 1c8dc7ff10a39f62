//! The attempts that wait for an answer, by number. Nothing is kept for a publication that has ended.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::oneshot;

use crate::envelope::{Attributes, attributes::Attribute};

/// Most replies to one attempt that are kept after the first.
const MOST_REPLIES: usize = 8;

/// What ends an attempt.
#[derive(Debug)]
pub(super) enum Answer {
    /// A message came to the reply subject.
    Reply(async_nats::Message),
    /// The server forbids the subject, in an error apart from any reply.
    Forbidden,
    /// The server forbids us to listen for replies.
    Deaf,
    /// The connection that it went over is gone, and an answer on its way with it.
    Lost,
}

/// The attempts by the numbers of their publications. (A quick hasher serves: nobody else chooses the numbers.)
type Entries = HashMap<u64, Entry, foldhash::fast::RandomState>;

/// The table.
#[derive(Debug, Default)]
pub(super) struct Inflight {
    next: AtomicU64,
    entries: Mutex<Entries>,
}

#[derive(Debug)]
struct Entry {
    /// For the route, should it be forbidden: a clone shares the text, a `String` would copy it for each event.
    attributes: Attributes,
    /// Number of the connection that the attempt went over; none before it has its turn.
    connection: Option<u64>,
    /// None once there was one.
    answer: Option<oneshot::Sender<Answer>>,
    /// What came after it, should it be none of the stream's.
    more: VecDeque<async_nats::Message>,
}

impl Inflight {
    /// A number for one publication.
    pub(super) fn ticket(&self) -> Ticket<'_> {
        Ticket { inflight: self, number: self.next.fetch_add(1, Ordering::Relaxed) }
    }

    /// Gives a reply to the attempt that waits for it.
    pub(super) fn reply(&self, message: async_nats::Message) {
        let number = message.subject.rsplit('.').next().and_then(|token| token.parse().ok());
        let mut entries = self.lock();
        let Some(entry) = number.and_then(|number: u64| entries.get_mut(&number)) else { return };
        match entry.answer.take() {
            Some(answer) => {
                // The attempt has ended.
                let _late = answer.send(Answer::Reply(message));
            }
            None if entry.more.len() < MOST_REPLIES => entry.more.push_back(message),
            None => {}
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
            if let Some(waits) = entry.answer {
                let _late = waits.send(answer());
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One publication's number; nothing is kept under it once it is dropped.
#[derive(Debug)]
pub(super) struct Ticket<'a> {
    inflight: &'a Inflight,
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
        let entry = Entry { attributes, connection: None, answer: Some(answer), more: VecDeque::new() };
        self.inflight.lock().insert(self.number, entry);
        answered
    }

    /// Waits for another reply to the same attempt: the last was none of the stream's.
    pub(super) fn wait_on(&self) -> oneshot::Receiver<Answer> {
        let (answer, answered) = oneshot::channel();
        // Without an entry the attempt has ended meanwhile, and the receiver hears of it.
        if let Some(entry) = self.inflight.lock().get_mut(&self.number) {
            match entry.more.pop_front() {
                Some(reply) => drop(answer.send(Answer::Reply(reply))),
                None => entry.answer = Some(answer),
            }
        }
        answered
    }

    /// The attempt goes over the connection of this number.
    pub(super) fn goes_over(&self, connection: u64) {
        if let Some(entry) = self.inflight.lock().get_mut(&self.number) {
            entry.connection = Some(connection);
        }
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.inflight.lock().remove(&self.number);
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
        let inflight = Inflight::default();
        let (first, second) = (inflight.ticket(), inflight.ticket());
        let (mut mine, mut other) = (first.wait(on("a.b")), second.wait(on("a.c")));
        inflight.forbid("a.b");
        assert!(matches!(mine.try_recv(), Ok(Answer::Forbidden)));
        assert!(other.try_recv().is_err());
        inflight.deafen();
        assert!(matches!(other.try_recv(), Ok(Answer::Deaf)));
        let third = inflight.ticket();
        let [mut earlier, mut later, mut unsent] = [&first, &second, &third].map(|ticket| ticket.wait(on("a.b")));
        first.goes_over(1);
        second.goes_over(2);
        inflight.reconnected(2);
        assert!(matches!(earlier.try_recv(), Ok(Answer::Lost)));
        assert!(later.try_recv().is_err() && unsent.try_recv().is_err());
        drop(third);
        drop((first, second));
        assert!(inflight.lock().is_empty());
    }

    /// Another service hears the subject, too, and answers first: the stream's own answer is not lost, whenever it comes.
    #[test]
    fn a_reply_that_is_not_the_streams_does_not_end_the_wait() {
        let inflight = Inflight::default();
        let ticket = inflight.ticket();
        let reply = |payload: &'static str| {
            inflight.reply(async_nats::Message {
                subject: format!("_INBOX.a.{}", ticket.number()).into(),
                reply: None,
                payload: payload.into(),
                headers: None,
                status: None,
                description: None,
                length: 0,
            });
        };
        let is = |answer: &mut oneshot::Receiver<Answer>, payload: &str| {
            assert!(matches!(answer.try_recv(), Ok(Answer::Reply(reply)) if reply.payload == payload));
        };
        let mut answer = ticket.wait(on("a.b"));
        ["stray", "stray too", "ack"].into_iter().for_each(reply);
        is(&mut answer, "stray");
        is(&mut ticket.wait_on(), "stray too");
        is(&mut ticket.wait_on(), "ack");
        let mut answer = ticket.wait_on();
        assert!(answer.try_recv().is_err());
        reply("later");
        is(&mut answer, "later");
        (0..100).for_each(|_| reply("flood"));
        assert_eq!(inflight.lock()[&ticket.number()].more.len(), MOST_REPLIES);
        inflight.deafen();
        assert!(ticket.wait_on().try_recv().is_err(), "ended");
    }
}
