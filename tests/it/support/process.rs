//! Processes that a test starts, brokers and gateways alike. Each is killed when its value is dropped, by its own process
//! id, and so is what it has started in its group.

use std::{
    fs::File,
    io::{Read, Write as _},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, ChildStderr, Command, ExitStatus, Output, Stdio},
    thread,
    time::Duration,
};

use crate::support::wait::{PATIENCE, wait_at_most};

/// A running process.
#[derive(Debug)]
pub struct Process {
    child: Child,
    /// Whether it leads a group of its own.
    leads: bool,
}

impl Process {
    /// Starts a command.
    pub fn start(command: &mut Command) -> Self {
        Process { child: spawn(command), leads: false }
    }

    /// Starts a command that has children of its own, such as a wrapper or a server with workers: they end with it.
    pub fn start_group(command: &mut Command) -> Self {
        Process { child: spawn(command.process_group(0)), leads: true }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its standard error, which the command asked for as a pipe.
    pub fn stderr(&mut self) -> ChildStderr {
        self.child.stderr.take().unwrap()
    }

    /// Sends a signal to it, not to its group.
    pub fn signal(&self, name: &str) {
        signal(self.id(), name);
    }

    /// How it has ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        self.wait_at_most(PATIENCE)
    }

    pub fn wait_at_most(&mut self, limit: Duration) -> ExitStatus {
        let mut status = None;
        wait_at_most(limit, "the end of a process", || {
            status = self.ended();
            status.is_some()
        });
        status.unwrap()
    }

    /// Waits for the end of a keeper, which ends when its input does.
    pub fn close_and_wait(&mut self) -> ExitStatus {
        drop(self.child.stdin.take());
        self.wait()
    }

    /// Gives it its whole input, and waits for its end and for what it says meanwhile.
    pub fn talk(mut self, input: &[u8]) -> Output {
        let (stdin, stdout, stderr) = (self.child.stdin.take(), self.child.stdout.take(), self.child.stderr.take());
        thread::scope(|scope| {
            // One that ends early closes its input.
            scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(input)));
            let stderr = scope.spawn(move || all(stderr));
            let stdout = all(stdout);
            Output { status: self.wait(), stdout, stderr: stderr.join().unwrap() }
        })
    }

    /// SIGKILL, for its group, too, if it leads one; and waits for its end.
    pub fn kill(&mut self) {
        if self.ended().is_none() {
            let target = if self.leads { format!("-{}", self.id()) } else { self.id().to_string() };
            // It may end by itself meanwhile.
            let _gone = Command::new("kill").args(["-KILL", "--", &target]).stderr(Stdio::null()).status();
            self.child.wait().unwrap();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(command: &mut Command) -> Child {
    command.spawn().unwrap_or_else(|error| panic!("{}: {error} (run `make tools`)", command.get_program().display()))
}

fn all(pipe: Option<impl Read>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        pipe.read_to_end(&mut bytes).unwrap();
    }
    bytes
}

/// Sends a signal to a process, such as `-TERM`.
pub fn signal(pid: u32, name: &str) {
    assert!(Command::new("kill").args([name, &pid.to_string()]).status().unwrap().success());
}

/// The end of a file that a process writes its log to.
pub fn log_file(path: &Path) -> File {
    File::options().create(true).append(true).open(path).unwrap()
}
