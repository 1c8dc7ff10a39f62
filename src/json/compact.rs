//! White space removed, nothing else.
//!
//! In: any bytes. Out: the runs of bytes that stand outside insignificant white space, in order. Numbers, escapes and
//! key order stay as they are; it never fails, since bytes that are not JSON have runs too.

/// The runs of `body` that remain when white space outside string literals is taken out. A byte loop, no parser: a quote
/// opens a literal, the next quote that no backslash precedes closes it, and a literal without its end reaches to the
/// end of the body.
pub fn compact(body: &[u8]) -> impl Iterator<Item = &[u8]> + Clone {
    let mut rest = body;
    std::iter::from_fn(move || {
        let start = rest.iter().position(|byte| !is_space(*byte))?;
        let (_, from) = rest.split_at(start);
        let (run, behind) = from.split_at(run_end(from));
        rest = behind;
        Some(run)
    })
}

/// Whether compacting would write two tokens as one, as it makes `12` of `1 2`: such white space is not insignificant.
pub fn compacting_joins_tokens(body: &[u8]) -> bool {
    let is_structure = |byte: &u8| matches!(byte, b'{' | b'}' | b'[' | b']' | b':' | b',');
    let mut runs = compact(body);
    let Some(mut before) = runs.next() else { return false };
    runs.any(|run| {
        let apart = before.last().is_none_or(is_structure) || run.first().is_none_or(is_structure);
        before = run;
        !apart
    })
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t')
}

/// Length of the run at the start of `body`. Runs end outside literals only, so no state outlives one.
fn run_end(body: &[u8]) -> usize {
    let mut at = 0;
    while let Some(&byte) = body.get(at) {
        if is_space(byte) {
            return at;
        }
        at += 1;
        if byte == b'"' {
            at = literal_end(body, at);
        }
    }
    body.len()
}

/// Offset behind the closing quote of the literal whose contents start at `at`.
fn literal_end(body: &[u8], mut at: usize) -> usize {
    while let Some(found) = body.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
        at += found;
        if body.get(at) == Some(&b'"') {
            return at + 1;
        }
        at += 2;
    }
    body.len()
}

#[cfg(test)]
mod tests {
    use super::compacting_joins_tokens;

    #[test]
    fn white_space_between_two_tokens_is_significant() {
        for apart in ["", "  ", r#"{ "a" : [ 1 , true ] }"#, r#""a b""#, "12", " 12 "] {
            assert!(!compacting_joins_tokens(apart.as_bytes()), "{apart}");
        }
        for joined in ["1 2", r#"{"n":1 2}"#, "tr ue", r#""a" "b""#, "[1\n2]", r#""a" 1"#] {
            assert!(compacting_joins_tokens(joined.as_bytes()), "{joined}");
        }
    }
}
