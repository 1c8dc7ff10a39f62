//! The file that holds how far the embedded bus is consumed: a sequence, in digits.
//!
//! It lies below the journal's directory, so that it goes with it. It is written beside its place, synced and renamed: a
//! crash leaves the old one or the new one.

use std::{
    fs::{self, File, Permissions},
    io::{self, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

/// The folder of all cursors below the journal's directory.
const FOLDER: &str = "consumers";

/// One cursor.
#[derive(Debug)]
pub(super) struct Cursor {
    path: PathBuf,
    stored: Option<u64>,
}

impl Cursor {
    /// Reads it; what is no number counts as none.
    pub(super) fn open(journal: &Path, name: &str) -> io::Result<Self> {
        let folder = journal.join(FOLDER);
        if !folder.is_dir() {
            fs::create_dir(&folder)?;
            fs::set_permissions(&folder, Permissions::from_mode(0o700))?;
        }
        let path = folder.join(name);
        let stored = match fs::read_to_string(&path) {
            Ok(text) => text.trim().parse().ok(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        Ok(Cursor { path, stored })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The last sequence that was done with.
    pub(super) fn stored(&self) -> Option<u64> {
        self.stored
    }

    pub(super) fn store(&mut self, sequence: u64) -> io::Result<()> {
        if self.stored == Some(sequence) {
            return Ok(());
        }
        let draft = self.path.with_extension("draft");
        let mut file = File::create(&draft)?;
        writeln!(file, "{sequence}")?;
        file.sync_all()?;
        fs::rename(&draft, &self.path)?;
        if let Some(folder) = self.path.parent() {
            File::open(folder)?.sync_all()?;
        }
        self.stored = Some(sequence);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_found_again_and_a_damaged_one_begins_anew() {
        let journal = tempfile::tempdir().unwrap();
        let open = || Cursor::open(journal.path(), "details-acme").unwrap();
        assert_eq!(open().stored(), None);
        let mut cursor = open();
        cursor.store(7).unwrap();
        cursor.store(12).unwrap();
        assert_eq!(open().stored(), Some(12));
        fs::write(cursor.path(), "1x").unwrap();
        assert_eq!(open().stored(), None);
    }
}
