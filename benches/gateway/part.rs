//! This program once more, in another part: see `bare.rs`.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

/// A running part; killed when dropped.
pub struct Part {
    child: Child,
    lines: BufReader<ChildStdout>,
    orders: ChildStdin,
}

impl Part {
    pub fn start(name: &str, address: &str) -> Self {
        Part::start_as(&Part::words(name, address), Path::new("."))
    }

    /// Its command line.
    pub fn words(name: &str, address: &str) -> Vec<String> {
        let program = std::env::current_exe().expect("this program");
        let program = program.to_str().expect("a path in UTF-8");
        [program, "--part", name, address].map(str::to_owned).into()
    }

    /// The same with another command line, in a folder.
    pub fn start_as(words: &[String], folder: &Path) -> Self {
        let (program, words) = words.split_first().expect("a program");
        let mut child = Command::new(program)
            .args(words)
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program runs");
        let (lines, orders) = (child.stdout.take().expect("a pipe"), child.stdin.take().expect("a pipe"));
        Part { lines: BufReader::new(lines), orders, child }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn tell(&mut self, line: &str) {
        writeln!(self.orders, "{line}").expect("a part that listens");
    }

    pub fn hear(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("a part that speaks");
        assert!(!line.is_empty(), "a part has ended");
        line.trim_end().to_owned()
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.child.kill().expect("a child of ours");
        self.child.wait().expect("its end");
    }
}
