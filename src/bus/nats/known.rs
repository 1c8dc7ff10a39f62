//! What the broker last said of the stream, for refusals that do not say what they speak of: the stream, or one subject.

use std::time::Duration;

use async_nats::{HeaderValue, jetstream::stream::Info};
use futures_util::future::BoxFuture;
use tokio::time::{Instant, timeout};

use super::{
    headers::headers,
    shared::{Known, Shared, Stream, no_such_stream},
};
use crate::{bus::outcome::PublishError, envelope::Message, subject::covers};

/// How long the question may take.
const ASK: Duration = Duration::from_secs(1);
/// Room beyond a message's own bytes below which a stream counts as full, bytes: the store's overhead, and others' messages
/// since the broker was asked.
const CLEAR_ROOM: u64 = 64 << 10;
/// How long its answer holds, however many publications want to know.
const HOLDS: Duration = Duration::from_secs(1);

impl Shared {
    /// Why a subject without an answer of the stream is not taken; `None` when it is, or when that is not known.
    pub(super) async fn not_taken(&self, subject: &str) -> Option<PublishError> {
        self.ask(|stream| match stream {
            Stream::Unknown => None,
            Stream::Missing => Some(PublishError::Unprovisioned),
            Stream::There(info) => {
                let is_covered = info.config.subjects.iter().any(|pattern| covers(pattern, subject));
                (!is_covered).then_some(PublishError::Uncovered)
            }
        })
        .await
    }

    /// What it means that the stream has no room for a message.
    pub(super) async fn full(&self, message: &Message) -> PublishError {
        let headers = headers(message, &self.stream, self.encoding).unwrap_or_default();
        let headers: usize = headers.iter().map(|(name, values)| line(name.as_ref(), values)).sum();
        let bytes = message.payload(self.encoding).len() + message.route().len() + headers;
        self.ask(|stream| match stream {
            Stream::There(info) if is_full_of_one_subject(info, bytes) => PublishError::SubjectFull,
            _ => PublishError::Refused,
        })
        .await
    }

    /// Boxed: each publication's future would have the room for this rare question.
    fn ask<'a, T: 'a>(&'a self, judge: impl FnOnce(&Stream) -> T + Send + 'a) -> BoxFuture<'a, T> {
        Box::pin(self.ask_now(judge))
    }

    async fn ask_now<T>(&self, judge: impl FnOnce(&Stream) -> T) -> T {
        let mut known = self.known.lock().await;
        let fresh = known.take().filter(|known| known.at.elapsed() < HOLDS);
        let now = match fresh {
            Some(fresh) => fresh,
            None => {
                let stream = match timeout(ASK, self.context.get_stream(&self.stream)).await {
                    Ok(Ok(stream)) => Stream::There(Box::new(stream.cached_info().clone())),
                    Ok(Err(error)) if no_such_stream(&error) => Stream::Missing,
                    Ok(Err(_)) | Err(_) => Stream::Unknown,
                };
                Known { at: Instant::now(), stream }
            }
        };
        judge(&known.insert(now).stream)
    }
}

/// The length of a header.
fn line(name: &str, values: &[HeaderValue]) -> usize {
    values.iter().map(|value| name.len() + ": \r\n".len() + value.as_str().len()).sum()
}

/// Whether the stream limits each subject, and has clear room in all for a message of so many bytes. In doubt it is full as a
/// whole: that dead-letters nothing.
fn is_full_of_one_subject(info: &Info, bytes: usize) -> bool {
    let (config, state) = (&info.config, &info.state);
    let bytes = state.bytes.saturating_add(bytes as u64).saturating_add(CLEAR_ROOM);
    let has_room = |limit: i64, next: u64| u64::try_from(limit).map_or(true, |limit| limit == 0 || next <= limit);
    config.discard_new_per_subject
        && has_room(config.max_messages, state.messages + 1)
        && has_room(config.max_bytes, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_without_clear_room_for_the_whole_message_is_full_itself() {
        let info = |bytes: u64, messages: u64| -> Info {
            let mut info: Info = serde_json::from_value(serde_json::json!({
                "config": {
                    "name": "S", "retention": "limits", "max_consumers": -1, "max_msgs": 10, "max_bytes": 1 << 20,
                    "discard": "new", "discard_new_per_subject": true, "max_age": 0, "storage": "file", "num_replicas": 1,
                },
                "created": "2026-01-01T00:00:00Z",
                "ts": "2026-01-01T00:00:00Z",
                "state": {
                    "messages": messages, "bytes": bytes, "first_seq": 1, "first_ts": "2026-01-01T00:00:00Z",
                    "last_seq": 1, "last_ts": "2026-01-01T00:00:00Z", "consumer_count": 0,
                },
                "cluster": null,
            }))
            .unwrap();
            info.config.max_bytes = 1 << 20;
            info
        };
        let room = (1 << 20) - CLEAR_ROOM - 1000;
        assert!(is_full_of_one_subject(&info(room, 9), 1000));
        assert!(!is_full_of_one_subject(&info(room + 1, 9), 1000));
        assert!(!is_full_of_one_subject(&info((1 << 20) - 1000, 9), 1000), "what is stored is more than its parts");
        assert!(!is_full_of_one_subject(&info(room, 10), 1000));
    }
}
