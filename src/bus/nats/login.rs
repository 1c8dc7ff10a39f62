//! The login, read from its files at each attempt to connect, so that a changed password or credentials file is taken
//! by the next connection without a restart.
//!
//! In: `[bus.nats]` and the server's nonce. Out: the client's login. A file that cannot be read fails that
//! attempt only; the next one reads it again.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use async_nats::{Auth, AuthError, ConnectOptions};
use nkeys::KeyPair;

use super::shared::StartError;
use crate::{config::NatsConfig, secrets::Secret};

/// The configured login; the configuration allows one at most.
#[derive(Debug)]
enum Login {
    /// A credentials file: a user's JWT and the seed of its key.
    Credentials(PathBuf),
    /// A file that holds the seed of a user's key.
    Seed(PathBuf),
    /// A name, and a file that holds its password.
    User(String, PathBuf),
}

/// Options with the configured login.
///
/// # Errors
/// [`StartError::Login`]: a file that is no login now will hardly be one at the first attempt.
pub(super) fn options(nats: &NatsConfig) -> Result<ConnectOptions, StartError> {
    let Some(login) = Login::of(nats) else { return Ok(ConnectOptions::new()) };
    login.answer(b"").map_err(|(file, error)| StartError::Login { file: file.into(), error })?;
    let login = Arc::new(login);
    Ok(ConnectOptions::with_auth_callback(move |nonce| {
        let login = Arc::clone(&login);
        async move { login.answer(&nonce).map_err(|(file, error)| AuthError::new(format!("{}: {error}", file.display()))) }
    }))
}

impl Login {
    fn of(nats: &NatsConfig) -> Option<Self> {
        let credentials = nats.credentials_file.clone().map(Login::Credentials);
        let seed = || nats.nkey_seed_file.clone().map(Login::Seed);
        let user = || Some(Login::User(nats.user.clone()?, nats.password_file.clone()?));
        credentials.or_else(seed).or_else(user)
    }

    /// The answer to a server that sent `nonce`. Errors: the file, and what is wrong with it.
    fn answer(&self, nonce: &[u8]) -> Result<Auth, (&Path, io::Error)> {
        let mut auth = Auth::new();
        match self {
            Login::Credentials(file) => {
                let text = secret(file)?;
                let key = key(file, block(&text, "SEED"), nonce)?.1;
                let jwt = block(&text, "JWT").ok_or_else(|| (&**file, bad("no user JWT in it")))?;
                (auth.jwt, auth.signature) = (Some(jwt.into()), Some(key));
            }
            Login::Seed(file) => {
                let (public, signature) = key(file, Some(secret(file)?.trim()), nonce)?;
                (auth.nkey, auth.signature) = (Some(public), Some(signature));
            }
            Login::User(user, file) => {
                (auth.username, auth.password) = (Some(user.clone()), Some(secret(file)?));
            }
        }
        Ok(auth)
    }
}

/// The public key of a seed, and its signature of the nonce.
fn key<'a>(file: &'a Path, seed: Option<&str>, nonce: &[u8]) -> Result<(String, Vec<u8>), (&'a Path, io::Error)> {
    let pair = seed.ok_or_else(|| bad("no seed of a key in it")).and_then(|seed| KeyPair::from_seed(seed).map_err(bad));
    let signed = pair.and_then(|pair| Ok((pair.public_key(), pair.sign(nonce).map_err(bad)?)));
    signed.map_err(|error| (file, error))
}

/// The line between `-----BEGIN … <what>-----` and its end, as credentials files have it.
fn block<'a>(text: &'a str, what: &str) -> Option<&'a str> {
    let mut lines = text.lines().map(str::trim);
    lines.find(|line| line.starts_with("-----BEGIN ") && line.trim_end_matches('-').ends_with(what))?;
    lines.find(|line| !line.is_empty()).filter(|line| !line.starts_with('-'))
}

fn secret(file: &Path) -> Result<String, (&Path, io::Error)> {
    // A missing file is the system's own error; the rest is said in our words.
    let read = fs::metadata(file).and_then(|_| Secret::read(file).map_err(|fault| bad(fault.to_string())));
    let text = read.and_then(|secret| String::from_utf8(secret.expose().to_vec()).map_err(io::Error::other));
    text.map_err(|error| (file, error))
}

fn bad(fault: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    fn credentials_files_are_read_as_their_tools_write_them() {
        let pair = KeyPair::new_user();
        let seed = pair.seed().unwrap();
        let text = format!(
            "-----BEGIN NATS USER JWT-----\nhead.claims.sign-_\n------END NATS USER JWT------\n\n*** IMPORTANT ***\n\
             -----BEGIN USER NKEY SEED-----\r\n{seed}\r\n------END USER NKEY SEED------\n\n****\n"
        );
        let file = written(&text);
        let auth = Login::Credentials(file.path().into()).answer(b"nonce").unwrap();
        assert_eq!(auth.jwt.as_deref(), Some("head.claims.sign-_"));
        pair.verify(b"nonce", &auth.signature.unwrap()).unwrap();
        for (damaged, fault) in [
            (text.replace("SEED", "SAND"), "no seed"),
            (text.replace("JWT", "JAR"), "no user JWT"),
            (text.replace("head.claims.sign-_\n", ""), "no user JWT"),
            (seed.clone(), "no seed"),
        ] {
            let file = written(&damaged);
            let login = Login::Credentials(file.path().into());
            let error = login.answer(b"").err().unwrap().1;
            assert!(error.to_string().contains(fault) && !error.to_string().contains(&seed), "{error}");
        }
    }

    #[test]
    fn a_seed_and_a_password_are_read_anew_each_time() {
        let (old, new) = (KeyPair::new_user(), KeyPair::new_user());
        let file = written(&format!("{}\n", old.seed().unwrap()));
        let login = Login::Seed(file.path().into());
        assert_eq!(login.answer(b"n").unwrap().nkey, Some(old.public_key()));
        fs::write(file.path(), new.seed().unwrap()).unwrap();
        let auth = login.answer(b"n").unwrap();
        assert_eq!(auth.nkey, Some(new.public_key()));
        new.verify(b"n", &auth.signature.unwrap()).unwrap();
        fs::write(file.path(), "").unwrap();
        assert!(login.answer(b"n").is_err());
        fs::write(file.path(), "pass word \n").unwrap();
        let auth = Login::User("gateway".into(), file.path().into()).answer(b"n").unwrap();
        assert_eq!((auth.username.as_deref(), auth.password.as_deref()), (Some("gateway"), Some("pass word ")));
    }
}
