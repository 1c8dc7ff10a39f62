//! W3C Trace Context: a sender's `traceparent` is passed on, or one is begun here. Anyone can send one, so it only ever
//! links; it decides nothing.

use std::fmt;

/// The HTTP request header, and the message header of this hop.
pub const HEADER: &str = "traceparent";

/// `00-<trace id>-<span id>-<flags>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traceparent {
    trace: u128,
    span: u64,
    flags: u8,
}

impl Traceparent {
    /// A trace that starts with this request. Its flags: not recorded yet.
    pub fn begin() -> Self {
        Traceparent { trace: fastrand::u128(1..), span: fastrand::u64(1..), flags: 0 }
    }

    /// The same trace, one span further: this hop.
    pub fn child(self) -> Self {
        Traceparent { span: fastrand::u64(1..), ..self }
    }

    /// Version 00 only, lower-case as the standard demands, with ids that are not zero.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let mut parts = text.split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let shaped = parts.next().is_none() && version == "00" && [trace.len(), span.len(), flags.len()] == [32, 16, 2];
        if !shaped || !text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f' | b'-')) {
            return None;
        }
        let parsed = Traceparent {
            trace: u128::from_str_radix(trace, 16).ok()?,
            span: u64::from_str_radix(span, 16).ok()?,
            flags: u8::from_str_radix(flags, 16).ok()?,
        };
        (parsed.trace != 0 && parsed.span != 0).then_some(parsed)
    }
}

impl fmt::Display for Traceparent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        let [trace, span, flags] = [3..35, 36..52, 53..55];
        let written = const_hex::encode_to_slice(self.trace.to_be_bytes(), &mut text[trace])
            .and_then(|()| const_hex::encode_to_slice(self.span.to_be_bytes(), &mut text[span]))
            .and_then(|()| const_hex::encode_to_slice([self.flags], &mut text[flags]));
        written.map_err(|_| fmt::Error)?;
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes_on_and_begins() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let parsed = Traceparent::parse(text.as_bytes()).unwrap();
        assert_eq!(parsed.to_string(), text);
        assert_eq!(parsed.child().trace, parsed.trace);
        assert_ne!(parsed.child().span, parsed.span);
        assert_eq!(Traceparent::parse(Traceparent::begin().to_string().as_bytes()).map(|t| t.flags), Some(0));
    }

    #[test]
    fn refuses_what_is_none() {
        for bad in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
        ] {
            assert_eq!(Traceparent::parse(bad.as_bytes()), None, "{bad}");
        }
    }
}
