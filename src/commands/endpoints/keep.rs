//! Files that are whole or not there, whatever stops the process: the secret of an endpoint, and what an apply has begun.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use crate::{
    commands::failure::Failure,
    secrets::{Secret, SecretFault},
    text::hex_encode,
};

/// What a secret file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Held {
    /// It is not there, or empty.
    Nothing,
    /// A secret, by its digest.
    Secret(String),
}

impl Held {
    /// Looks into a file.
    pub(super) fn read(file: &Path) -> Result<Self, Failure> {
        match Secret::read(file) {
            Ok(secret) => Ok(Held::Secret(hex_encode(&secret.digest()))),
            Err(SecretFault::Missing | SecretFault::Empty) => Ok(Held::Nothing),
            Err(fault) => Err(Failure::Usage(format!("secret file {} {fault}", file.display()))),
        }
    }

    pub(super) fn digest(&self) -> Option<&str> {
        match self {
            Held::Nothing => None,
            Held::Secret(digest) => Some(digest),
        }
    }
}

/// Writes a file that only its owner reads: beside it, synced, renamed, and the directory synced.
pub(super) fn put(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let unfinished = unfinished(file);
    remove(&unfinished)?;
    let mut new = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
    let written = new.write_all(bytes).and_then(|()| new.sync_all());
    if let Err(error) = written.and_then(|()| fs::rename(&unfinished, file)) {
        remove(&unfinished)?;
        return Err(error);
    }
    File::open(directory(file))?.sync_all()
}

/// Removes a file, if it is there.
pub(super) fn remove(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Where a file is written before it is renamed.
pub(super) fn unfinished(file: &Path) -> PathBuf {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    directory(file).join(format!(".{name}.unfinished"))
}

/// Lets no other `apply` work beside this one on the files of a directory, which is made if it is missing.
pub(super) fn lock(file: &Path) -> Result<File, Failure> {
    let directory = directory(file);
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(Failure::at(directory.display()))?;
    let lock = File::open(directory).map_err(Failure::at(directory.display()))?;
    let busy = |_| Failure::failed(format!("{}: another `hookbus endpoints` works on its files", directory.display()));
    lock.try_lock().map_err(busy)?;
    Ok(lock)
}

fn directory(file: &Path) -> &Path {
    file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
