//! The hot path's JSON reader: one pass that validates a body and shows the few members a webhook reader asks for.
//!
//! In: the bytes of a body. Out: whether they are one JSON text (RFC 8259), and every member of the root object, of its
//! `data` object and of `data.object`, as spans into the body. It never builds a tree, never converts a number, never
//! recurses and never changes a byte; what a member means is the caller's affair.

mod compact;
#[cfg(test)]
mod tests;
mod text;

pub use compact::{compact, compacting_joins_tokens};
pub use text::unescape;

use text::{number_end, skip_space, string_end};

/// U+FEFF, which some tools write before a text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The JSON text of a body: a byte order mark before it is no part of it (RFC 8259, section 8.1).
pub fn without_mark(body: &[u8]) -> &[u8] {
    body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body)
}

/// Deepest nesting a body may have. No vendor's webhook is deeper than this, and consumers with recursive parsers
/// would fail on it.
pub const MAX_DEPTH: u32 = 128;

/// Longest key, as written, that is compared with anything. The longest name a caller can ask for is a 128-byte type
/// token and `_id`; written with nothing but `\uXXXX` escapes that is 786 bytes.
const MAX_KEY_BYTES: usize = 1024;

/// Why a body is not a JSON text that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Defect {
    /// The bytes are not UTF-8.
    #[error("not UTF-8")]
    NotUtf8,
    /// The text breaks the grammar of RFC 8259.
    #[error("not JSON")]
    NotJson,
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("nested deeper than {MAX_DEPTH}")]
    TooDeep,
}

/// Which object a member stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The root object.
    Root,
    /// The object that is the root's `data`.
    Data,
    /// The object that is `data.object`.
    DataObject,
}

/// What kind of value a text or a member holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `{…}`
    Object,
    /// `[…]`
    Array,
    /// `"…"`
    String,
    /// A number, as written.
    Number,
    /// `true`, `false` or `null`.
    Literal,
}

/// A value's place in the body: of a string the part between its quotes, of an object or array only the opening bracket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Value {
    /// The kind of the value.
    pub kind: Kind,
    /// Offset of its first byte.
    pub start: usize,
    /// Offset behind its last byte.
    pub end: usize,
}

impl Value {
    /// The value as written. Empty if `body` is not the body it was found in.
    pub fn raw(self, body: &str) -> &str {
        body.get(self.start..self.end).unwrap_or_default()
    }
}

/// One member of one of the three objects that are looked into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member<'a> {
    /// The object it stands in.
    pub scope: Scope,
    /// Its name with escapes resolved: `"\u0074ype"` is `type`.
    pub key: &'a str,
    /// Its value.
    pub value: Value,
}

/// A body that has been found to be JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Document<'a> {
    /// The body as text.
    pub text: &'a str,
    /// What the whole text is.
    pub kind: Kind,
}

/// Validates `body` and hands each member of the three scopes to `visit`, in the order of the text, repeated names
/// included. Members seen before a defect have been handed over too: only an `Ok` makes them worth anything.
///
/// # Errors
///
/// [`Defect`] names the first thing that is wrong. Lone surrogate escapes and numbers of any size are not: the grammar
/// allows them, and nothing here converts them.
pub fn scan(body: &[u8], mut visit: impl FnMut(Member<'_>)) -> Result<Document<'_>, Defect> {
    let text = std::str::from_utf8(body).map_err(|_| Defect::NotUtf8)?;
    let mut nest = Nest::default();
    let mut key = None;
    let mut at = skip_space(body, 0);
    let mut first = None;
    loop {
        let (value, next) = value_at(body, at).ok_or(Defect::NotJson)?;
        let kind = *first.get_or_insert(value.kind);
        at = next;
        let scope = key.take().and_then(|key| nest.show(text, key, value, &mut visit));
        if matches!(value.kind, Kind::Object | Kind::Array) {
            nest.open(value.kind, scope)?;
            at = skip_space(body, at);
            if body.get(at) != Some(&nest.closing()) {
                if nest.in_object() {
                    key = Some(Key::read(body, &mut at).ok_or(Defect::NotJson)?);
                }
                continue;
            }
        } else if nest.depth == 0 {
            return end_of_text(body, at, Document { text, kind });
        }
        // A value has ended, or an empty container stands before its closing bracket.
        loop {
            at = skip_space(body, at);
            let byte = body.get(at).copied().ok_or(Defect::NotJson)?;
            at += 1;
            if byte == b',' {
                at = skip_space(body, at);
                if nest.in_object() {
                    key = Some(Key::read(body, &mut at).ok_or(Defect::NotJson)?);
                }
                break;
            }
            if byte != nest.closing() {
                return Err(Defect::NotJson);
            }
            nest.close();
            if nest.depth == 0 {
                return end_of_text(body, at, Document { text, kind });
            }
        }
    }
}

fn end_of_text<'a>(body: &[u8], at: usize, document: Document<'a>) -> Result<Document<'a>, Defect> {
    if skip_space(body, at) == body.len() { Ok(document) } else { Err(Defect::NotJson) }
}

/// The value that starts at `at`, and where reading goes on. Containers are only opened.
#[inline]
fn value_at(body: &[u8], at: usize) -> Option<(Value, usize)> {
    let (kind, start, end, next) = match *body.get(at)? {
        b'"' => {
            let (end, _) = string_end(body, at + 1)?;
            (Kind::String, at + 1, end, end + 1)
        }
        b'{' => (Kind::Object, at, at + 1, at + 1),
        b'[' => (Kind::Array, at, at + 1, at + 1),
        b't' => literal(body, at, b"true")?,
        b'f' => literal(body, at, b"false")?,
        b'n' => literal(body, at, b"null")?,
        _ => {
            let end = number_end(body, at)?;
            (Kind::Number, at, end, end)
        }
    };
    Some((Value { kind, start, end }, next))
}

fn literal(body: &[u8], at: usize, word: &[u8]) -> Option<(Kind, usize, usize, usize)> {
    let end = at + word.len();
    (body.get(at..end)? == word).then_some((Kind::Literal, at, end, end))
}

/// A key's place in the body.
#[derive(Clone, Copy)]
struct Key {
    start: usize,
    end: usize,
    escaped: bool,
}

impl Key {
    /// Reads `"key" :` and leaves `at` where the value starts.
    #[inline]
    fn read(body: &[u8], at: &mut usize) -> Option<Key> {
        if *body.get(*at)? != b'"' {
            return None;
        }
        let start = *at + 1;
        let (end, escaped) = string_end(body, start)?;
        let colon = skip_space(body, end + 1);
        if *body.get(colon)? != b':' {
            return None;
        }
        *at = skip_space(body, colon + 1);
        Some(Key { start, end, escaped })
    }
}

/// The open containers: one bit each, innermost lowest, set for an object.
#[derive(Default)]
struct Nest {
    objects: u128,
    depth: u32,
    /// How many of the outermost containers form the chain root, `data`, `data.object`.
    chain: u32,
}

impl Nest {
    fn open(&mut self, kind: Kind, scope: Option<Scope>) -> Result<(), Defect> {
        if self.depth == MAX_DEPTH {
            return Err(Defect::TooDeep);
        }
        let root = self.depth == 0;
        self.depth += 1;
        self.objects = self.objects << 1 | u128::from(kind == Kind::Object);
        if kind == Kind::Object && (root || scope.is_some()) {
            self.chain = self.depth;
        }
        Ok(())
    }

    fn close(&mut self) {
        self.depth -= 1;
        self.objects >>= 1;
        self.chain = self.chain.min(self.depth);
    }

    fn in_object(&self) -> bool {
        self.objects & 1 == 1
    }

    /// The bracket that closes the innermost container.
    fn closing(&self) -> u8 {
        if self.in_object() { b'}' } else { b']' }
    }

    /// Shows a member to the caller if it stands in one of the three objects. Returns which of them it would open.
    #[inline]
    fn show(&self, text: &str, key: Key, value: Value, visit: &mut impl FnMut(Member<'_>)) -> Option<Scope> {
        if self.chain != self.depth || key.end - key.start > MAX_KEY_BYTES {
            return None;
        }
        let scope = match self.depth {
            1 => Scope::Root,
            2 => Scope::Data,
            _ => Scope::DataObject,
        };
        let raw = text.get(key.start..key.end)?;
        let unescaped;
        let key = if key.escaped {
            // A lone surrogate: the key equals no text that a caller can ask for.
            unescaped = unescape(raw)?;
            unescaped.as_ref()
        } else {
            raw
        };
        visit(Member { scope, key, value });
        match (scope, key) {
            (Scope::Root, "data") => Some(Scope::Data),
            (Scope::Data, "object") => Some(Scope::DataObject),
            _ => None,
        }
    }
}
