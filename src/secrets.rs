//! The secrets room: signing secrets, read from files and watched for a rotation.
//!
//! In: the paths of files. Out: what verification derives from all of a source's live secrets, replaced as a whole. It
//! never prints a secret, and a file that is missing, empty or unreadable never replaces a secret that works.

mod oddity;

use std::{
    fmt, fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use arc_swap::{ArcSwap, Guard};
use sha2::{Digest as _, Sha256};

pub use self::oddity::{Oddity, SHORT_BYTES, shared};

/// Most bytes of a secret file. No vendor's secret comes near it; a larger file is the wrong file.
pub const MAX_FILE_BYTES: u64 = 64 * 1024;

/// The text of one secret. It has no `Display`, cannot be serialised or copied, and its `Debug` is a mask.
pub struct Secret(Box<[u8]>);

impl Secret {
    /// Reads a file: its whole text less one final newline (`\n` or `\r\n`), so that neither an editor's newline nor a
    /// secret's own spaces matter. Errors: no such file, not a regular file, unreadable, larger than
    /// [`MAX_FILE_BYTES`], nothing in it. Symbolic links are followed.
    pub fn read(file: &Path) -> Result<Self, SecretFault> {
        // Asked before it is opened: opening a named pipe would wait for a writer.
        if !fs::metadata(file)?.is_file() {
            return Err(SecretFault::NotAFile);
        }
        let mut text = Vec::new();
        fs::File::open(file)?.take(MAX_FILE_BYTES + 1).read_to_end(&mut text)?;
        if u64::try_from(text.len()).is_ok_and(|length| MAX_FILE_BYTES < length) {
            return Err(SecretFault::TooLarge);
        }
        Self::from_text(text)
    }

    /// Takes the text of a file, by the same rules. Errors: nothing is left without the final newline.
    pub fn from_text(mut text: Vec<u8>) -> Result<Self, SecretFault> {
        if text.ends_with(b"\n") {
            text.pop();
            if text.ends_with(b"\r") {
                text.pop();
            }
        }
        if text.trim_ascii().is_empty() { Err(SecretFault::Empty) } else { Ok(Secret(text.into_boxed_slice())) }
    }

    /// The secret itself: for keying a hash, proving who we are to a vendor, and the file it belongs in; for nothing else.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// What is odd about it.
    pub fn oddities(&self) -> Vec<Oddity> {
        Oddity::of(&self.0)
    }

    /// Tells it from others without keeping its text.
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.expose()).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// A secret and its file name, which is its label in metrics.
#[derive(Debug)]
pub struct NamedSecret {
    /// The last part of the file's path; unique within a source.
    pub name: String,
    /// The secret.
    pub secret: Secret,
}

/// Why a file gives no secret. The wording continues a sentence that began with the file.
#[derive(Debug, thiserror::Error)]
pub enum SecretFault {
    /// It, or a directory on its way, does not exist.
    #[error("does not exist")]
    Missing,
    /// A directory, a pipe or a device.
    #[error("is not a regular file")]
    NotAFile,
    /// Nothing is left without the final newline.
    #[error("is empty")]
    Empty,
    /// Above [`MAX_FILE_BYTES`].
    #[error("is larger than 64 KiB")]
    TooLarge,
    /// Anything else that the operating system says.
    #[error("cannot be read: {0}")]
    Unreadable(io::Error),
}

impl From<io::Error> for SecretFault {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::NotFound { SecretFault::Missing } else { SecretFault::Unreadable(error) }
    }
}

/// The first file of a set that gives no secret.
#[derive(Debug, thiserror::Error)]
#[error("secret file {} {fault}", file.display())]
pub struct SecretError {
    /// Which file.
    pub file: PathBuf,
    /// What is wrong with it.
    pub fault: SecretFault,
}

/// What one [`Watched::reload`] has come to.
#[derive(Debug)]
#[must_use]
pub enum Reload {
    /// Every file says what it said before.
    Unchanged,
    /// The new secrets are live, all at once; what was derived from the old ones goes with its last user. What is odd about
    /// them, each with its file's name.
    Loaded(Vec<(String, Oddity)>),
    /// A file is bad: the secrets from before stay live.
    Refused(SecretError),
}

/// What verification derives from a source's secrets (keyed hash states), kept up to date with the files.
///
/// A writer should rename a finished file into place, as Kubernetes does with its links: a file that is overwritten in
/// place can be read when half of it is there, and that half is then a secret until the next reload.
pub struct Watched<K> {
    files: Vec<PathBuf>,
    derive: fn(&[NamedSecret]) -> K,
    current: ArcSwap<K>,
    /// Of the live secrets, to see a change without keeping their text; its lock also makes reloads take turns.
    digests: Mutex<Vec<[u8; 32]>>,
}

impl<K> Watched<K> {
    /// Reads every file for the first time. Errors: the first file that gives no secret; nothing is live then.
    pub fn load(files: &[PathBuf], derive: fn(&[NamedSecret]) -> K) -> Result<Self, SecretError> {
        let (secrets, digests) = read_all(files)?;
        Ok(Watched {
            files: files.to_vec(),
            derive,
            current: ArcSwap::from_pointee(derive(&secrets)),
            digests: Mutex::new(digests),
        })
    }

    /// What is live now. It takes no lock, and a reload in between does not change what a holder sees.
    pub fn current(&self) -> Guard<Arc<K>> {
        self.current.load()
    }

    /// Reads every file again (blocking, a few system calls a file) and swaps when any has changed and all are good.
    pub fn reload(&self) -> Reload {
        let mut live = self.lock();
        match read_all(&self.files) {
            Err(error) => Reload::Refused(error),
            Ok((_, digests)) if digests == *live => Reload::Unchanged,
            Ok((secrets, digests)) => {
                self.current.store(Arc::new((self.derive)(&secrets)));
                *live = digests;
                let odd = secrets.iter().flat_map(|NamedSecret { name, secret }| {
                    secret.oddities().into_iter().map(|oddity| (name.clone(), oddity))
                });
                Reload::Loaded(odd.collect())
            }
        }
    }

    /// The digests of the live secrets, for [`shared`].
    pub fn digests(&self) -> Vec<[u8; 32]> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<[u8; 32]>> {
        // They are whole at any time, so a panic elsewhere under this lock left nothing half-done.
        self.digests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Shows the paths alone: a derived key is as secret as what it comes from.
impl<K> fmt::Debug for Watched<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched").field("files", &self.files).finish_non_exhaustive()
    }
}

/// The name of a secret for logs and metrics: that of its file.
pub fn name(file: &Path) -> String {
    file.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn read_all(files: &[PathBuf]) -> Result<(Vec<NamedSecret>, Vec<[u8; 32]>), SecretError> {
    let mut secrets = Vec::with_capacity(files.len());
    for file in files {
        let secret = Secret::read(file).map_err(|fault| SecretError { file: file.clone(), fault })?;
        secrets.push(NamedSecret { name: name(file), secret });
    }
    let digests = secrets.iter().map(|named| named.secret.digest()).collect();
    Ok((secrets, digests))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;

    use super::*;

    /// The derived value of these tests shows what is live.
    fn texts(secrets: &[NamedSecret]) -> Vec<String> {
        secrets.iter().map(|s| format!("{}={}", s.name, String::from_utf8_lossy(s.secret.expose()))).collect()
    }

    fn watched(files: &[PathBuf]) -> Watched<Vec<String>> {
        Watched::load(files, texts).unwrap()
    }

    #[test]
    fn one_final_newline_is_not_part_of_a_secret() {
        let cases: [(&[u8], &[u8]); 8] = [
            (b"key", b"key"),
            (b"key\n", b"key"),
            (b"key\r\n", b"key"),
            (b"key\n\n", b"key\n"),
            (b"key\r", b"key\r"),
            (b" key \n", b" key "),
            (b"a\nb\n", b"a\nb"),
            (b"\xff\x00\n", b"\xff\x00"),
        ];
        for (text, secret) in cases {
            assert_eq!(Secret::from_text(text.to_vec()).unwrap().expose(), secret, "{text:?}");
        }
        for empty in [&b""[..], b"\n", b"\r\n"] {
            assert!(matches!(Secret::from_text(empty.to_vec()), Err(SecretFault::Empty)), "{empty:?}");
        }
    }

    #[test]
    fn nothing_prints_a_secret() {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("a");
        fs::write(&file, "hunter2").unwrap();
        let named = NamedSecret { name: "a".into(), secret: Secret::read(&file).unwrap() };
        assert_eq!(format!("{named:?}"), r#"NamedSecret { name: "a", secret: Secret(***) }"#);
        assert!(!format!("{:?}", watched(&[file])).contains("hunter2"));
    }

    #[test]
    fn a_file_that_gives_no_secret_is_named() {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("a");
        let fault = |file: &Path| Watched::load(&[file.to_owned()], texts).unwrap_err();
        assert!(matches!(fault(&file).fault, SecretFault::Missing));
        assert!(matches!(fault(folder.path()).fault, SecretFault::NotAFile));
        assert!(matches!(fault(Path::new("/dev/zero")).fault, SecretFault::NotAFile));
        fs::write(&file, vec![b'x'; 65_537]).unwrap();
        assert!(matches!(fault(&file).fault, SecretFault::TooLarge));
        fs::write(&file, vec![b'x'; 65_536]).unwrap();
        assert_eq!(Secret::read(&file).unwrap().expose().len(), 65_536);
        fs::write(&file, "").unwrap();
        assert_eq!(fault(&file).to_string(), format!("secret file {} is empty", file.display()));
    }

    #[test]
    fn a_rename_is_loaded_whole_and_holders_keep_what_they_have() {
        let folder = TempDir::new().unwrap();
        let files = [folder.path().join("new"), folder.path().join("old")];
        fs::write(&files[0], "one\n").unwrap();
        fs::write(&files[1], "two\n").unwrap();
        let watched = watched(&files);
        assert!(matches!(watched.reload(), Reload::Unchanged));

        let before = watched.current();
        let fresh = folder.path().join(".new");
        fs::write(&fresh, "three\r\n").unwrap();
        fs::rename(&fresh, &files[0]).unwrap();
        let Reload::Loaded(odd) = watched.reload() else { panic!("not loaded") };
        assert_eq!(odd, [("new".to_owned(), Oddity::Short), ("old".to_owned(), Oddity::Short)]);
        assert_eq!(**before, ["new=one", "old=two"]);
        assert_eq!(**watched.current(), ["new=three", "old=two"]);
        assert!(matches!(watched.reload(), Reload::Unchanged));
    }

    #[test]
    fn a_kubernetes_mount_is_followed_through_its_links() {
        let folder = TempDir::new().unwrap();
        let at = |name: &str| folder.path().join(name);
        for (version, text) in [("..1", "one"), ("..2", "two")] {
            fs::create_dir(at(version)).unwrap();
            fs::write(at(version).join("key"), text).unwrap();
        }
        symlink("..1", at("..data")).unwrap();
        symlink("..data/key", at("key")).unwrap();
        let watched = watched(&[at("key")]);
        assert_eq!(**watched.current(), ["key=one"]);

        symlink("..2", at("..data_tmp")).unwrap();
        fs::rename(at("..data_tmp"), at("..data")).unwrap();
        assert!(matches!(watched.reload(), Reload::Loaded(_)));
        assert_eq!(**watched.current(), ["key=two"]);
    }

    #[test]
    fn a_bad_file_keeps_every_old_secret() {
        let folder = TempDir::new().unwrap();
        let files = [folder.path().join("a"), folder.path().join("b")];
        for file in &files {
            fs::write(file, "old").unwrap();
        }
        let watched = watched(&files);
        fs::write(&files[0], "new").unwrap();
        let large = "x".repeat(70_000);
        // A writer that opens, truncates and only then writes shows the first two.
        for text in ["", "\n", &large] {
            fs::write(&files[1], text).unwrap();
            let Reload::Refused(error) = watched.reload() else { panic!("took {} bytes", text.len()) };
            assert_eq!(error.file, files[1]);
            assert_eq!(**watched.current(), ["a=old", "b=old"]);
        }
        fs::remove_file(&files[1]).unwrap();
        assert!(matches!(watched.reload(), Reload::Refused(SecretError { fault: SecretFault::Missing, .. })));
        assert_eq!(**watched.current(), ["a=old", "b=old"]);

        fs::write(&files[1], "new too").unwrap();
        assert!(matches!(watched.reload(), Reload::Loaded(_)));
        assert_eq!(**watched.current(), ["a=new", "b=new too"]);
    }

    #[test]
    fn bytes_that_move_from_one_file_to_the_next_are_a_change() {
        let folder = TempDir::new().unwrap();
        let files = [folder.path().join("a"), folder.path().join("b")];
        fs::write(&files[0], "xy").unwrap();
        fs::write(&files[1], "z").unwrap();
        let watched = watched(&files);
        fs::write(&files[0], "x").unwrap();
        fs::write(&files[1], "yz").unwrap();
        assert!(matches!(watched.reload(), Reload::Loaded(_)));
    }
}
