//! One line of a report: what it is about, and what was found.

use std::{
    fmt::Display,
    io::{self, Write},
};

/// Writes it. Without a label it continues the line before.
pub(super) fn say(out: &mut impl Write, label: &str, text: impl Display) -> io::Result<()> {
    writeln!(out, "{label:<12}{text}")
}
