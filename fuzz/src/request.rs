//! The whole request path: a gateway on the embedded bus in this process, and one connection to it for each input.
//!
//! The input is up to four requests between zero bytes, as they are sent, but for `$` and a letter in their heads: `$P` and
//! `$A` are the signature headers of either vendor, `$B` wrong ones, `$L` the length of the body, `$K` the header that says
//! that the body comes in chunks, and then it does.
//!
//! Expected: only documented statuses, each connection ends, and what lies in the journal is what was signed, to the byte, and
//! no more of it than was answered 200.

use std::{
    collections::HashSet,
    fs,
    hash::{DefaultHasher, Hasher as _},
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{LazyLock, Mutex},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use hookbus::{config::Config, envelope::Message, json, secrets::Secret, server, vendors::Vendor, verify::sign};
use journal::{Reader, Start};

use crate::{SECRETS, fault, scratch, secret_files};

const MOST_REQUESTS: usize = 4;
/// Longer than any of the gateway's own limits below.
const PATIENCE: Duration = Duration::from_secs(20);
const STATUSES: [&str; 10] = ["100", "200", "400", "401", "404", "405", "408", "413", "431", "503"];
const RECEIVED: &[u8] = br#"{"received":true}"#;

struct Gateway {
    address: SocketAddr,
    reader: Reader,
    /// Hashes of bodies: those that were signed, those of this input, and those that were stored.
    signed: HashSet<u64>,
    signed_now: HashSet<u64>,
    stored: HashSet<u64>,
    /// Answers that allow an event in the journal, less the events there.
    credit: usize,
}

static GATEWAY: LazyLock<Mutex<Gateway>> = LazyLock::new(|| Mutex::new(start()));

fn start() -> Gateway {
    let free = || TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    let (address, admin) = (free(), free());
    let journal = scratch().join("journal");
    let text = format!(
        "[listener]\naddress = '{address}'\nworkers = 1\nmax_body = '64KiB'\nmax_inflight = '1MiB'\nmax_head = '8KiB'\n\
         [admin]\naddress = '{admin}'\n[log]\nlevel = 'error'\n[bus]\nkind = 'journal'\n\
         [journal]\ndirectory = '{}'\nmax_size = '4MiB'\nsegment_size = '256KiB'\nreserve = '0B'\n\
         [[sources]]\nname = 'p'\nvendor = '1099policy'\npath = '/p'\nsecret_files = ['{1}']\n\
         [[sources]]\nname = 'a'\nvendor = 'audit1'\npath = '/a'\nsecret_files = ['{1}']\n",
        journal.display(),
        secret_files()[0].display()
    );
    let file = scratch().join("gateway.toml");
    fs::write(&file, text).expect("a file");
    let config = Config::load(&file, []).expect("a configuration").config;
    thread::spawn(move || server::run(&config, &[]).expect("a gateway"));
    let begin = Instant::now();
    while TcpStream::connect(address).is_err() {
        assert!(begin.elapsed() < PATIENCE, "the gateway does not start");
        thread::sleep(Duration::from_millis(10));
    }
    let reader = Reader::open(&journal, Start::Newest).expect("a journal");
    Gateway { address, reader, signed: HashSet::new(), signed_now: HashSet::new(), stored: HashSet::new(), credit: 0 }
}

/// One connection.
pub fn run(input: &[u8]) {
    let gateway = &mut *GATEWAY.lock().expect("no panic is survived");
    let mut sent = Vec::new();
    gateway.signed_now.clear();
    for request in input.split(|byte| *byte == 0).take(MOST_REQUESTS) {
        sent.extend(gateway.write(request));
    }
    let answers = exchange(gateway.address, &sent);
    let is_status = |line: &[u8]| STATUSES.iter().any(|status| line.starts_with(status.as_bytes()));
    for (at, _) in matches(&answers, b"HTTP/1.") {
        let line = answers.get(at + 9..).unwrap_or_default();
        assert!(is_status(line), "{:?}", String::from_utf8_lossy(line));
    }
    // What is answered 503 may become durable later.
    let received = matches(&answers, RECEIVED).count();
    gateway.credit += received + matches(&answers, b" 503 ").count();
    gateway.judge(received);
}

impl Gateway {
    /// Writes a request out, and notes what is signed.
    fn write(&mut self, request: &[u8]) -> Vec<u8> {
        let end = request.windows(4).position(|four| four == b"\r\n\r\n").map_or(request.len(), |at| at + 4);
        let (head, body) = request.split_at(end);
        let (mut out, mut chunked) = (Vec::new(), false);
        let mut bytes = head.iter();
        while let Some(&byte) = bytes.next() {
            let text = match (byte, bytes.as_slice().first()) {
                (b'$', Some(b'P')) => self.sign(Vendor::Policy1099, body),
                (b'$', Some(b'A')) => self.sign(Vendor::Audit1, body),
                (b'$', Some(b'B')) if fault() => signature(Vendor::Audit1, SECRETS[0], body),
                (b'$', Some(b'B')) => signature(Vendor::Audit1, SECRETS[1], body),
                (b'$', Some(b'L')) => body.len().to_string(),
                (b'$', Some(b'K')) => {
                    chunked = true;
                    "Transfer-Encoding: chunked".to_owned()
                }
                _ => {
                    out.push(byte);
                    continue;
                }
            };
            bytes.next();
            out.extend(text.into_bytes());
        }
        if !chunked {
            return [out, body.to_vec()].concat();
        }
        for piece in body.chunks(1 + body.len() / 3) {
            out.extend([format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat());
        }
        [out, b"0\r\n\r\n".to_vec()].concat()
    }

    fn sign(&mut self, vendor: Vendor, body: &[u8]) -> String {
        self.signed.insert(hash(body));
        self.signed_now.insert(hash(body));
        signature(vendor, SECRETS[0], body)
    }

    fn judge(&mut self, received: usize) {
        let mut new = 0;
        while let Some(entry) = self.reader.next().expect("a readable disk") {
            let body = hash(&entry.body);
            assert!(self.signed.contains(&body), "{:?} was not signed", String::from_utf8_lossy(&entry.body));
            let message = Message::decode(entry.head, entry.body).expect("a record is an event");
            let event: serde_json::Value = serde_json::from_slice(&message.structured()).unwrap_or_default();
            assert!(event.is_null() || event["specversion"] == "1.0");
            self.credit = self.credit.checked_sub(1).expect("no more events than answers that allow them");
            self.stored.insert(body);
            new += 1;
        }
        let known = !self.signed_now.is_disjoint(&self.stored);
        assert!(received <= new || known, "{received} answered 200, {new} stored, and none of them known before");
    }
}

/// A byte order mark before an event is not stored.
fn hash(body: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(json::without_mark(body));
    hasher.finish()
}

fn signature(vendor: Vendor, secret: &str, body: &[u8]) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs();
    let secret = Secret::from_text(secret.into()).expect("a secret");
    let headers = sign::headers(vendor, &secret, now.try_into().expect("a time"), body);
    headers.iter().map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>().join("\r\n")
}

/// All that the gateway answers until it closes the connection.
fn exchange(address: SocketAddr, sent: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    // A gateway that has answered may have closed its side.
    let _written = stream.write_all(sent).and_then(|()| stream.shutdown(Shutdown::Write));
    let mut answers = Vec::new();
    if let Err(error) = stream.read_to_end(&mut answers) {
        let is_end = error.kind() == std::io::ErrorKind::ConnectionReset;
        assert!(is_end, "{error}: {:?}", String::from_utf8_lossy(&answers));
    }
    answers
}

fn matches<'a>(text: &'a [u8], part: &'a [u8]) -> impl Iterator<Item = (usize, &'a [u8])> {
    text.windows(part.len()).enumerate().filter(move |(_, window)| *window == part)
}
