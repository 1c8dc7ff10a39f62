//! A vendor's side: signed requests, on raw connections that can also break the rules.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use hookbus::{secrets::Secret, vendors::Vendor, verify::sign};

use crate::support::{
    harness::{AUDIT, SECRET},
    wait::PATIENCE,
};

/// One HTTP answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// Lower-case names.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

/// A raw connection.
pub struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    pub fn open(address: SocketAddr) -> Self {
        Self::try_open(address).unwrap()
    }

    pub fn try_open(address: SocketAddr) -> std::io::Result<Self> {
        TcpStream::connect(address).map(Self::over)
    }

    pub fn over(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Connection { stream: BufReader::new(stream) }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.get_mut().write_all(bytes.as_ref()).unwrap();
    }

    pub fn try_send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// Goes away with a reset, as a process that dies does.
    pub fn reset(self) {
        socket2::SockRef::from(self.stream.get_ref()).set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// Closes the sending side only.
    pub fn half_close(&self) {
        self.stream.get_ref().shutdown(std::net::Shutdown::Write).unwrap();
    }

    /// Sends a head and a body and reads the answer.
    pub fn request(&mut self, head: &str, body: &[u8]) -> Answer {
        self.send([head.as_bytes(), body].concat());
        self.answer().expect("an answer")
    }

    pub fn post(&mut self, path: &str, body: &[u8]) -> Answer {
        self.request(&post_head(path, body, &signature(path, body)), body)
    }

    /// The next answer; `None` when the connection is closed without one.
    pub fn answer(&mut self) -> Option<Answer> {
        let status_line = self.line()?;
        let status = status_line.split(' ').nth(1).unwrap().parse().unwrap();
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(':') else { break };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut answer = Answer { status, headers, body: String::new() };
        let length = answer.header("content-length").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).ok()?;
        answer.body = String::from_utf8(body).unwrap();
        Some(answer)
    }

    pub fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        match self.stream.read_line(&mut line) {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(line.trim_end().to_owned()),
        }
    }

    /// Waits for the other side to close, at most `limit`; `true` when it did without sending anything.
    pub fn closed_within(&mut self, limit: Duration) -> bool {
        self.stream.get_ref().set_read_timeout(Some(limit)).unwrap();
        let mut rest = Vec::new();
        match self.stream.read_to_end(&mut rest) {
            Ok(_) => rest.is_empty(),
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}

/// The head of a POST. `more`: whole header lines.
pub fn post_head(path: &str, body: &[u8], more: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: hooks.example.com\r\nContent-Length: {}\r\n{more}\r\n", body.len())
}

/// The headers that the vendor of a path sends with a body.
pub fn signature(path: &str, body: &[u8]) -> String {
    signed(path, SECRET, unix_now(), body)
}

/// The same under any secret and at any time, in Unix seconds.
pub fn signed(path: &str, secret: &str, at: i64, body: &[u8]) -> String {
    let vendor = if path == AUDIT { Vendor::Audit1 } else { Vendor::Policy1099 };
    let secret = Secret::from_text(secret.into()).unwrap();
    sign::headers(vendor, &secret, at, body).iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect()
}

pub fn unix_now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().try_into().unwrap()
}
