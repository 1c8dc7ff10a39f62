//! One publication, from the first attempt to the last.
//!
//! In: a message. Out: its acknowledgement, or why there is none. Every attempt carries the same `Nats-Msg-Id` and the
//! same reply subject; it never goes on longer than `publish_timeout`, and never calls a timeout a failure.

use std::{
    future::ready,
    io::Write as _,
    pin::pin,
    sync::{Arc, PoisonError, atomic::Ordering},
    task::{Context, Poll, Waker},
    time::Duration,
};

use async_nats::{PublishErrorKind, Subject};
use bytes::Bytes;
use tokio::{
    sync::oneshot,
    task::coop::unconstrained,
    time::{Instant, sleep_until, timeout_at},
};

use super::{
    headers::headers,
    inflight::{Answer, Ticket},
    pub_ack::{Meaning, meaning},
    shared::Shared,
};
use crate::{
    bus::outcome::{Ack, Boxed, PublishError},
    config::Encoding,
    envelope::Message,
};

/// Pause before a refused attempt is repeated.
const PAUSE: Duration = Duration::from_millis(250);
/// Pause while an earlier copy of the message is being stored.
const SHORT_PAUSE: Duration = Duration::from_millis(50);
/// Answers "no responders" before the broker is asked whether there is a stream: elections look the same.
const DOUBTS: u32 = 3;
/// Digits of a ticket's number: those of the largest.
const NUMBER_DIGITS: usize = 20;

/// What the client takes of a message beside its headers: three parts of one piece of memory, but for a payload that is the
/// body itself. Texts of their own would be copied by the client.
struct Parts {
    subject: Subject,
    reply_to: Subject,
    payload: Bytes,
}

/// Gives a message to the client and waits for its answer, on the connection's event loop: a caller that polls late, or
/// never, delays no other publication.
pub(super) fn publish(shared: &Arc<Shared>, message: Message) -> Boxed {
    // Its timers belong to that event loop, too.
    let inside = shared.runtime.enter();
    let publication = publish_here(Arc::clone(shared), message);
    drop(inside);
    let task = shared.runtime.spawn(publication);
    // The event loop has ended before the answer came: not known.
    Box::pin(async move { task.await.unwrap_or(Err(PublishError::Timeout)) })
}

/// The same on the caller's own event loop, where the caller polls to the end: no task is spawned. The first poll takes
/// the place in the line, so that the order is that of the calls. What it registers a wake-up for is registered anew by
/// the next poll.
pub(super) fn publish_here(own: Arc<Shared>, message: Message) -> Boxed {
    let mut publication: Boxed = Box::pin(run(own, message));
    // Whatever the task has done before: a poll put off would lose the place.
    match pin!(unconstrained(publication.as_mut())).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => Box::pin(ready(result)),
        Poll::Pending => publication,
    }
}

async fn run(shared: Arc<Shared>, message: Message) -> Result<Ack, PublishError> {
    let ticket = shared.inflight.ticket();
    let deadline = Instant::now() + shared.publish_timeout;
    // Whether an attempt has ended without an answer: the message may be stored, or be stored later.
    let mut unknown = false;
    let mut no_responders = 0;
    let before = shared.common.incarnations.before();
    loop {
        let answer = ticket.wait(message.attributes.clone());
        let Ok(handed_over) = timeout_at(deadline, shared.hand_over(&message, &ticket)).await else {
            return Err(shared.given_up(unknown, message.route()).await);
        };
        handed_over?;
        let pause = match shared.answer(&ticket, answer, message.route(), deadline).await {
            Meaning::Stored { ack, sequence } => {
                // A duplicate's sequence is that of the first copy.
                if ack == Ack::Stored {
                    shared.common.incarnations.stored(before, sequence);
                }
                return Ok(ack);
            }
            Meaning::Full => return Err(shared.full(&message).await),
            Meaning::Failed(error) => return Err(error),
            Meaning::Unknown | Meaning::Foreign => {
                unknown = true;
                SHORT_PAUSE
            }
            Meaning::NotNow => PAUSE,
            Meaning::NoResponders => {
                no_responders += 1;
                if no_responders >= DOUBTS
                    && let Some(error) = shared.not_taken(message.route()).await
                {
                    shared.common.answers.came();
                    return Err(error);
                }
                PAUSE
            }
        };
        let next = Instant::now() + pause;
        if deadline <= next {
            return Err(shared.given_up(unknown, message.route()).await);
        }
        sleep_until(next).await;
    }
}

impl Shared {
    /// Waits for its turn and for a connection, then gives the message to the client.
    async fn hand_over(&self, message: &Message, ticket: &Ticket<'_>) -> Result<(), PublishError> {
        let _turn = self.turn.lock().await;
        let connection = self.connected().await?;
        self.common.judged().await;
        if self.common.refused.load(Ordering::Acquire) {
            return Err(PublishError::Refused);
        }
        let headers = headers(message, &self.stream, self.encoding)?;
        let Parts { subject, reply_to, payload } = self.parts(message, ticket)?;
        ticket.goes_over(connection);
        let handed_over = self.client.publish_with_reply_and_headers(subject, reply_to, headers, payload).await;
        handed_over.map_err(|error| match error.kind() {
            PublishErrorKind::MaxPayloadExceeded => PublishError::TooLarge,
            PublishErrorKind::InvalidSubject => PublishError::Unroutable,
            // The client is closed.
            PublishErrorKind::Send => PublishError::Refused,
        })
    }

    fn parts(&self, message: &Message, ticket: &Ticket<'_>) -> Result<Parts, PublishError> {
        let (route, inbox) = (message.route(), self.inbox.as_str());
        let mut whole = Vec::with_capacity(route.len() + inbox.len() + NUMBER_DIGITS + message.structured_room());
        whole.extend_from_slice(route.as_bytes());
        // Writing to a Vec cannot fail.
        let _infallible = write!(whole, "{inbox}{}", ticket.number());
        let payload_starts = whole.len();
        let payload = match self.encoding {
            Encoding::Structured => {
                message.write_structured(&mut whole);
                None
            }
            Encoding::Binary => Some(message.body.clone()),
        };
        let whole = Bytes::from(whole);
        let text = |range| Subject::from_utf8(whole.slice(range)).map_err(|_| PublishError::Unroutable);
        Ok(Parts {
            subject: text(0..route.len())?,
            reply_to: text(route.len()..payload_starts)?,
            payload: payload.unwrap_or_else(|| whole.slice(payload_starts..)),
        })
    }

    async fn connected(&self) -> Result<u64, PublishError> {
        let link = *self.link.borrow();
        if link.up {
            return Ok(link.connects);
        }
        let mut news = self.link.subscribe();
        let link = news.wait_for(|link| link.up).await.map_err(|_| PublishError::Refused)?;
        Ok(link.connects)
    }

    /// Waits for the stream's answer, or for the end of the attempt's time. What else answers on the subject may be sooner.
    async fn answer(
        &self,
        ticket: &Ticket<'_>,
        mut answer: oneshot::Receiver<Answer>,
        subject: &str,
        deadline: Instant,
    ) -> Meaning {
        let deadline = deadline.min(Instant::now() + self.ack_timeout);
        loop {
            let meaning = self.one_answer(answer, deadline).await;
            if meaning != Meaning::Foreign {
                return meaning;
            }
            self.foreign(subject);
            if let Some(error) = self.not_taken(subject).await {
                return Meaning::Failed(error);
            }
            answer = ticket.wait_on();
        }
    }

    async fn one_answer(&self, answer: oneshot::Receiver<Answer>, deadline: Instant) -> Meaning {
        match timeout_at(deadline, answer).await {
            Ok(Ok(Answer::Reply(reply))) => {
                let meaning = meaning(&reply, &self.stream);
                match meaning {
                    // The server's word for the stream's silence.
                    Meaning::NoResponders | Meaning::NotNow => self.common.answers.missed(),
                    Meaning::Foreign | Meaning::Unknown => {}
                    Meaning::Stored { .. } | Meaning::Full | Meaning::Failed(_) => self.common.answers.came(),
                }
                meaning
            }
            Ok(Ok(Answer::Forbidden)) => Meaning::Failed(PublishError::Unauthorized),
            // It is stored, or not: the account may publish and may not hear of it.
            Ok(Ok(Answer::Deaf)) => Meaning::Failed(PublishError::Timeout),
            Ok(Ok(Answer::Lost) | Err(_)) => Meaning::Unknown,
            Err(_) => {
                self.common.answers.missed();
                Meaning::Unknown
            }
        }
    }

    async fn given_up(&self, unknown: bool, subject: &str) -> PublishError {
        if !unknown {
            return PublishError::Refused;
        }
        // Where another subscriber hears a subject that the stream does not take, there is no answer at all.
        match self.not_taken(subject).await {
            Some(error) => {
                self.common.answers.came();
                error
            }
            None => PublishError::Timeout,
        }
    }

    /// What answers for the stream may do so for every event: one line a while.
    fn foreign(&self, subject: &str) {
        if self.common.foreign.lock().unwrap_or_else(PoisonError::into_inner).is_new(()) {
            let stream = &self.stream;
            tracing::error!(
                subject,
                "not stream {stream} has answered: an answer without its name and a sequence is none"
            );
        }
    }
}
