//! Events: bodies of the documented size, each with an id and an entity of its own, signed before any clock starts.
//!
//! hookbus remembers recent events and the stream remembers message ids, so a body that comes twice would measure the
//! memory and not the way to the bus.

use std::time::{SystemTime, UNIX_EPOCH};

use hookbus::{secrets::Secret, vendors::Vendor, verify::sign};

/// The path of the one source.
pub const PATH: &str = "/webhooks/1099policy";
/// The signing secret of that source.
pub const SECRET: &str = "whsec_Zm9vYmFyMTA5OXBvbGljeQ";
/// The type of every event.
pub const TYPE: &str = "policy.active";

/// The path of a source by its number, for gateways that have several.
pub fn path(source: usize) -> String {
    if source == 0 { PATH.into() } else { format!("{PATH}/s{source:03}") }
}

/// 714 bytes: a documented example, whose ids are replaced by others of the same length.
const SAMPLE: &str = include_str!("../../src/vendors/policy1099/samples/event_api/policy.active.json");
const SAMPLE_ID: &str = "ev_M4nBvC7xZaQ2wSe5Rd000";
const SAMPLE_ENTITY: &str = "pl_Ol9PkM8njB";

/// Texts laid one behind another: a hundred thousand small allocations would make the load generator dear.
#[derive(Debug, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Batch {
    /// One text; `None` behind the last.
    pub fn get(&self, number: usize) -> Option<&[u8]> {
        let end = *self.ends.get(number)?;
        let start = if number == 0 { 0 } else { self.ends[number - 1] };
        Some(&self.bytes[start..end])
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    fn end(&mut self) {
        self.ends.push(self.bytes.len());
    }
}

/// Makes events that no other forge makes.
#[derive(Debug)]
pub struct Forge {
    run: u32,
    next: u64,
    secret: Secret,
}

impl Forge {
    pub fn new() -> Self {
        let secret = Secret::from_text(SECRET.into()).expect("a secret");
        Forge { run: fastrand::u32(..), next: 0, secret }
    }

    /// One event's id and its entity's, which no other event has.
    pub fn ids(&mut self) -> (String, String) {
        self.next += 1;
        (format!("ev_{:08x}{:013}", self.run, self.next), format!("pl_{:010}", self.next))
    }

    /// One body and its event id.
    pub fn body(&mut self) -> (String, String) {
        let (id, entity) = self.ids();
        (SAMPLE.replace(SAMPLE_ID, &id).replace(SAMPLE_ENTITY, &entity), id)
    }

    /// Whole HTTP requests, signed now.
    pub fn requests(&mut self, count: usize) -> Batch {
        self.requests_of(count, |forge, _| (PATH.into(), forge.body().0))
    }

    /// The same with paths and bodies of the caller's, made by number.
    pub fn requests_of(&mut self, count: usize, make: impl Fn(&mut Forge, usize) -> (String, String)) -> Batch {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_secs();
        let mut batch = Batch::default();
        for number in 0..count {
            let (path, body) = make(self, number);
            let mut head = format!(
                "POST {path} HTTP/1.1\r\nhost: hookbus\r\ncontent-type: application/json\r\ncontent-length: {}\r\n",
                body.len()
            );
            for (name, value) in sign::headers(Vendor::Policy1099, &self.secret, now.cast_signed(), body.as_bytes()) {
                head.extend([name, ": ", &value, "\r\n"]);
            }
            head.push_str("\r\n");
            batch.bytes.extend_from_slice(head.as_bytes());
            batch.bytes.extend_from_slice(body.as_bytes());
            batch.end();
        }
        batch
    }
}
