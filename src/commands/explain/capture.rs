//! A captured request: a head in a file and a body in another, one raw HTTP request, or what `curl -v` printed.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};

use super::options::Options;
use crate::{commands::failure::Failure, units::show_size};

/// Most bytes of a file that is read; ten times the largest body of any default.
const MAX_BYTES: u64 = 64 << 20;
/// `curl -v` puts it before each line that it sends.
const CURL: &[u8] = b"> ";

/// The request, and what is odd about the capture.
#[derive(Debug)]
pub(super) struct Capture {
    /// Method and target, if the capture has the request line.
    pub(super) line: Option<(Method, Uri)>,
    /// As they came, in their order.
    pub(super) headers: HeaderMap,
    /// As it came.
    pub(super) body: Vec<u8>,
    /// What the capture itself may have changed, in words.
    pub(super) doubts: Vec<String>,
}

impl Capture {
    pub(super) fn read(options: &Options) -> Result<Self, Failure> {
        let text = bytes(options.headers.as_deref().or(options.request.as_deref()))?;
        let is_curl = text.split(|b| *b == b'\n').any(|line| line.starts_with(CURL));
        let (head, rest) = match (&options.headers, is_curl) {
            (_, true) => (sent_by_curl(&text), None),
            (Some(_), false) => (text, None),
            (None, false) => {
                let (head, body) = split(&text);
                (head.to_vec(), Some(body.to_vec()))
            }
        };
        let mut capture = parse(&head)?;
        capture.body = match (&options.body, rest) {
            (Some(file), _) => bytes(Some(file))?,
            (None, Some(rest)) => capture.transferred(rest),
            (None, None) => {
                let text = "the body is not in this capture: name the file with its exact bytes by --body";
                return Err(Failure::Usage(text.into()));
            }
        };
        capture.doubt();
        Ok(capture)
    }

    /// The body of a raw request: without its chunks' sizes, and no longer than its length says.
    fn transferred(&mut self, rest: Vec<u8>) -> Vec<u8> {
        let is_chunked = self.headers.get(header::TRANSFER_ENCODING).is_some_and(|value| value == "chunked");
        if is_chunked && let Some(body) = unchunk(&rest) {
            return body;
        }
        let mut body = rest;
        if let Some(length) = self.length().filter(|length| *length < body.len()) {
            let more = body.len() - length;
            self.doubts.push(format!("{more} byte(s) behind the declared Content-Length are not part of the body"));
            body.truncate(length);
        }
        body
    }

    fn length(&self) -> Option<usize> {
        self.headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
    }

    fn doubt(&mut self) {
        if let Some(length) = self.length().filter(|length| *length != self.body.len()) {
            let (is, doubts) = (self.body.len(), &mut self.doubts);
            doubts.push(format!(
                "Content-Length says {length} bytes, the captured body has {is}: capture the exact bytes"
            ));
        }
        if self.headers.contains_key(header::CONTENT_ENCODING) {
            let text = "the body has a Content-Encoding: what counts is its bytes as sent, still encoded";
            self.doubts.push(text.into());
        }
    }
}

fn bytes(file: Option<&Path>) -> Result<Vec<u8>, Failure> {
    let (name, opened): (_, io::Result<Box<dyn Read>>) = match file.filter(|file| *file != Path::new("-")) {
        Some(file) => (file.display().to_string(), File::open(file).map(|file| Box::new(file) as Box<dyn Read>)),
        None => ("standard input".into(), Ok(Box::new(io::stdin()))),
    };
    let mut bytes = Vec::new();
    let read = opened.and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes));
    match read {
        Ok(read) if u64::try_from(read).is_ok_and(|read| read <= MAX_BYTES) => Ok(bytes),
        Ok(_) => Err(Failure::Usage(format!("{name} has more than {}", show_size(MAX_BYTES)))),
        Err(error) => Err(Failure::Usage(format!("{name}: {error}"))),
    }
}

fn sent_by_curl(text: &[u8]) -> Vec<u8> {
    let sent = text.split(|b| *b == b'\n').filter_map(|line| line.strip_prefix(b">")).map(<[u8]>::trim_ascii);
    sent.take_while(|line| !line.is_empty()).collect::<Vec<_>>().join(&b'\n')
}

/// Head and body, at the first empty line.
fn split(text: &[u8]) -> (&[u8], &[u8]) {
    let mut at = 0;
    for line in text.split_inclusive(|b| *b == b'\n') {
        if line.trim_ascii().is_empty() {
            let (head, rest) = text.split_at(at);
            return (head, rest.get(line.len()..).unwrap_or_default());
        }
        at += line.len();
    }
    (text, &[])
}

fn parse(head: &[u8]) -> Result<Capture, Failure> {
    let mut capture = Capture { line: None, headers: HeaderMap::new(), body: Vec::new(), doubts: Vec::new() };
    for (index, line) in head.split(|b| *b == b'\n').map(<[u8]>::trim_ascii).enumerate() {
        if line.is_empty() {
            continue;
        }
        if capture.headers.is_empty() && capture.line.is_none() {
            capture.line = request_line(line);
            if capture.line.is_some() {
                continue;
            }
        }
        let added = header_line(line).and_then(|(name, value)| capture.headers.try_append(name, value).ok());
        if added.is_none() {
            capture.doubts.push(format!("line {} of the head is no header, and is left out", index + 1));
        }
    }
    if capture.headers.is_empty() {
        return Err(Failure::Usage("the capture has no header line such as `Content-Type: application/json`".into()));
    }
    Ok(capture)
}

fn request_line(line: &[u8]) -> Option<(Method, Uri)> {
    let mut words = std::str::from_utf8(line).ok()?.split_ascii_whitespace();
    let (method, target) = (words.next()?, words.next()?);
    let is_method = method.bytes().all(|b| b.is_ascii_uppercase());
    Some((method.parse().ok().filter(|_| is_method)?, target.parse().ok()?))
}

fn header_line(line: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    let at = line.iter().position(|b| *b == b':')?;
    let (name, value) = line.split_at(at);
    Some((HeaderName::from_bytes(name.trim_ascii()).ok()?, HeaderValue::from_bytes(value.get(1..)?.trim_ascii()).ok()?))
}

/// The data of chunks; `None` when these are none.
fn unchunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.iter().position(|b| *b == b'\n')?;
        let (size, data) = rest.split_at(end + 1);
        let size = std::str::from_utf8(size).ok()?.split(';').next()?.trim();
        let size = usize::from_str_radix(size, 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        let (chunk, behind) = data.split_at_checked(size)?;
        body.extend_from_slice(chunk);
        rest = behind.strip_prefix(b"\r\n").or_else(|| behind.strip_prefix(b"\n"))?;
    }
}
