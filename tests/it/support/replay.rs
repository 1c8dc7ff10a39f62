//! Calls `hookbus replay` and reads what it says.

use std::process::Output;

use crate::support::harness::Setup;

/// Dead letters, in the words of the command.
pub const LETTERS: &str = "dead-letters";

/// Exit code, and what was said on both outputs.
pub fn said(output: &Output) -> (Option<i32>, String) {
    let text = [output.stdout.as_slice(), &output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

pub fn replay(setup: &Setup, arguments: &[&str]) -> (Option<i32>, String) {
    said(&setup.run(&[&["replay"], arguments].concat()))
}

/// Ends well, and says this.
pub fn assert_says(setup: &Setup, arguments: &[&str], words: &[&str]) -> String {
    let (code, text) = replay(setup, arguments);
    assert_eq!(code, Some(0), "{arguments:?}: {text}");
    words.iter().for_each(|word| assert!(text.contains(word), "{arguments:?}: no `{word}` in\n{text}"));
    text
}

/// Fails, and says this.
pub fn assert_fails(setup: &Setup, arguments: &[&str], words: &[&str]) {
    let (code, text) = replay(setup, arguments);
    assert_eq!(code, Some(1), "{arguments:?}: {text}");
    words.iter().for_each(|word| assert!(text.contains(word), "{arguments:?}: no `{word}` in\n{text}"));
}

/// Whether the body's own bytes are in a payload.
pub fn holds(payload: &[u8], body: &[u8]) -> bool {
    payload.windows(body.len()).any(|window| window == body)
}
