//! Counts lines of code: lines on which a token stands. Comments are none; doc comments are tokens, and left out.

use std::collections::BTreeSet;

use proc_macro2::{Span, TokenStream, TokenTree};

/// Lines of code in `code`.
pub fn of_code(code: &TokenStream) -> usize {
    let mut lines = BTreeSet::new();
    gather(code.clone(), &mut lines);
    lines.len()
}

fn gather(code: TokenStream, lines: &mut BTreeSet<usize>) {
    let mut add = |span: Span| lines.extend(span.start().line..=span.end().line);
    let mut groups = Vec::new();
    let mut tokens = code.into_iter().peekable();
    while let Some(token) = tokens.next() {
        if let TokenTree::Punct(mark) = &token {
            // `#[doc = "…"]`, and `#![doc = "…"]` for the file.
            let is_bang = |token: &TokenTree| matches!(token, TokenTree::Punct(bang) if bang.as_char() == '!');
            if mark.as_char() == '#' {
                let bang = tokens.next_if(is_bang);
                if tokens.next_if(is_doc).is_some() {
                    continue;
                }
                bang.iter().for_each(|bang| add(bang.span()));
            }
        }
        match token {
            TokenTree::Group(group) => {
                add(group.span_open());
                add(group.span_close());
                groups.push(group.stream());
            }
            other => add(other.span()),
        }
    }
    groups.into_iter().for_each(|group| gather(group, lines));
}

fn is_doc(token: &TokenTree) -> bool {
    let TokenTree::Group(group) = token else { return false };
    matches!(group.stream().into_iter().next(), Some(TokenTree::Ident(word)) if word == "doc")
}

#[test]
fn comments_and_blank_lines_do_not_count() {
    let code = "//! Head.\n\n/// Doc.\n#[derive(Debug)]\nstruct A {\n    // why\n    b: &'static str,\n}\n\nconst C: &str = \"x\ny\";\n";
    assert_eq!(of_code(&code.parse().unwrap()), 6);
}
