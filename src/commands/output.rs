//! JSON on standard output.

use std::io::{self, IsTerminal as _, Write};

use crate::text;

/// Writes one line: to a pipe its bytes as they are, to a terminal none that it would obey.
pub(super) fn json_line(json: &[u8], out: &mut impl Write) -> io::Result<()> {
    if io::stdout().is_terminal() {
        writeln!(out, "{}", text::terminal(json))
    } else {
        out.write_all(&text::one_line(json)).and_then(|()| writeln!(out))
    }
}
