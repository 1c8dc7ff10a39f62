//! `config.example.toml`: what stands above the rows, the rows, and a second source. `make config-example` writes it; the
//! gateway has no use for it.

use super::{
    findings::join,
    key::{Key, Presence},
    table::{Part, Rows},
    whole::Config,
};

/// Widest line of a comment.
const WIDTH: usize = 120;

const HEAD: &str = "\
# hookbus: every key there is. `make config-example` writes this file from the rows in src/config.
#
# A key with a default is commented out and shows that default; the other keys have none and stand as examples, with
#   two # where they may be left out.
# An unknown key, a wrong type or a value out of range stops the start: `hookbus check` lists all of them at once.
#
# Environment: HOOKBUS__SECTION__KEY overrides one key, such as HOOKBUS__LISTENER__MAX_BODY=1MiB, also in a section of a
#   section: HOOKBUS__BUS__NATS__SERVERS=nats://a:4222,nats://b:4222 (a list has commas) or
#   HOOKBUS__BUS__KAFKA__PROPERTIES__MESSAGE_MAX_BYTES=5300000. [[sources]] cannot be overridden, and no other variable
#   counts.
# Units: a duration is a whole number with us, ms, s, m, h or d, a size one with B, KiB, MiB, GiB, TiB (powers of 1024)
#   or KB, MB, GB, TB (powers of 1000). A number without a unit is refused.
# Paths: a relative path starts at the working directory.
# Secrets: only ever in files of their own, never here and never in the environment.
";

const SECOND_SOURCE: &str = r#"
[[sources]]
name = "payroll"
vendor = "audit1"
path = "/webhooks/audit1"
secret_files = ["secrets/audit1"]
"#;

/// The text of the file, which does not offer the vendor that only tests have.
pub(super) fn example() -> String {
    let rows = rows_of::<Config>().replace(" or \"stripe\"", "");
    [HEAD, &rows, SECOND_SOURCE].concat()
}

/// The text of one section.
pub(super) fn rows_of<P: Part>() -> String {
    let mut page = Page::default();
    P::walk(&mut page);
    page.text
}

/// The text so far.
#[derive(Default)]
struct Page {
    text: String,
    /// The table whose rows are being written.
    path: String,
}

impl Page {
    fn line(&mut self, text: &str) {
        self.text.push_str(text);
        self.text.push('\n');
    }

    /// One comment, whatever lines the source has it in.
    fn comment(&mut self, text: &[&str]) {
        let mut line = String::from("#");
        for word in text.iter().flat_map(|line| line.split_whitespace()) {
            if WIDTH < line.chars().count() + 1 + word.chars().count() {
                self.line(&line);
                line = "#".into();
            }
            line.push(' ');
            line.push_str(word);
        }
        self.line(&line);
    }
}

impl Rows for Page {
    fn key<T: 'static>(&mut self, name: &'static str, doc: &[&str], key: Key<T>) -> T {
        let mark = match key.presence {
            Presence::Default => "# ",
            Presence::Optional => "## ",
            Presence::Shown | Presence::Required(_) => "",
        };
        self.comment(&[doc, &[&key.note]].concat());
        self.line(&format!("{mark}{name} = {}", key.shown));
        key.absent
    }

    fn part<P: Part>(&mut self, name: &'static str, doc: &[&str]) -> P {
        let above = self.path.clone();
        self.path = join(&above, name);
        self.line("");
        self.comment(doc);
        self.line(&P::header(&self.path));
        let part = P::walk(self);
        self.path = above;
        part
    }
}
