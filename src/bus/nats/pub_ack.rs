//! What an answer of JetStream means.
//!
//! In: a reply to a publication. Out: an acknowledgement, the end, or a reason to try again. One `match` over the
//! server's error codes; never its English.

use async_nats::{
    StatusCode,
    jetstream::{publish::PublishAck, response::Response},
};

use crate::{
    bus::outcome::{Ack, PublishError},
    json::{self, Scope},
};

/// No room: the stream, or one subject of it, is full and discards what is new.
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
    /// The stream has it, in this place.
    Stored { ack: Ack, sequence: u64 },
    /// It will not take it.
    Failed(PublishError),
    /// No stream listens on the subject: there is none, or it is electing a leader.
    NoResponders,
    /// The stream, or the subject within it, is full and discards what is new.
    Full,
    /// Not now, and it was not stored.
    NotNow,
    /// Not known.
    Unknown,
    /// No answer of the expected stream: something else has the subject, and the message is stored nowhere.
    Foreign,
}

/// `stream`: the name of the stream that must have it.
pub(super) fn meaning(reply: &async_nats::Message, stream: &str) -> Meaning {
    if reply.status == Some(StatusCode::NO_RESPONDERS) {
        return Meaning::NoResponders;
    }
    if let Some(meaning) = acknowledged(&reply.payload, stream) {
        return meaning;
    }
    match serde_json::from_slice::<Response<PublishAck>>(&reply.payload) {
        Ok(Response::Ok(ack)) => stored(&ack, stream),
        Ok(Response::Err { error }) => refusal(error.error_code().0, error.code()),
        Err(_) => Meaning::Foreign,
    }
}

/// Nearly every answer: this stream's acknowledgement, read without a copy. `None`: whatever else it is. An error may have an
/// acknowledgement's members beside it.
fn acknowledged(answer: &[u8], stream: &str) -> Option<Meaning> {
    let (mut name, mut place, mut duplicate, mut is_error) = (None, None, None, false);
    let document = json::scan(answer, |member| match (member.scope, member.key) {
        (Scope::Root, "stream") => name = Some(member.value),
        (Scope::Root, "seq") => place = Some(member.value),
        (Scope::Root, "duplicate") => duplicate = Some(member.value),
        (Scope::Root, "error") => is_error = true,
        _ => {}
    });
    let text = document.ok().filter(|_| !is_error)?.text;
    let sequence = place?.raw(text).parse().ok().filter(|sequence| *sequence != 0)?;
    let is_ours = !stream.is_empty() && name?.raw(text) == stream;
    let ack = match duplicate.map(|duplicate| duplicate.raw(text)) {
        None | Some("false") => Ack::Stored,
        Some("true") => Ack::Duplicate,
        Some(_) => return None,
    };
    is_ours.then_some(Meaning::Stored { ack, sequence })
}

/// Any service may answer in this form: only the configured stream, with a place in it, counts.
fn stored(ack: &PublishAck, stream: &str) -> Meaning {
    if stream.is_empty() || ack.stream != stream || ack.sequence == 0 {
        return Meaning::Foreign;
    }
    Meaning::Stored { ack: if ack.duplicate { Ack::Duplicate } else { Ack::Stored }, sequence: ack.sequence }
}

fn refusal(code: u64, status: usize) -> Meaning {
    match code {
        STREAM_FULL => Meaning::Full,
        code if NO_RESOURCES.contains(&code) => Meaning::Failed(PublishError::Refused),
        STREAM_MESSAGE_TOO_LARGE => Meaning::Failed(PublishError::TooLarge),
        OTHER_STREAM => Meaning::Foreign,
        SEALED => Meaning::Failed(PublishError::Unprovisioned),
        DUPLICATE_IN_PROCESS => Meaning::Unknown,
        _ if status == UNAVAILABLE => Meaning::NotNow,
        _ => Meaning::Failed(PublishError::Rejected),
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
            (r#"{"stream":"S","seq":7}"#.into(), Meaning::Stored { ack: Ack::Stored, sequence: 7 }),
            (r#"{"stream":"S","seq":7,"duplicate":true}"#.into(), Meaning::Stored { ack: Ack::Duplicate, sequence: 7 }),
            (r#"{"stream":"","seq":7}"#.into(), Meaning::Foreign),
            (r#"{"stream":"S","seq":0}"#.into(), Meaning::Foreign),
            (r#"{"stream":"s","seq":7,"duplicate":true}"#.into(), Meaning::Foreign),
            (error(503, 10_077), Meaning::Full),
            (error(503, 10_023), Meaning::Failed(PublishError::Refused)),
            (error(400, 10_054), Meaning::Failed(PublishError::TooLarge)),
            (error(400, 10_060), Meaning::Foreign),
            (error(400, 10_109), Meaning::Failed(PublishError::Unprovisioned)),
            (error(409, 10_158), Meaning::Unknown),
            (error(503, 10_008), Meaning::NotNow),
            (error(400, 10_071), Meaning::Failed(PublishError::Rejected)),
            ("hello".into(), Meaning::Foreign),
            (String::new(), Meaning::Foreign),
        ] {
            assert_eq!(meaning(&reply(&payload), "S"), expected, "{payload}");
        }
        let none = async_nats::Message { status: Some(StatusCode::NO_RESPONDERS), ..reply("") };
        assert_eq!(meaning(&none, "S"), Meaning::NoResponders);
    }
}
