//! Hexadecimal signatures: text to a fixed number of bytes, either case. Never allocates.

/// Decodes exactly `2 * N` hexadecimal digits; anything else is `None`.
pub(super) fn decode<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    if text.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    let mut seen = 0;
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        let &[high, low] = pair else { return None };
        let (high, low) = (VALUES[usize::from(high)], VALUES[usize::from(low)]);
        seen |= high | low;
        *byte = high << 4 | low;
    }
    (seen & NO_DIGIT == 0).then_some(bytes)
}

/// A bit that no digit's value has.
const NO_DIGIT: u8 = 0x80;

/// The value of each digit. A look-up and no branch: whether a signature's next digit is a letter, no CPU can foresee.
const VALUES: [u8; 256] = {
    let mut values = [NO_DIGIT; 256];
    let mut value = 0;
    while value < 16 {
        let digit = b"0123456789abcdef"[value as usize];
        values[digit as usize] = value;
        values[digit.to_ascii_uppercase() as usize] = value;
        value += 1;
    }
    values
};

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
