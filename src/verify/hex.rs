//! Hexadecimal signatures: text to a fixed number of bytes, either case. Never allocates.

/// Decodes exactly `2 * N` hexadecimal digits; anything else is `None`.
pub(super) fn decode<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    if text.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        let &[high, low] = pair else { return None };
        *byte = digit(high)? << 4 | digit(low)?;
    }
    Some(bytes)
}

fn digit(character: u8) -> Option<u8> {
    match character {
        b'0'..=b'9' => Some(character - b'0'),
        b'a'..=b'f' => Some(character - b'a' + 10),
        b'A'..=b'F' => Some(character - b'A' + 10),
        _ => None,
    }
}

/// Lower-case hexadecimal text.
pub(super) fn encode(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    bytes.iter().flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_cases_exact_length_nothing_else() {
        assert_eq!(decode::<3>(b"00fFA9"), Some([0, 0xff, 0xa9]));
        for bad in [&b"00ff"[..], b"00ffa9a9", b"00fg00", b"00 f00", b"+0ff00", b""] {
            assert_eq!(decode::<3>(bad), None, "{bad:?}");
        }
        assert_eq!(encode(&[0, 0xff, 0xa9]), "00ffa9");
    }
}
