//! One publication, from the first attempt to the last.
//!
//! In: a message. Out: its acknowledgement, or why there is none. Every attempt carries the same `Nats-Msg-Id` and the
//! same reply subject; it never goes on longer than `publish_timeout`, and never calls a timeout a failure.

use std::{
    future::ready,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use async_nats::PublishErrorKind;
use tokio::{
    sync::oneshot,
    task::coop::unconstrained,
    time::{Instant, sleep_until, timeout, timeout_at},
};

use super::{
    Shared,
    answer::{Meaning, meaning},
    headers::headers,
    no_such_stream,
    subjects::covers,
    waiting::{Answer, Ticket},
};
use crate::{
    bus::{Ack, Publication, PublishError},
    envelope::Message,
};

/// Pause before a refused attempt is repeated.
const PAUSE: Duration = Duration::from_millis(250);
/// Pause while an earlier copy of the message is being stored.
const SHORT_PAUSE: Duration = Duration::from_millis(50);
/// How often nobody may listen before the broker is asked whether there is a stream: elections look the same.
const DOUBTS: u32 = 3;
/// How long that question may take.
const ASK: Duration = Duration::from_secs(1);
/// How long its answer holds.
const HOLDS: Duration = Duration::from_secs(1);

/// What the broker said about the stream, and when.
#[derive(Debug)]
pub(super) struct Known {
    at: Instant,
    /// Subjects of the stream; none when there is no stream; unknown when nobody answered.
    subjects: Option<Vec<String>>,
}

/// Hands a message over and follows it, on the connection's event loop: a caller that polls late, or never, holds
/// nobody up and takes nothing back.
pub(super) fn publish(shared: &Arc<Shared>, message: Message) -> Publication {
    // Its timers belong to that event loop, too.
    let inside = shared.runtime.enter();
    let (first, publication) = hand_over(Arc::clone(shared), message);
    drop(inside);
    match first {
        Poll::Ready(result) => Box::pin(ready(result)),
        Poll::Pending => {
            let task = shared.runtime.spawn(publication);
            // The event loop has ended before the answer came: not known.
            Box::pin(async move { task.await.unwrap_or(Err(PublishError::Timeout)) })
        }
    }
}

/// The same where the connection's event loop is the caller's own, who polls to the end: no task of its own.
pub(super) fn publish_here(lane: Arc<Shared>, message: Message) -> Publication {
    match hand_over(lane, message) {
        (Poll::Ready(result), _) => Box::pin(ready(result)),
        (Poll::Pending, publication) => publication,
    }
}

/// The first poll takes the place in the line, so that the order is that of the calls. What it registers a wake-up for
/// is registered anew by the next poll.
fn hand_over(shared: Arc<Shared>, message: Message) -> (Poll<Result<Ack, PublishError>>, Publication) {
    let mut publication: Publication = Box::pin(run(shared, message));
    // Whatever the task has done before: a poll put off would lose the place.
    let first = pin!(unconstrained(publication.as_mut())).poll(&mut Context::from_waker(Waker::noop()));
    (first, publication)
}

async fn run(shared: Arc<Shared>, message: Message) -> Result<Ack, PublishError> {
    let ticket = shared.waiting.ticket();
    let reply_to = format!("{}{}", shared.inbox, ticket.number());
    let deadline = Instant::now() + shared.publish_timeout;
    // Whether an attempt has ended without a word, so that the message may be stored, or be stored later.
    let mut unknown = false;
    let mut nobody = 0;
    loop {
        let answer = ticket.wait(message.attributes.clone());
        let Ok(handed_over) = timeout_at(deadline, shared.hand_over(&message, &ticket, &reply_to)).await else {
            return Err(given_up(unknown));
        };
        handed_over?;
        let pause = match shared.answer(answer, deadline).await {
            Meaning::Stored(ack) => return Ok(ack),
            Meaning::Failed(error) => return Err(error),
            Meaning::Unknown => {
                unknown = true;
                SHORT_PAUSE
            }
            Meaning::NotNow => PAUSE,
            Meaning::Nobody => {
                nobody += 1;
                if nobody >= DOUBTS && shared.unroutable(message.route()).await {
                    return Err(PublishError::Unprovisioned);
                }
                PAUSE
            }
        };
        let next = Instant::now() + pause;
        if deadline <= next {
            return Err(given_up(unknown));
        }
        sleep_until(next).await;
    }
}

fn given_up(unknown: bool) -> PublishError {
    if unknown { PublishError::Timeout } else { PublishError::Refused }
}

impl Shared {
    /// Waits for its turn and for a connection, then gives the message to the client.
    async fn hand_over(&self, message: &Message, ticket: &Ticket<'_>, reply_to: &str) -> Result<(), PublishError> {
        let _turn = self.turn.lock().await;
        let connection = self.connected().await?;
        let headers = headers(message, &self.stream, self.encoding)?;
        let (subject, reply_to) = (message.route().to_owned(), reply_to.to_owned());
        let payload = message.payload(self.encoding);
        ticket.goes_over(connection);
        let handed_over = self.client.publish_with_reply_and_headers(subject, reply_to, headers, payload).await;
        handed_over.map_err(|error| match error.kind() {
            PublishErrorKind::MaxPayloadExceeded => PublishError::TooLarge,
            PublishErrorKind::InvalidSubject => PublishError::Unroutable,
            // The client is closed.
            PublishErrorKind::Send => PublishError::Refused,
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

    /// Waits for the answer, or for the end of the attempt's time.
    async fn answer(&self, answer: oneshot::Receiver<Answer>, deadline: Instant) -> Meaning {
        match timeout_at(deadline.min(Instant::now() + self.ack_timeout), answer).await {
            Ok(Ok(Answer::Reply(reply))) => meaning(&reply),
            Ok(Ok(Answer::Forbidden)) => Meaning::Failed(PublishError::Unauthorized),
            // It is stored, or not: the account may publish and may not hear of it.
            Ok(Ok(Answer::Deaf)) => Meaning::Failed(PublishError::Timeout),
            Ok(Ok(Answer::Lost) | Err(_)) | Err(_) => Meaning::Unknown,
        }
    }

    /// Whether the broker says that there is no stream for the subject. No answer is no such word.
    async fn unroutable(&self, subject: &str) -> bool {
        let mut known = self.existence.lock().await;
        if known.as_ref().is_none_or(|known| known.at.elapsed() >= HOLDS) {
            let subjects = match timeout(ASK, self.context.get_stream(&self.stream)).await {
                Ok(Ok(stream)) => Some(stream.cached_info().config.subjects.clone()),
                Ok(Err(error)) if no_such_stream(&error) => Some(Vec::new()),
                Ok(Err(_)) | Err(_) => None,
            };
            *known = Some(Known { at: Instant::now(), subjects });
        }
        let subjects = known.as_ref().and_then(|known| known.subjects.as_ref());
        subjects.is_some_and(|subjects| !subjects.iter().any(|pattern| covers(pattern, subject)))
    }
}
