//! Tokens of JSON: where a string or a number ends, and what a string literal says.
//!
//! In: bytes and an offset. Out: the offset behind the token, or nothing when it breaks the grammar. Never looks at what
//! stands around a token.

use std::borrow::Cow;

/// Offset of the first byte at or after `at` that is not insignificant white space.
#[inline]
pub(super) fn skip_space(body: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\n' | b'\r' | b'\t') = body.get(at) {
        at += 1;
    }
    at
}

/// The closing quote of the string whose contents start at `at`, and whether there was an escape. Control characters and
/// unknown escapes are errors; UTF-8 is the caller's check.
#[inline]
pub(super) fn string_end(body: &[u8], mut at: usize) -> Option<(usize, bool)> {
    let mut escaped = false;
    loop {
        // Eight bytes at a time: most strings of a webhook are short, too short for a vectorised search to pay.
        while let Some(chunk) = body.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
            let stops = stops(u64::from_le_bytes(*chunk));
            if stops != 0 {
                at += stops.trailing_zeros() as usize / 8;
                break;
            }
            at += 8;
        }
        match *body.get(at)? {
            b'"' => return Some((at, escaped)),
            b'\\' => {
                escaped = true;
                at = escape_end(body, at + 1)?;
            }
            0..0x20 => return None,
            _ => at += 1,
        }
    }
}

/// The high bit of every byte that is a quote, a backslash or a control character. Bytes above the lowest such one may be
/// marked wrongly (a borrow runs upwards), so only the lowest mark counts.
#[inline]
fn stops(word: u64) -> u64 {
    const ONES: u64 = every(0x01);
    const HIGH: u64 = every(0x80);
    let quote = word ^ const { every(b'"') };
    let backslash = word ^ const { every(b'\\') };
    let zero_quote = quote.wrapping_sub(ONES) & !quote;
    let zero_backslash = backslash.wrapping_sub(ONES) & !backslash;
    let control = word.wrapping_sub(const { every(0x20) }) & !word;
    (zero_quote | zero_backslash | control) & HIGH
}

const fn every(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

/// Offset behind the escape whose letter stands at `at`.
fn escape_end(body: &[u8], at: usize) -> Option<usize> {
    match *body.get(at)? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(at + 1),
        b'u' => {
            let digits = body.get(at + 1..at + 5)?;
            digits.iter().all(u8::is_ascii_hexdigit).then_some(at + 5)
        }
        _ => None,
    }
}

/// Offset behind the number that starts at `at`.
#[inline]
pub(super) fn number_end(body: &[u8], mut at: usize) -> Option<usize> {
    if body.get(at) == Some(&b'-') {
        at += 1;
    }
    // A zero stands alone: `01` ends after the zero, and the digit behind it is then out of place.
    at = if body.get(at) == Some(&b'0') { at + 1 } else { digits_end(body, at)? };
    if body.get(at) == Some(&b'.') {
        at = digits_end(body, at + 1)?;
    }
    if let Some(b'e' | b'E') = body.get(at) {
        at += 1;
        if let Some(b'+' | b'-') = body.get(at) {
            at += 1;
        }
        at = digits_end(body, at)?;
    }
    Some(at)
}

/// Offset behind at least one digit.
#[inline]
fn digits_end(body: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    while let Some(b'0'..=b'9') = body.get(at) {
        at += 1;
    }
    (at > start).then_some(at)
}

/// What the contents of a string literal (the part between its quotes) say. `None` if they hold a surrogate without its
/// partner, which is no text, or an escape that is none.
pub fn unescape(raw: &str) -> Option<Cow<'_, str>> {
    let Some((mut before, mut rest)) = raw.split_once('\\') else {
        return Some(Cow::Borrowed(raw));
    };
    let mut text = String::with_capacity(raw.len());
    loop {
        text.push_str(before);
        let mut letters = rest.chars();
        text.push(match letters.next()? {
            letter @ ('"' | '\\' | '/') => letter,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let (letter, behind) = unicode_escape(letters.as_str())?;
                letters = behind.chars();
                letter
            }
            _ => return None,
        });
        match letters.as_str().split_once('\\') {
            Some(parts) => (before, rest) = parts,
            None => {
                text.push_str(letters.as_str());
                return Some(Cow::Owned(text));
            }
        }
    }
}

/// The character of `XXXX` or of a surrogate pair `XXXX\uXXXX`, and the text behind it.
fn unicode_escape(text: &str) -> Option<(char, &str)> {
    let (first, behind) = hex4(text)?;
    if !(0xD800..0xDC00).contains(&first) {
        // A low surrogate on its own is no `char` either.
        return Some((char::from_u32(first)?, behind));
    }
    let (second, behind) = hex4(behind.strip_prefix("\\u")?)?;
    if !(0xDC00..0xE000).contains(&second) {
        return None;
    }
    Some((char::from_u32(0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00))?, behind))
}

fn hex4(text: &str) -> Option<(u32, &str)> {
    let (digits, behind) = text.split_at_checked(4)?;
    // `from_str_radix` alone would take `+123`.
    let all_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    Some((all_hex.then(|| u32::from_str_radix(digits, 16).ok()).flatten()?, behind))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each byte at each place of eight, alone and below every other: the lowest mark is at the first byte that stops.
    #[test]
    fn eight_bytes_at_a_time_stop_where_one_at_a_time_does() {
        let stops_at = |byte: u8| matches!(byte, b'"' | b'\\' | 0..0x20);
        for place in 0..8 {
            for byte in 0..=u8::MAX {
                for above in 0..=u8::MAX {
                    let mut word = *b"az\x7f\x80\xff !#";
                    word[place] = byte;
                    if let Some(next) = word.get_mut(place + 1) {
                        *next = above;
                    }
                    let expected = word.iter().position(|byte| stops_at(*byte)).unwrap_or(8);
                    assert_eq!(stops(u64::from_le_bytes(word)).trailing_zeros() as usize / 8, expected, "{word:x?}");
                }
            }
        }
    }

    #[test]
    fn surrogates_are_pairs_to_their_last() {
        for (raw, letter) in [
            (r"\ud7ff", '\u{d7ff}'),
            (r"\ue000", '\u{e000}'),
            (r"\ud800\udc00", '\u{10000}'),
            (r"\ud801\udc01", '\u{10401}'),
            (r"\udbff\udfff", '\u{10ffff}'),
        ] {
            assert_eq!(unescape(raw).as_deref(), Some(&*letter.to_string()), "{raw}");
        }
        for raw in [r"\udbff", r"\ud800\udbff", r"\udbff\ue000", r"\udfff"] {
            assert_eq!(unescape(raw), None, "{raw}");
        }
    }
}
