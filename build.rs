//! Puts the revision and the compiler into the binary, for `hookbus --version` and `hookbus_build_info`.

use std::{env, path::Path, process::Command};

fn main() {
    // A commit moves the log, not HEAD itself. A path that is missing would run this script at every build.
    for file in [".git/HEAD", ".git/logs/HEAD"].into_iter().filter(|file| Path::new(file).exists()) {
        println!("cargo::rerun-if-changed={file}");
    }
    println!("cargo::rerun-if-env-changed=HOOKBUS_REVISION");
    // An image build has no .git: there the revision comes from the environment.
    let revision =
        env::var("HOOKBUS_REVISION").ok().or_else(|| first_line("git", &["rev-parse", "--short=12", "HEAD"]));
    println!("cargo::rustc-env=HOOKBUS_REVISION={}", revision.as_deref().unwrap_or("unknown"));
    let rustc = env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let version = first_line(&rustc, &["--version"]).and_then(|line| Some(line.split(' ').nth(1)?.to_owned()));
    println!("cargo::rustc-env=HOOKBUS_RUSTC={}", version.as_deref().unwrap_or("unknown"));
}

fn first_line(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok().filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok()?.lines().next().map(str::to_owned)
}
