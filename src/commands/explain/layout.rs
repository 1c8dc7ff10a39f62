//! A JSON text with other white space, as a library would write it again. Tokens stay as they are.

use crate::json;

/// Where the white space stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    /// After each comma, where there is no new line.
    after_comma: &'static str,
    /// One level on a new line; `None`: all on one line.
    indent: Option<&'static str>,
}

impl Layout {
    /// The usual ones, each with who writes so.
    pub(super) const ALL: [(Layout, &'static str); 3] = [
        (Layout { after_comma: " ", indent: None }, "with a space after each comma and colon (Python's json.dumps)"),
        (Layout { after_comma: "", indent: Some("  ") }, "indented by two spaces (JSON.stringify(body, null, 2))"),
        (Layout { after_comma: "", indent: Some("    ") }, "indented by four spaces (a pretty printer)"),
    ];

    /// The body laid out so; `None` for one that is nested deeper than any event.
    pub(super) fn of(self, body: &[u8]) -> Option<Vec<u8>> {
        let compact = json::compact(body).collect::<Vec<_>>().concat();
        let mut out = Vec::with_capacity(body.len() * 2);
        let (mut depth, mut in_string, mut before) = (0_u32, false, 0_u8);
        for (at, &byte) in compact.iter().enumerate() {
            let next = compact.get(at + 1).copied().unwrap_or_default();
            if in_string {
                out.push(byte);
                in_string = byte != b'"' || before == b'\\';
                // A backslash that is itself escaped escapes nothing.
                before = if before == b'\\' { 0 } else { byte };
                continue;
            }
            let is_open = matches!(before, b'{' | b'[');
            match byte {
                b'}' | b']' if !is_open => {
                    depth = depth.saturating_sub(1);
                    self.new_line(depth, &mut out);
                    out.push(byte);
                }
                b'{' | b'[' if !matches!(next, b'}' | b']') => {
                    depth += 1;
                    if depth > json::MAX_DEPTH {
                        return None;
                    }
                    out.push(byte);
                    self.new_line(depth, &mut out);
                }
                b',' => {
                    out.extend_from_slice(b",");
                    out.extend_from_slice(self.after_comma.as_bytes());
                    self.new_line(depth, &mut out);
                }
                b':' => out.extend_from_slice(b": "),
                byte => out.push(byte),
            }
            in_string = byte == b'"';
            before = if in_string { 0 } else { byte };
        }
        Some(out)
    }

    fn new_line(self, depth: u32, out: &mut Vec<u8>) {
        if let Some(indent) = self.indent {
            out.push(b'\n');
            (0..depth).for_each(|_| out.extend_from_slice(indent.as_bytes()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_stay_and_white_space_is_the_librarys() {
        let body = br#"{ "a" : [1,2.50,{}], "b":"x, \\\": {", "c":[ ] ,"d":"\\"}"#;
        let [dumps, two, _] = Layout::ALL.map(|(layout, _)| String::from_utf8(layout.of(body).unwrap()).unwrap());
        assert_eq!(dumps, r#"{"a": [1, 2.50, {}], "b": "x, \\\": {", "c": [], "d": "\\"}"#);
        let lines = "{\n  \"a\": [\n    1,\n    2.50,\n    {}\n  ],\n  \"b\": \"x, \\\\\\\": {\",\n  \"c\": [],\n  \"d\": \"\\\\\"\n}";
        assert_eq!(two, lines);
        assert!(Layout::ALL[2].0.of(&b"[".repeat(1_000_000)).is_none());
    }
}
