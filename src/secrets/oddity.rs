//! What is odd about a secret: marks of a file that was saved, copied or quoted in a way that changes the secret. Such a secret
//! works if the vendor has the very same bytes, so it is only warned of, by its kind; no text here shows any of its bytes.

use std::{fmt, iter};

use base64::{Engine as _, engine::general_purpose::STANDARD};

/// Bytes below which a secret is worth a warning: it could be guessed offline from one signed request.
pub const SHORT_BYTES: usize = 16;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The kinds. Their texts continue a sentence that begins with "the secret".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Oddity {
    /// Fewer than [`SHORT_BYTES`] bytes.
    Short,
    /// A UTF-8 byte order mark at its start.
    ByteOrderMark,
    /// UTF-16, by its byte order mark or its zero bytes.
    Utf16,
    /// A blank at its start or end.
    Blanks,
    /// An end of a line at its end, beside the one that is no part of it.
    SecondNewline,
    /// Several lines.
    Lines,
    /// Quotation marks around it.
    Quotes,
    /// A name and an equals sign before the value.
    Assignment,
    /// Base64 of a text that begins as a secret does.
    Base64,
}

impl Oddity {
    fn text(self) -> &'static str {
        match self {
            Oddity::Short => "has fewer than 16 bytes and can be guessed; use a longer one",
            Oddity::ByteOrderMark => "begins with a UTF-8 byte order mark, which is part of it; save the file without",
            Oddity::Utf16 => "looks like UTF-16; save the file as plain text (UTF-8)",
            Oddity::Blanks => {
                "has a blank at its start or end, which is part of it; remove it unless the vendor has it too"
            }
            Oddity::SecondNewline => "ends with a second newline, which is part of it; remove it",
            Oddity::Lines => {
                "has several lines, and all of them are one secret; write each secret into a file of its own"
            }
            Oddity::Quotes => "stands in quotation marks, which are part of it; remove them",
            Oddity::Assignment => "looks like NAME=value, and all of it is the secret; keep only the value",
            Oddity::Base64 => "looks like base64 of a secret, and is not decoded; write the decoded one into the file",
        }
    }
}

impl fmt::Display for Oddity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the secret {}", self.text())
    }
}

impl Oddity {
    /// All that is odd about a secret.
    pub(super) fn of(whole: &[u8]) -> Vec<Oddity> {
        if is_utf16(whole) {
            return vec![Oddity::Utf16];
        }
        let marked = whole.strip_prefix(BYTE_ORDER_MARK);
        let text = marked.unwrap_or(whole);
        let core = text.trim_ascii();
        let edges = || text.first().into_iter().chain(text.last());
        let is_end_of_line = |byte: &u8| matches!(byte, b'\n' | b'\r');
        let found = [
            (Oddity::Short, whole.len() < SHORT_BYTES),
            (Oddity::ByteOrderMark, marked.is_some()),
            (Oddity::Blanks, edges().any(|byte| byte.is_ascii_whitespace() && !is_end_of_line(byte))),
            (Oddity::SecondNewline, text.last().is_some_and(&is_end_of_line)),
            (Oddity::Lines, core.iter().any(is_end_of_line)),
            (Oddity::Quotes, is_quoted(core)),
            (Oddity::Assignment, is_assignment(core)),
            (Oddity::Base64, STANDARD.decode(core).is_ok_and(|inner| inner.starts_with(b"whsec_"))),
        ];
        found.into_iter().filter_map(|(oddity, is_so)| is_so.then_some(oddity)).collect()
    }
}

/// A text of ASCII in UTF-16 has a zero byte in every second place; the final newline may have taken half a letter along.
fn is_utf16(text: &[u8]) -> bool {
    let zeros = |first: usize| text.len() >= 4 && text.iter().skip(first).step_by(2).all(|byte| *byte == 0);
    text.starts_with(b"\xff\xfe") || text.starts_with(b"\xfe\xff") || zeros(0) || zeros(1)
}

fn is_quoted(text: &[u8]) -> bool {
    matches!(text, [b'"', .., b'"'] | [b'\'', .., b'\''])
}

/// `NAME=value`, also behind `export`. The equals signs at the end of base64 are no assignment.
fn is_assignment(text: &[u8]) -> bool {
    let text = text.strip_prefix(b"export ").unwrap_or(text);
    let mut parts = text.splitn(2, |byte| *byte == b'=');
    let (Some(name), Some(value)) = (parts.next(), parts.next()) else {
        return false;
    };
    let is_name = name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    is_name && name.first().is_some_and(|byte| !byte.is_ascii_digit()) && value.iter().any(|byte| *byte != b'=')
}

/// The sources that share a secret with an earlier one, as (earlier, later). `sources`: the digests of each one's secrets.
pub fn shared<'a>(sources: impl IntoIterator<Item = &'a [[u8; 32]]>) -> Vec<(usize, usize)> {
    let sources: Vec<&[[u8; 32]]> = sources.into_iter().collect();
    let twins = |(later, digests): (usize, &&[[u8; 32]])| {
        let twin = sources.iter().take(later).position(|others| others.iter().any(|other| digests.contains(other)));
        twin.map(|earlier| (earlier, later))
    };
    iter::zip(0.., &sources).filter_map(twins).collect()
}

#[cfg(test)]
mod tests {
    use super::{Oddity::*, *};

    fn oddities(text: &[u8]) -> Vec<Oddity> {
        // As it is read from a file.
        let line = text.strip_suffix(b"\n").map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        Oddity::of(line.unwrap_or(text))
    }

    #[test]
    fn each_kind_is_seen_and_shows_no_byte() {
        let utf16 = |bytes: fn(u16) -> [u8; 2], text: &str| text.encode_utf16().flat_map(bytes).collect::<Vec<u8>>();
        let key = "whsec_0123456789abcdef";
        let cases: Vec<(Vec<u8>, &[Oddity])> = vec![
            (format!("{key}\n").into(), &[]),
            (format!("{key}\r\n").into(), &[]),
            ("MDEyMzQ1Njc4OWFiY2RlZg==".into(), &[]),
            (b"\x80\x00\x11\xfe\x27\x00\x13\xb1\x80\x00\x11\xfe\x27\x00\x13\xb1".to_vec(), &[]),
            ("short".into(), &[Short]),
            (format!("\u{feff}{key}").into(), &[ByteOrderMark]),
            (utf16(u16::to_le_bytes, &format!("\u{feff}{key}\n")), &[Utf16]),
            (utf16(u16::to_be_bytes, &format!("\u{feff}{key}\n")), &[Utf16]),
            (utf16(u16::to_le_bytes, &format!("{key}\n")), &[Utf16]),
            (utf16(u16::to_be_bytes, &format!("{key}\n")), &[Utf16]),
            (format!(" {key}").into(), &[Blanks]),
            (format!("{key}\t\n").into(), &[Blanks]),
            (format!("{key}\n\n").into(), &[SecondNewline]),
            (format!("{key}\r\n\r\n").into(), &[SecondNewline]),
            (format!("{key}\n{key}\n").into(), &[Lines]),
            (format!("\"{key}\"\n").into(), &[Quotes]),
            (format!("'{key}'").into(), &[Quotes]),
            (format!("SECRET={key}").into(), &[Assignment]),
            (format!("export SECRET=\"{key}\"").into(), &[Assignment]),
            (STANDARD.encode(key).into(), &[Base64]),
            (format!("\u{feff} '{key}'\n\n").into(), &[ByteOrderMark, Blanks, SecondNewline, Quotes]),
        ];
        for (text, expected) in cases {
            assert_eq!(oddities(&text), expected, "{:?}", String::from_utf8_lossy(&text));
            for oddity in expected {
                assert!(!oddity.to_string().contains("0123"), "{oddity}");
            }
        }
    }

    #[test]
    fn a_secret_of_two_sources_is_seen() {
        let (a, b, c) = ([1; 32], [2; 32], [3; 32]);
        assert_eq!(shared([&[a, b][..], &[c], &[c, b], &[a]]), [(0, 2), (0, 3)]);
        assert_eq!(shared([&[a, a][..], &[b]]), []);
    }
}
