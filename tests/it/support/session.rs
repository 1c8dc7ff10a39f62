//! A reader who follows a page in an empty folder, and the terminals that this takes.
//!
//! In: the steps of a page. Out: nothing, or the first step that does not do what the page says. Ports of the page are
//! mapped to free ones, so that pages may name the defaults and run side by side.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
};

use crate::support::{
    harness::{HOOKBUS, free_ports},
    pages::{Act, Step},
    printed::{begins_as_shown, is_as_shown},
    process::Process,
    wait::{PATIENCE, try_at_most},
};

/// Ports that pages name: the listener's, the admin's, the broker's, a handler's.
const PORTS: [&str; 4] = ["8080", "9464", "4222", "5000"];
/// The folder in which a page's reader is.
const HOME: &str = "/home/me/hooks";

/// What a page has a reader call that cannot be called here.
pub struct Elsewhere {
    /// How the command begins.
    pub begins: &'static str,
    /// Why it is not called, and where CI sees that it works.
    pub reason: &'static str,
    /// What is called in its place, by bash: `$COMMAND` is the command itself, `$CHECKOUT` this repository, which pages may
    /// name, too.
    pub instead: &'static str,
}

/// What does not end by itself: it runs on in a terminal of its own.
fn stays(command: &str) -> bool {
    let words: Vec<_> = command.split_whitespace().take_while(|word| *word != "#").collect();
    let counted = words.contains(&"--count");
    words.starts_with(&["hookbus", "serve"])
        || words.starts_with(&["nats-server"])
        || words.starts_with(&["python3", "handler.py"])
        || ((words.starts_with(&["hookbus", "tail"]) || words.starts_with(&["hookbus", "forward"])) && !counted)
}

/// A folder, and what runs in it.
pub struct Session<'e> {
    // Before their folder goes.
    running: Vec<(Process, String)>,
    folder: tempfile::TempDir,
    /// What commands print.
    outputs: tempfile::TempDir,
    ports: Vec<(&'static str, String)>,
    elsewhere: &'e [Elsewhere],
    count: usize,
}

impl<'e> Session<'e> {
    pub fn begin(elsewhere: &'e [Elsewhere]) -> Self {
        let real: [u16; PORTS.len()] = free_ports();
        let ports = PORTS.into_iter().zip(real.map(|port| port.to_string())).collect();
        let [folder, outputs] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        Session { folder, outputs, ports, running: Vec::new(), elsewhere, count: 0 }
    }

    /// Does what the page says.
    pub fn play(&mut self, page: &str, steps: &[Step]) -> Result<(), String> {
        for step in steps {
            self.act(&step.act).map_err(|error| format!("{page}:{}: {error}", step.line))?;
        }
        Ok(())
    }

    fn act(&mut self, act: &Act) -> Result<(), String> {
        match act {
            Act::Save { name, text } => {
                let path = self.folder.path().join(name);
                let folder = path.parent().unwrap_or(self.folder.path());
                fs::create_dir_all(folder)
                    .and_then(|()| fs::write(&path, text))
                    .map_err(|error| format!("{name}: {error}"))
            }
            Act::Stop => self.stop(),
            Act::Run { command, shown } => self.run(command, shown),
        }
    }

    fn run(&mut self, command: &str, shown: &[String]) -> Result<(), String> {
        self.count += 1;
        let output = self.outputs.path().join(self.count.to_string());
        if let Some(elsewhere) = self.elsewhere.iter().find(|elsewhere| command.starts_with(elsewhere.begins)) {
            let mut process = self.start(elsewhere.instead, command, &output);
            let ok = end_of(&mut process).is_some_and(|status| status.success());
            let Elsewhere { begins, reason, instead } = elsewhere;
            let printed = fs::read_to_string(&output).unwrap();
            return if ok {
                Ok(())
            } else {
                Err(format!("`{command}`: {begins} ({reason}); {instead} says\n{printed}"))
            };
        }
        if stays(command) {
            let process = self.start(&format!("exec {}", self.mapped(command)), command, &output);
            let seen = || self.printed(&output);
            let told = try_at_most(PATIENCE, || begins_as_shown(shown, &seen()));
            let result = if told { Ok(()) } else { Err(unlike(command, shown, &seen())) };
            self.running.push((process, command.to_owned()));
            return result;
        }
        let mut process = self.start(&self.mapped(command), command, &output);
        let status = end_of(&mut process);
        let printed = self.printed(&output);
        match status {
            None => return Err(format!("`{command}` does not end:\n{printed}")),
            Some(status) if !status.success() => return Err(format!("`{command}` ends with {status}:\n{printed}")),
            Some(_) => {}
        }
        if is_as_shown(shown, &printed) { Ok(()) } else { Err(unlike(command, shown, &printed)) }
    }

    /// Ctrl-C in the youngest terminal.
    fn stop(&mut self) -> Result<(), String> {
        let (mut process, command) = self.running.pop().ok_or("^C, and nothing runs")?;
        process.signal("-INT");
        let status = process.wait();
        if status.success() || !command.starts_with("hookbus serve") {
            return Ok(());
        }
        Err(format!("`{command}` ends with {status}"))
    }

    fn start(&self, script: &str, command: &str, output: &Path) -> Process {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let tools = root.join("target/tools");
        let path = [Path::new(HOOKBUS).parent().unwrap().to_owned(), tools.join("bin")];
        let path =
            path.into_iter().chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())).collect::<Vec<PathBuf>>();
        let out = File::create(output).unwrap();
        let mut bash = Command::new("bash");
        // The verbs of the repository are called from anywhere.
        let script = format!("make() {{ command make --no-print-directory -C \"$CHECKOUT\" \"$@\"; }}\n{script}");
        bash.args(["-o", "pipefail", "-c", &script]).current_dir(self.folder.path()).stdin(Stdio::null());
        bash.stdout(out.try_clone().unwrap()).stderr(out);
        bash.env("PATH", std::env::join_paths(path).unwrap()).env("CHECKOUT", root).env("COMMAND", command);
        bash.env("HOOKBUS_BINARY", HOOKBUS).env("PYTHONPATH", tools.join("lint"));
        // The demonstration has a configuration of its own.
        if !command.starts_with("make ") {
            let port = |at: usize| &self.ports[at].1;
            bash.env("HOOKBUS__LISTENER__ADDRESS", format!("127.0.0.1:{}", port(0)));
            bash.env("HOOKBUS__LISTENER__DRAIN_DELAY", "0s");
            bash.env("HOOKBUS__ADMIN__ADDRESS", format!("127.0.0.1:{}", port(1)));
            bash.env("HOOKBUS__JOURNAL__RESERVE", "1MiB");
            bash.env("HOOKBUS__BUS__NATS__SERVERS", format!("nats://127.0.0.1:{}", port(2)));
        }
        Process::start_group(&mut bash)
    }

    /// The command with the ports of this session.
    fn mapped(&self, command: &str) -> String {
        self.ports.iter().fold(command.to_owned(), |text, (page, real)| text.replace(page, real))
    }

    /// What was printed, with the page's ports and folder.
    fn printed(&self, output: &Path) -> String {
        let text = fs::read_to_string(output).unwrap();
        let text = text.replace(&self.folder.path().canonicalize().unwrap().display().to_string(), HOME);
        let text = text.replace(&self.folder.path().display().to_string(), HOME);
        self.ports.iter().fold(text, |text, (page, real)| text.replace(&format!(":{real}"), &format!(":{page}")))
    }
}

/// How a command has ended, if it does in time.
fn end_of(process: &mut Process) -> Option<ExitStatus> {
    let mut status = None;
    try_at_most(PATIENCE, || {
        status = process.ended();
        status.is_some()
    });
    status
}

fn unlike(command: &str, shown: &[String], printed: &str) -> String {
    format!("`{command}`\n--- the page shows\n{}\n--- it prints\n{printed}---", shown.join("\n"))
}
