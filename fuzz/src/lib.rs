//! Fuzz targets. Each one gives an input to a room of hookbus, or to all of them, and judges what comes out by a second
//! opinion: the documents written down once more, `serde_json`, or what was stored before the damage. A difference panics.
//!
//! `HOOKBUS_FUZZ_FAULT=1` plants one fault between each target and the room that it looks at, of the kind that the target is
//! there for. `scripts/fuzz.sh faults` shows that each target finds its own.

pub mod config;
pub mod envelope;
pub mod journal;
pub mod json;
mod naive;
pub mod request;
pub mod verify;

use std::{
    path::{Path, PathBuf},
    sync::LazyLock,
};

/// Whether the fault is planted.
fn fault() -> bool {
    static FAULT: LazyLock<bool> = LazyLock::new(|| std::env::var_os("HOOKBUS_FUZZ_FAULT").is_some());
    *FAULT
}

/// A folder of this process. `scripts/fuzz.sh` puts it into memory: thousands of files a second are written there.
fn scratch() -> &'static Path {
    static SCRATCH: LazyLock<PathBuf> = LazyLock::new(|| {
        let path = std::env::temp_dir().join(format!("hookbus-fuzz-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder");
        path
    });
    &SCRATCH
}

/// The secrets that the targets sign with, in files as hookbus reads them.
const SECRETS: [&str; 2] = ["whsec_the_first_of_the_fuzzers", "whsec_the_second_of_the_fuzzers"];

fn secret_files() -> &'static [PathBuf] {
    static FILES: LazyLock<Vec<PathBuf>> = LazyLock::new(|| {
        let folder = scratch().join("secrets");
        std::fs::create_dir_all(&folder).expect("a folder");
        let write = |(number, secret): (usize, &&str)| {
            let file = folder.join(format!("secret{number}"));
            std::fs::write(&file, format!("{secret}\n")).expect("a file");
            file
        };
        SECRETS.iter().enumerate().map(write).collect()
    });
    &FILES
}
