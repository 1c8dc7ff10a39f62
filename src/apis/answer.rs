//! What an API answers.
//!
//! In: JSON. Out: an [`Endpoint`], a secret, deliveries, or where the answer is not what the documents show. Members that
//! nobody documents are passed over.

use std::{collections::BTreeSet, fmt};

use http::Method;
use percent_encoding::utf8_percent_encode;
use serde_json::Value;

use super::api::{Api, Call, PLAIN, Wanted};

/// Stands for every event in a list of events.
const EVERY: &str = "*";
/// Most bytes of an endpoint's id.
const MOST_ID: usize = 256;

/// What an endpoint is at the vendor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The vendor's id of it.
    pub id: String,
    /// Where the vendor posts to.
    pub url: String,
    /// The events that it posts; `None` when the answer does not show them.
    pub events: Option<BTreeSet<String>>,
    /// Whether it gets events, in the vendor's words, where the answer shows it.
    pub status: Option<String>,
}

impl Endpoint {
    /// Whether it gets other events than wanted. What the answer does not show is not compared.
    pub fn has_other_events(&self, wanted: &Wanted, all: &BTreeSet<String>) -> bool {
        let is_every = |events: &BTreeSet<String>| events.contains(EVERY) && wanted.events.is_superset(all);
        self.events.as_ref().is_some_and(|events| *events != wanted.events && !is_every(events))
    }
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// What it holds.
    pub endpoints: Vec<Endpoint>,
    /// The call for the part behind it.
    pub next: Option<Call>,
}

/// One delivery of an event, as the vendor has logged it. Neither the event's id nor its body is in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The vendor's id of it.
    pub id: String,
    /// The event's type.
    pub event: String,
    /// RFC 3339.
    pub time: String,
    /// `delivered` or `failed`.
    pub status: String,
    /// The status that the receiver answered.
    pub code: Option<u64>,
    /// How often it was tried.
    pub attempts: u64,
    /// What the vendor says of the last attempt.
    pub error: Option<String>,
}

/// What was read of a list, or of a part of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part<T> {
    /// The items, each as the documents show it.
    pub items: Vec<T>,
    /// Where others are of another shape: they are passed over.
    pub odd: Vec<Shape>,
    /// The id of the last one, also of an odd one: the next part is behind it.
    pub last: Option<String>,
}

impl<T> Part<T> {
    pub(super) fn of(list: &[Value], read: impl Fn(usize) -> Result<T, Shape>) -> Self {
        let (mut items, mut odd) = (Vec::new(), Vec::new());
        for index in 0..list.len() {
            match read(index) {
                Ok(item) => items.push(item),
                Err(shape) => odd.push(shape),
            }
        }
        let last = list.last().and_then(|last| last["id"].as_str()).filter(|id| is_id(id));
        Part { items, odd, last: last.map(str::to_owned) }
    }

    /// Refuses what has items of which none can be read.
    ///
    /// # Errors
    /// Where the first one is odd.
    pub fn readable(mut self) -> Result<Self, Shape> {
        if self.items.is_empty() && !self.odd.is_empty() { Err(self.odd.remove(0)) } else { Ok(self) }
    }
}

impl Delivery {
    /// Whether the vendor has given it up.
    pub fn has_failed(&self) -> bool {
        self.status == "failed"
    }
}

/// An answer that is not what the documents show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// JSON Pointer to the member.
    pub path: String,
    /// What it should be.
    pub wanted: &'static str,
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path.is_empty() { "the answer" } else { &self.path };
        write!(f, "{path} is not {}", self.wanted)
    }
}

impl Api {
    /// Whether an endpoint is switched off, as far as its answer shows.
    pub fn is_off(&self, endpoint: &Endpoint) -> bool {
        self.status.is_some_and(|words| endpoint.status.as_ref().is_some_and(|status| status != words.on))
    }

    /// Reads the answer to [`Api::create`]: the endpoint's id, and its secret.
    pub fn read_created(&self, answer: &Value) -> (Result<String, Shape>, Result<String, Shape>) {
        (id(answer, self.created), text(answer, "", "secret"))
    }

    /// Reads a part of a list. No document shows a list's answer: a list alone, or one inside an object, is taken, and with
    /// `has_more` the next part asked for as the API's other lists are.
    pub fn read_list(&self, answer: &Value) -> Result<Page, Shape> {
        let lists = || self.listed.iter().filter_map(|path| Some((*path, answer.pointer(path)?.as_array()?)));
        let wanted = "a list of endpoints";
        let (path, list) = lists().next().ok_or_else(|| Shape { path: String::new(), wanted })?;
        let endpoints = (0..list.len()).map(|index| endpoint(answer, &format!("{path}/{index}")));
        let endpoints = endpoints.collect::<Result<Vec<_>, _>>()?;
        let has_more = answer.get("has_more").and_then(Value::as_bool).unwrap_or(false);
        let next = endpoints.last().filter(|_| has_more).map(|last| {
            let after = utf8_percent_encode(&last.id, PLAIN);
            self.call(Method::GET, format!("{}?starting_after={after}", self.endpoints))
        });
        Ok(Page { endpoints, next })
    }

    /// Reads the answer to [`Api::deliveries`].
    pub fn read_deliveries(&self, answer: &Value) -> Result<Part<Delivery>, Shape> {
        let wanted = "a list of deliveries";
        let list = answer.get("deliveries").and_then(Value::as_array);
        let list = list.ok_or_else(|| Shape { path: "/deliveries".into(), wanted })?;
        Part::of(list, |index| delivery(answer, &format!("/deliveries/{index}"))).readable()
    }
}

/// What an answer that refuses says: in `message`, or in `error`, which is a text or has a `message`.
pub fn message(answer: &Value) -> Option<&str> {
    ["/message", "/error/message", "/error"].iter().find_map(|path| answer.pointer(path)?.as_str())
}

/// Whether an answer with a good status says that it is none.
pub fn refuses(answer: &Value) -> bool {
    answer.get("success") == Some(&Value::Bool(false))
}

fn endpoint(answer: &Value, at: &str) -> Result<Endpoint, Shape> {
    let events = match answer.pointer(&format!("{at}/events")) {
        None | Some(Value::Null) => None,
        Some(events) => {
            let texts = events.as_array().map(|list| list.iter().map(|event| event.as_str().map(str::to_owned)));
            let events: Option<Option<BTreeSet<String>>> = texts.map(Iterator::collect);
            let wanted = "a list of event types";
            Some(events.flatten().ok_or_else(|| Shape { path: format!("{at}/events"), wanted })?)
        }
    };
    let status = optional_text(answer, at, "status")?;
    Ok(Endpoint { id: id(answer, at)?, url: text(answer, at, "url")?, events, status })
}

fn delivery(answer: &Value, at: &str) -> Result<Delivery, Shape> {
    Ok(Delivery {
        id: id(answer, at)?,
        event: text(answer, at, "eventType")?,
        time: text(answer, at, "timestamp")?,
        status: text(answer, at, "status")?,
        // Shown even beside a time-out; an attempt that got no answer may have none.
        code: answer.pointer(&format!("{at}/responseCode")).and_then(Value::as_u64),
        attempts: answer
            .pointer(&format!("{at}/attempts"))
            .and_then(Value::as_u64)
            .ok_or_else(|| Shape { path: format!("{at}/attempts"), wanted: "a whole number" })?,
        error: optional_text(answer, at, "lastError")?,
    })
}

/// An id becomes part of a path, of attributes of events and of lines for a terminal.
pub(super) fn id(answer: &Value, at: &str) -> Result<String, Shape> {
    let id = text(answer, at, "id")?;
    is_id(&id).then_some(id).ok_or_else(|| Shape { path: format!("{at}/id"), wanted: "an id of at most 256 letters" })
}

/// Whether a text can be an id.
pub(super) fn is_id(text: &str) -> bool {
    (1..=MOST_ID).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

pub(super) fn text(answer: &Value, at: &str, member: &str) -> Result<String, Shape> {
    let found = optional_text(answer, at, member)?.filter(|text| !text.is_empty());
    found.ok_or_else(|| Shape { path: format!("{at}/{member}"), wanted: "a text" })
}

fn optional_text(answer: &Value, at: &str, member: &str) -> Result<Option<String>, Shape> {
    let path = format!("{at}/{member}");
    match answer.pointer(&path) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(Shape { path, wanted: "a text" }),
    }
}
