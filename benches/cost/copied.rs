//! Bytes copied: a library in front of the C library counts them, for the whole process, librdkafka included. x86-64 only.
//!
//! What the kernel copies is not among them, nor a copy whose length the compiler knew and wrote out.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Where the library keeps its count, in the folder of the process.
const FILE: &str = "copied";

/// The command line that runs another one with the library.
pub fn words(program: &str) -> Vec<String> {
    let library = library();
    vec!["env".into(), format!("LD_PRELOAD={}", library.display()), program.into(), "serve".into()]
}

/// Bytes copied so far by a process with the library.
pub fn by(pid: u32) -> f64 {
    let bytes = fs::read(format!("/proc/{pid}/cwd/{FILE}")).expect("a process that counts");
    u64::from_ne_bytes(bytes.try_into().expect("one number")) as f64
}

/// Makes it, with the compiler that also makes librdkafka.
fn library() -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/cost/copied.c");
    let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join("copied.so");
    // Without builtins its own loops would become calls of themselves.
    let manner = ["-O2", "-shared", "-fPIC", "-fno-builtin", "-fno-tree-loop-distribute-patterns", "-o"];
    let status = Command::new("cc").args(manner).arg(&library).arg(source).status().expect("a C compiler");
    assert!(status.success(), "copied.c");
    library
}
