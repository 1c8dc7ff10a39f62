//! What an answer of JetStream means.
//!
//! In: a reply to a publication. Out: an acknowledgement, the end, or a reason to try again. One `match` over the
//! server's error codes; never its English.

use async_nats::{
    StatusCode,
    jetstream::{publish::PublishAck, response::Response},
};
use memchr::memmem;

use crate::bus::{Ack, PublishError};

/// No room: the stream is full and discards what is new.
const STREAM_FULL: u64 = 10_077;
/// Larger than the stream's `max_msg_size`.
const STREAM_MESSAGE_TOO_LARGE: u64 = 10_054;
/// Another stream than the configured one has the subject.
const OTHER_STREAM: u64 = 10_060;
/// The stream takes nothing any more.
const SEALED: u64 = 10_109;
/// An earlier copy is on its way to the replicas; its fate is open.
const DUPLICATE_IN_PROCESS: u64 = 10_158;
/// The server, or the account, is out of memory, disk or quota.
const NO_RESOURCES: [u64; 4] = [10_023, 10_047, 10_002, 10_028];
/// HTTP's "unavailable", which JetStream uses for states that pass, such as a stream without a leader.
const UNAVAILABLE: usize = 503;

/// The meaning of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The stream has it.
    Stored(Ack),
    /// It will not take it.
    Failed(PublishError),
    /// Nobody listens on the subject: no such stream, or it is electing a leader.
    Nobody,
    /// Not now, and it was not stored.
    NotNow,
    /// Not known.
    Unknown,
}

pub(super) fn meaning(reply: &async_nats::Message) -> Meaning {
    if reply.status == Some(StatusCode::NO_RESPONDERS) {
        return Meaning::Nobody;
    }
    // Nearly always an acknowledgement, read without the buffer that `Response`, one of two shapes, costs. An error may
    // have an acknowledgement's members beside it, so whatever mentions one is read the long way.
    if memmem::find(&reply.payload, b"\"error\"").is_none()
        && let Ok(ack) = serde_json::from_slice(&reply.payload)
    {
        return stored(&ack);
    }
    match serde_json::from_slice::<Response<PublishAck>>(&reply.payload) {
        Ok(Response::Ok(ack)) => stored(&ack),
        Ok(Response::Err { error }) => refusal(error.error_code().0, error.code()),
        // Something else than a stream has answered: a service that listens on the subject.
        Err(_) => Meaning::Failed(PublishError::Unprovisioned),
    }
}

fn stored(ack: &PublishAck) -> Meaning {
    Meaning::Stored(if ack.duplicate { Ack::Duplicate } else { Ack::Stored })
}

fn refusal(code: u64, status: usize) -> Meaning {
    match code {
        STREAM_FULL => Meaning::Failed(PublishError::Refused),
        code if NO_RESOURCES.contains(&code) => Meaning::Failed(PublishError::Refused),
        STREAM_MESSAGE_TOO_LARGE => Meaning::Failed(PublishError::TooLarge),
        OTHER_STREAM | SEALED => Meaning::Failed(PublishError::Unprovisioned),
        DUPLICATE_IN_PROCESS => Meaning::Unknown,
        _ if status == UNAVAILABLE => Meaning::NotNow,
        _ => Meaning::Failed(PublishError::Error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(payload: &str) -> async_nats::Message {
        async_nats::Message {
            subject: "_INBOX.a.1".into(),
            reply: None,
            payload: payload.to_owned().into(),
            headers: None,
            status: None,
            description: None,
            length: 0,
        }
    }

    #[test]
    fn each_answer_has_one_meaning() {
        let error = |status: u32, code: u32| {
            format!(r#"{{"error":{{"code":{status},"err_code":{code},"description":"x"}},"stream":"S","seq":0}}"#)
        };
        for (payload, expected) in [
            (r#"{"stream":"S","seq":7}"#.into(), Meaning::Stored(Ack::Stored)),
            (r#"{"stream":"S","seq":7,"duplicate":true}"#.into(), Meaning::Stored(Ack::Duplicate)),
            (error(503, 10_077), Meaning::Failed(PublishError::Refused)),
            (error(503, 10_023), Meaning::Failed(PublishError::Refused)),
            (error(400, 10_054), Meaning::Failed(PublishError::TooLarge)),
            (error(400, 10_060), Meaning::Failed(PublishError::Unprovisioned)),
            (error(400, 10_109), Meaning::Failed(PublishError::Unprovisioned)),
            (error(409, 10_158), Meaning::Unknown),
            (error(503, 10_008), Meaning::NotNow),
            (error(400, 10_071), Meaning::Failed(PublishError::Error)),
            ("hello".into(), Meaning::Failed(PublishError::Unprovisioned)),
            (String::new(), Meaning::Failed(PublishError::Unprovisioned)),
        ] {
            assert_eq!(meaning(&reply(&payload)), expected, "{payload}");
        }
        let nobody = async_nats::Message { status: Some(StatusCode::NO_RESPONDERS), ..reply("") };
        assert_eq!(meaning(&nobody), Meaning::Nobody);
    }
}
