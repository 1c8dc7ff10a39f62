//! Text encoders: hexadecimal, digits, instants, percent and backslash escapes.
//!
//! In: text, bytes or numbers. Out: the same, safe where it goes: a header, a JSON string, a log line, a terminal.
//!
//! Numbers that stand in every event are written here digit by digit: `core::fmt` takes several times the instructions.

use std::{borrow::Cow, fmt, io::Write as _};

use jiff::civil::DateTime;
use percent_encoding::{AsciiSet, CONTROLS};

/// Decodes exactly `2 * N` hexadecimal digits, in either case; anything else is `None`. Never allocates.
pub fn hex_decode<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    // Without this, the crate also takes a `0x` in front.
    if text.len() == 2 * N { const_hex::decode_to_array(text).ok() } else { None }
}

/// Lower-case hexadecimal text.
pub fn hex_encode(bytes: &[u8]) -> String {
    const_hex::encode(bytes)
}

/// Writes the last digits of a number, as many as there is place for, with zeros before them.
pub fn digits(mut number: u64, place: &mut [u8]) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// Adds a number to a text.
pub fn push_number(number: u64, out: &mut String) {
    let mut most = [0; 20];
    let place = &mut most[..=number.checked_ilog10().unwrap_or(0) as usize];
    digits(number, place);
    out.push_str(std::str::from_utf8(place).unwrap_or_default());
}

/// `2026-06-02T18:04:11`, with which RFC 3339 begins; none before the year 0, which RFC 3339 does not have.
pub fn seconds(utc: DateTime) -> Option<[u8; 19]> {
    let mut text = *b"0000-00-00T00:00:00";
    digits(u64::try_from(utc.year()).ok()?, &mut text[..4]);
    let two = [(5, utc.month()), (8, utc.day()), (11, utc.hour()), (14, utc.minute()), (17, utc.second())];
    two.into_iter().for_each(|(at, number)| digits(number.unsigned_abs().into(), &mut text[at..at + 2]));
    Some(text)
}

/// RFC 3339 in UTC with microseconds, as `{instant:.6}` writes it.
#[derive(Debug, Clone, Copy)]
pub struct Microseconds(pub jiff::Timestamp);

impl fmt::Display for Microseconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let utc = jiff::tz::Offset::UTC.to_datetime(self.0);
        let Some(seconds) = seconds(utc) else { return write!(f, "{:.6}", self.0) };
        let mut text = *b"0000-00-00T00:00:00.000000Z";
        text[..seconds.len()].copy_from_slice(&seconds);
        digits(u64::from(utc.subsec_nanosecond().unsigned_abs()) / 1000, &mut text[20..26]);
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

/// What CloudEvents' NATS binding encodes in a header's value, beside all that is not ASCII.
const NATS_HEADER: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%');

/// The NATS binding's header values: space, `"`, `%` and everything outside U+0021-U+007E as `%XX`. Allocates only when
/// there is something to encode.
pub fn percent_encode(text: &str) -> Cow<'_, str> {
    percent_encoding::utf8_percent_encode(text, NATS_HEADER).into()
}

/// The text whose [`percent_encode`] this is. A `%` without two digits stays; what is no UTF-8 becomes U+FFFD.
pub fn percent_decode(text: &str) -> Cow<'_, str> {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy()
}

/// The inside of a JSON string, of the bytes of a text: `"`, `\` and control characters as escapes, everything else as it is.
pub fn json_string(text: &[u8], out: &mut Vec<u8>) {
    escape_bytes(text, is_quote_or_backslash, out);
}

/// JSON on one line: control characters, which only a literal that is no JSON can hold, as escapes.
pub fn one_line(json: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(json.len());
    escape_bytes(json, |_| false, &mut out);
    out
}

/// Printable ASCII for a log line, at most `most` characters of the text: everything else is a JSON escape, so that no
/// U+202E and its kind reorders the line on a terminal.
///
/// # Errors
/// Those of `out`; a `String` has none.
pub fn ascii(text: &str, most: usize, out: &mut impl fmt::Write) -> fmt::Result {
    let is_plain = |byte| matches!(byte, b' '..=b'~') & !is_quote_or_backslash(byte);
    // Nearly every text is plain, and copied in one piece.
    if text.len() <= most && all_of(text.as_bytes(), is_plain) {
        return out.write_str(text);
    }
    for character in text.chars().take(most) {
        match character {
            '"' | '\\' => write!(out, "\\{character}")?,
            ' '..='~' => out.write_char(character)?,
            _ => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    write!(out, "\\u{unit:04x}")?;
                }
            }
        }
    }
    Ok(())
}

/// A line for a terminal: the characters that move its cursor or turn its text around as JSON escapes.
pub fn terminal(line: &[u8]) -> String {
    let mut text = String::with_capacity(line.len());
    for character in String::from_utf8_lossy(line).chars() {
        match character {
            '\0'..='\u{1f}'
            | '\u{61c}'
            | '\u{7f}'..='\u{9f}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}' => text.push_str(&format!("\\u{:04x}", u32::from(character))),
            other => text.push(other),
        }
    }
    text
}

/// Whether all bytes are such. It looks at each, whatever the ones before it are: a loop without a way out takes many at once.
pub fn all_of(bytes: &[u8], is_such: impl Fn(u8) -> bool) -> bool {
    bytes.iter().fold(true, |all, byte| all & is_such(*byte))
}

fn is_quote_or_backslash(byte: u8) -> bool {
    (byte == b'"') | (byte == b'\\')
}

fn escape_bytes(bytes: &[u8], is_quoted: impl Fn(u8) -> bool, out: &mut Vec<u8>) {
    // Nearly every text is plain, and copied in one piece.
    if all_of(bytes, |byte| (byte >= 0x20) & !is_quoted(byte)) {
        out.extend_from_slice(bytes);
        return;
    }
    for byte in bytes {
        match byte {
            0..0x20 => {
                // Writing to a Vec cannot fail.
                let _infallible = write!(out, "\\u{byte:04x}");
            }
            byte if is_quoted(*byte) => out.extend_from_slice(&[b'\\', *byte]),
            byte => out.push(*byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_takes_both_cases_the_exact_length_and_nothing_else() {
        assert_eq!(hex_decode::<3>(b"00fFA9"), Some([0, 0xff, 0xa9]));
        for bad in [&b"00ff"[..], b"00ffa9a9", b"0x00ffa9", b"0x00ff", b"00fg00", b"00 f00", b"+0ff00", b""] {
            assert_eq!(hex_decode::<3>(bad), None, "{bad:?}");
        }
        assert_eq!(hex_encode(&[0, 0xff, 0xa9]), "00ffa9");
    }

    #[test]
    fn numbers_and_instants_are_written_as_core_writes_them() {
        let written = |number| {
            let mut text = "n".to_owned();
            push_number(number, &mut text);
            text
        };
        for number in [0, 7, 10, 999, 1_000_000, u64::MAX - 1, u64::MAX] {
            assert_eq!(written(number), format!("n{number}"));
            let mut place = [b'x'; 20];
            digits(number, &mut place);
            assert_eq!(std::str::from_utf8(&place), Ok(&*format!("{number:020}")));
        }
        let (least, most) = (jiff::Timestamp::MIN.as_nanosecond(), jiff::Timestamp::MAX.as_nanosecond());
        let mut instants =
            vec![least, most, -62_167_219_200_000_000_000, -62_167_219_200_000_000_001, -1, 0, 1, 999, 1000];
        let mut random = fastrand::Rng::with_seed(15);
        instants.extend((0..1000).map(|_| random.i128(least..=most)));
        instants.extend((0..1000).map(|_| random.i128(0..4_102_444_800_000_000_000)));
        for instant in instants {
            let instant = jiff::Timestamp::from_nanosecond(instant).unwrap();
            assert_eq!(Microseconds(instant).to_string(), format!("{instant:.6}"));
        }
    }

    #[test]
    fn percent_follows_the_nats_binding_and_comes_back() {
        let odd = "a \"b\" \\ é %25 \u{7f}\n~!";
        assert_eq!(percent_encode(odd), "a%20%22b%22%20\\%20%C3%A9%20%2525%20%7F%0A~!");
        assert_eq!(percent_decode(&percent_encode(odd)), odd);
        assert!(matches!(percent_encode("com.audit1.file/failed"), Cow::Borrowed(_)));
        for bad in ["100%", "%zz%4", "%+4"] {
            assert_eq!(percent_decode(bad), bad);
        }
        assert_eq!(percent_decode("%ff"), "\u{fffd}");
    }

    #[test]
    fn a_json_string_reads_back() {
        for text in ["plain é", "a \"b\" \\ \n\u{1}\u{1f}\u{7f}"] {
            let mut json = b"\"".to_vec();
            json_string(text.as_bytes(), &mut json);
            json.push(b'"');
            assert_eq!(serde_json::from_slice::<String>(&json).unwrap(), text);
        }
    }

    #[test]
    fn a_log_field_is_ascii_and_bounded() {
        let field = |text: &str, most| {
            let mut out = String::new();
            ascii(text, most, &mut out).unwrap();
            out
        };
        assert_eq!(field("plain ~", 7), "plain ~");
        assert_eq!(field("plain ~", 6), "plain ");
        assert_eq!(field("\"\\\n\u{7f}\u{202e}\u{1f600}x", 6), r#"\"\\\u000a\u007f\u202e\ud83d\ude00"#);
    }

    #[test]
    fn nothing_that_others_wrote_moves_a_cursor_or_ends_a_line() {
        let line = b"{\"a\":\"1\n2\x1b[31m3\xd8\x9c4\xc2\x9b\"}";
        assert_eq!(terminal(line), r#"{"a":"1\u000a2\u001b[31m3\u061c4\u009b"}"#);
        assert_eq!(one_line(line), "{\"a\":\"1\\u000a2\\u001b[31m3\u{61c}4\u{9b}\"}".as_bytes());
        assert_eq!(one_line(b"\xff\t"), b"\xff\\u0009");
    }
}
