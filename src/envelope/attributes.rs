//! The attributes of one event as a compact list: code, length, text, again and again.
//!
//! The same bytes stand in memory and in the journal, so that an append copies them as they are and a reader (the drain,
//! `hookbus tail`) needs no parser. Clones share them. Codes are part of the on-disk format: never reuse one.

use std::{
    fmt::{Display, Write as _},
    sync::Arc,
};

/// How an attribute is called where; spelt out here, so that no name is put together for each event.
pub(super) struct Spelling {
    plain: &'static str,
    pub(super) kafka: &'static str,
    pub(super) nats: &'static str,
}

/// The rows below as an enum, a list and the spellings.
macro_rules! attributes {
    ($($(#[$doc:meta])* $attribute:ident = $code:literal $($name:literal)?,)*) => {
        /// A CloudEvents attribute or extension, or one of the facts that travel beside them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Attribute {
            $($(#[$doc])* $attribute = $code,)*
        }

        impl Attribute {
            /// All of them, in the order in which they are set.
            pub const ALL: [Attribute; [$($code),*].len()] = [$(Attribute::$attribute),*];

            /// Its name in CloudEvents and as a header of either binding; `None` for what is no attribute.
            pub(super) fn spelling(self) -> Option<Spelling> {
                match self {
                    $($(Attribute::$attribute => Some(Spelling {
                        plain: $name,
                        kafka: concat!("ce_", $name),
                        nats: concat!("ce-", $name),
                    }),)?)*
                    _ => None,
                }
            }

            fn from_code(code: u8) -> Option<Self> {
                match code {
                    $($code => Some(Attribute::$attribute),)*
                    _ => None,
                }
            }
        }
    };
}

attributes! {
    /// CloudEvents `id`.
    Id = 1 "id",
    /// CloudEvents `source`.
    Source = 2 "source",
    /// CloudEvents `type`.
    Type = 3 "type",
    /// CloudEvents `subject`: the entity id.
    Subject = 4 "subject",
    /// CloudEvents `time`: the vendor's event time.
    Time = 5 "time",
    /// CloudEvents `datacontenttype`.
    DataContentType = 6 "datacontenttype",
    /// Extension `vendor`.
    Vendor = 7 "vendor",
    /// Extension `form`.
    Form = 8 "form",
    /// Extension `tenant`.
    Tenant = 9 "tenant",
    /// Extension `entity`: the object type.
    Entity = 10 "entity",
    /// Extension `entitypath`: JSON Pointer to the object inside `data`.
    EntityPath = 11 "entitypath",
    /// Extension `recordedtime`: arrival.
    RecordedTime = 12 "recordedtime",
    /// Extension `environment`: what kind of traffic the source sends.
    Environment = 17 "environment",
    /// Extension `partitionkey`: also the Kafka key.
    PartitionKey = 13 "partitionkey",
    /// Extension `sequence`.
    Sequence = 14 "sequence",
    /// Extension `traceparent`: the start of the transmission.
    Traceparent = 15 "traceparent",
    /// Extension `quarantinereason`.
    QuarantineReason = 16 "quarantinereason",
    /// Extension `causationid`: of an event of hookbus's own, the id of the event that led to it.
    CausationId = 18 "causationid",
    /// Not an attribute: the subject or topic.
    Route = 128,
    /// Not an attribute: `Nats-Msg-Id`.
    MessageId = 129,
    /// Not an attribute: the transport header `traceparent`, this hop's span.
    Hop = 130,
    /// Not an attribute: why the bus refused it for good; only in the dead letters.
    DeadLetterReason = 131,
}

impl Attribute {
    /// The CloudEvents name; `None` for what is no attribute.
    pub fn name(self) -> Option<&'static str> {
        self.spelling().map(|spelling| spelling.plain)
    }

    /// The attribute of a CloudEvents name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|attribute| attribute.name() == Some(name))
    }
}

/// Bytes before each text: the code and the text's length, little endian.
const HEADER: usize = 3;

/// The list. Cheap to clone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attributes {
    encoded: Arc<Vec<u8>>,
}

impl Attributes {
    /// An empty list with room for `bytes`.
    pub fn with_capacity(bytes: usize) -> Self {
        Attributes { encoded: Arc::new(Vec::with_capacity(bytes)) }
    }

    /// Takes the bytes of an earlier list, from the journal. `None` when they are not one.
    pub fn decode(encoded: Vec<u8>) -> Option<Self> {
        let mut rest = encoded.as_slice();
        while !rest.is_empty() {
            let (_, value, tail) = split(rest)?;
            std::str::from_utf8(value).ok()?;
            rest = tail;
        }
        Some(Attributes { encoded: Arc::new(encoded) })
    }

    /// The bytes.
    pub fn encoded(&self) -> &[u8] {
        &self.encoded
    }

    /// The bytes, shared with every clone.
    pub fn into_encoded(self) -> Arc<Vec<u8>> {
        self.encoded
    }

    /// Adds one. Values are bounded where they come from (ids at 256 bytes, configuration at its own limits), far below
    /// the 65,535 bytes that a length can say; a longer one would be left out rather than break the list.
    pub fn push(&mut self, attribute: Attribute, value: &dyn Display) {
        self.push_with(attribute, |text| write!(text, "{value}"));
    }

    /// [`Attributes::push`] for what is text already, in parts: they are copied, since to format them costs more.
    pub fn push_parts(&mut self, attribute: Attribute, parts: &[&str]) {
        self.push_with(attribute, |text| parts.iter().try_for_each(|part| text.write_str(part)));
    }

    fn push_with(&mut self, attribute: Attribute, write: impl FnOnce(&mut Text<'_>) -> std::fmt::Result) {
        let encoded = Arc::make_mut(&mut self.encoded);
        let start = encoded.len();
        encoded.extend_from_slice(&[attribute as u8, 0, 0]);
        let written = write(&mut Text(encoded));
        let length = u16::try_from(encoded.len() - start - HEADER);
        match (written, length) {
            (Ok(()), Ok(length)) => {
                if let Some(place) = encoded.get_mut(start + 1..start + HEADER) {
                    place.copy_from_slice(&length.to_le_bytes());
                }
            }
            _ => encoded.truncate(start),
        }
    }

    /// One value.
    pub fn get(&self, wanted: Attribute) -> Option<&str> {
        let mut rest = self.encoded.as_slice();
        loop {
            let (code, value, tail) = split(rest)?;
            if code == wanted as u8 {
                return std::str::from_utf8(value).ok();
            }
            rest = tail;
        }
    }

    /// All of them, in the order they were set; codes that a later version added are passed over.
    pub fn iter(&self) -> impl Iterator<Item = (Attribute, &str)> {
        self.iter_bytes().filter_map(|(attribute, value)| Some((attribute, std::str::from_utf8(value).ok()?)))
    }

    /// The same as bytes: to look whether they are UTF-8, which they are, costs more than to copy them.
    pub fn iter_bytes(&self) -> impl Iterator<Item = (Attribute, &[u8])> {
        let mut rest = self.encoded.as_slice();
        std::iter::from_fn(move || {
            let (code, value, tail) = split(rest)?;
            rest = tail;
            Some((code, value))
        })
        .filter_map(|(code, value)| Some((Attribute::from_code(code)?, value)))
    }
}

fn split(rest: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[code, low, high], tail) = rest.split_first_chunk::<HEADER>()?;
    let (value, tail) = tail.split_at_checked(usize::from(u16::from_le_bytes([low, high])))?;
    Some((code, value, tail))
}

/// Formats into the list without an intermediate string.
struct Text<'a>(&'a mut Vec<u8>);

impl std::fmt::Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_survives_its_bytes() {
        let mut list = Attributes::with_capacity(0);
        list.push(Attribute::Id, &"evt_1");
        list.push(Attribute::EntityPath, &"");
        list.push(Attribute::Route, &"webhooks.audit1.unknown");
        let again = Attributes::decode(list.encoded().to_vec()).unwrap();
        assert_eq!(again, list);
        assert_eq!(again.get(Attribute::EntityPath), Some(""));
        assert_eq!(again.get(Attribute::Tenant), None);
        assert_eq!(again.iter().count(), 3);
    }

    #[test]
    fn foreign_bytes_are_refused_and_later_codes_passed_over() {
        assert_eq!(Attributes::decode(vec![1, 5, 0, b'a']), None);
        assert_eq!(Attributes::decode(vec![1, 1, 0, 0xff]), None);
        let later = Attributes::decode(vec![99, 1, 0, b'x', 1, 1, 0, b'a']).unwrap();
        assert_eq!(later.iter().collect::<Vec<_>>(), [(Attribute::Id, "a")]);
    }

    #[test]
    fn a_value_too_long_for_its_length_is_left_out() {
        let mut list = Attributes::with_capacity(0);
        list.push(Attribute::Id, &"x".repeat(70_000));
        list.push(Attribute::Type, &"t");
        assert_eq!(list.iter().collect::<Vec<_>>(), [(Attribute::Type, "t")]);
    }

    /// The bytes are a format on disk.
    #[test]
    fn a_value_has_its_code_and_its_length_before_it() {
        let mut list = Attributes::with_capacity(0);
        list.push_parts(Attribute::Id, &["ab", "", "c"]);
        list.push(Attribute::Type, &"t".repeat(300));
        let long = [&[Attribute::Type as u8, 44, 1][..], "t".repeat(300).as_bytes()].concat();
        assert_eq!(list.encoded(), [&[Attribute::Id as u8, 3, 0, b'a', b'b', b'c'][..], &long].concat());
        assert_eq!(*list.clone().into_encoded(), list.encoded());
        for cut in [1, 2, 3, 5, list.encoded().len() - 1] {
            assert_eq!(Attributes::decode(list.encoded()[..cut].to_vec()), None, "cut to {cut}");
        }
        let mut longest = Attributes::with_capacity(0);
        longest.push(Attribute::Id, &"x".repeat(65_535));
        longest.push(Attribute::Subject, &"x".repeat(65_536));
        assert_eq!(longest.iter().map(|(_, value)| value.len()).collect::<Vec<_>>(), [65_535]);
    }

    #[test]
    fn codes_are_distinct() {
        for attribute in Attribute::ALL {
            assert_eq!(Attribute::from_code(attribute as u8), Some(attribute));
        }
    }
}
