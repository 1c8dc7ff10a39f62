//! Reads the stream back. It consumes nothing: an ordered consumer lives in the server's memory and leaves no trace.

use std::{fmt, time::Duration};

use async_nats::jetstream::{
    self,
    consumer::{DeliverPolicy, pull},
};
use futures_util::StreamExt as _;
use tokio::time::timeout;

use super::connection::connect_once;
use crate::{
    bus::record::{Extent, Next, Record},
    config::NatsConfig,
    envelope::message::Binding,
    subject::Pattern,
};

/// How long the broker may take for one answer.
const ASK: Duration = Duration::from_secs(5);

/// Why a stream cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("stream {stream}: {fault}")]
pub struct ReadError {
    stream: String,
    /// What the client or the server said.
    fault: String,
}

/// Reads a stream.
pub struct Reader {
    stream: String,
    messages: pull::Ordered,
    /// Messages that were there at the start and are still to come; `None` goes on for ever.
    left: Option<u64>,
    /// The last of them lies at or before this place of the stream.
    end: u64,
    /// The place of the last message; 0 before the first.
    last: u64,
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("stream", &self.stream).finish_non_exhaustive()
    }
}

impl Reader {
    /// Opens it; gives also how many messages there are to read, where that is known.
    ///
    /// # Errors
    /// No connection, no stream, no right to read it.
    pub(in crate::bus) async fn open(
        nats: &NatsConfig,
        pattern: &Pattern,
        extent: Extent,
    ) -> Result<(Self, u64), ReadError> {
        let failed = |error: &dyn fmt::Display| failed(&nats.stream, error);
        let client = connect_once(nats).await.map_err(|error| failed(&error))?;
        let context = jetstream::ContextBuilder::new().timeout(ASK).build(client);
        let stream = context.get_stream(&nats.stream).await.map_err(|error| failed(&error))?;
        let end = stream.cached_info().state.last_sequence;
        let config = match extent {
            Extent::New => pull::OrderedConfig { deliver_policy: DeliverPolicy::New, ..Default::default() },
            Extent::All => pull::OrderedConfig::default(),
            Extent::UntilNow => pull::OrderedConfig { filter_subject: pattern.to_string(), ..Default::default() },
        };
        let consumer = stream.create_consumer(config).await.map_err(|error| failed(&error))?;
        let left = (extent == Extent::UntilNow).then_some(consumer.cached_info().num_pending);
        let messages = consumer.messages().await.map_err(|error| failed(&error))?;
        let reader = Reader { stream: nats.stream.clone(), messages, left, end, last: 0 };
        Ok((reader, left.unwrap_or_default()))
    }

    /// The next message, if one comes within `wait`.
    ///
    /// # Errors
    /// The stream cannot be read any more.
    pub(in crate::bus) async fn next(&mut self, wait: Duration) -> Result<Next, ReadError> {
        if self.left == Some(0) {
            return Ok(Next::End);
        }
        let message = match timeout(wait, self.messages.next()).await {
            Ok(Some(message)) => message.map_err(|error| failed(&self.stream, &error))?,
            Ok(None) => return Ok(Next::End),
            Err(_) => return Ok(Next::Idle),
        };
        let mut is_behind_a_gap = false;
        if self.left.is_some() {
            let info = message.info().map_err(|error| failed(&self.stream, &error))?;
            self.left = Some(if info.stream_sequence < self.end { info.pending } else { 0 });
            is_behind_a_gap = self.last != 0 && self.last + 1 < info.stream_sequence;
            self.last = info.stream_sequence;
        }
        let message = message.message;
        let headers = message.headers.unwrap_or_default();
        let header = |name: &str| headers.get(name).map(|value| value.as_str());
        let record = Record::of(Binding::Nats, &message.subject, header, message.payload);
        Ok(Next::Record(Record { is_behind_a_gap, ..record }))
    }
}

fn failed(stream: &str, error: &dyn fmt::Display) -> ReadError {
    ReadError { stream: stream.to_owned(), fault: error.to_string() }
}
