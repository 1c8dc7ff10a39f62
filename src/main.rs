//! The `hookbus` command. Everything lives in the library; this file turns its result into an exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    hookbus::cli::main()
}
