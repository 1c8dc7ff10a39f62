//! `hookbus explain`: what it says of requests that went wrong, of those that did not, and what it never says.

use std::{fs, fs::File, process::Command};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use hookbus::text::hex_encode;
use jiff::Timestamp;
use sha2::{Sha256, Sha512};

use crate::support::harness::{AUDIT, HOOKBUS, POLICY, Setup};

const POLICY_SECRET: &[u8] = b"whsec_canary_of_1099policy";
/// After `whsec_` it is base64 of `canary of payroll`.
const AUDIT_SECRET: &[u8] = b"whsec_Y2FuYXJ5IG9mIHBheXJvbGw=";
const PADDED_SECRET: &[u8] = b"whsec_canary_of_padded";
const PADDED: &str = "/webhooks/padded";
const BODY: &[u8] = br#"{"id":"evt_1","type":"policy.active","data":{"object":"policy","id":"pl_1"}}"#;
const FILE: &[u8] = br#"{"event":"file.processed","fileId":"f_1"}"#;

fn setup() -> Setup {
    let padded = format!(
        "[[sources]]\nname = \"padded\"\nvendor = \"audit1\"\npath = \"{PADDED}\"\nsecret_files = [\"secrets/padded\"]\n"
    );
    let setup = Setup::new("max_body = \"64KiB\"", &padded);
    for (file, secret) in [("1099policy", POLICY_SECRET), ("audit1", AUDIT_SECRET)] {
        fs::write(setup.path().join("secrets").join(file), secret).unwrap();
    }
    fs::write(setup.path().join("secrets/padded"), [b" ", PADDED_SECRET, b" \n"].concat()).unwrap();
    setup
}

fn sha256(secret: &[u8], pieces: &[&[u8]]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
    pieces.iter().for_each(|piece| mac.update(piece));
    hex_encode(&mac.finalize().into_bytes())
}

fn sha512(secret: &[u8], pieces: &[&[u8]]) -> String {
    let mut mac = Hmac::<Sha512>::new_from_slice(secret).unwrap();
    pieces.iter().for_each(|piece| mac.update(piece));
    hex_encode(&mac.finalize().into_bytes())
}

/// A captured request.
struct Request {
    line: String,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Request {
    fn raw(&self) -> Vec<u8> {
        [format!("{} HTTP/1.1\r\n{}\r\n", self.line, self.head()).as_bytes(), &self.body].concat()
    }

    fn head(&self) -> String {
        let lines = self.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
        format!("Host: a\r\n{}", lines.collect::<String>())
    }

    /// As another request line.
    fn at(self, line: &str) -> Self {
        Request { line: line.into(), ..self }
    }

    /// With another body than the one that was signed.
    fn sent(self, body: impl Into<Vec<u8>>) -> Self {
        Request { body: body.into(), ..self }
    }
}

/// `signature` is made of the time as text.
fn policy_with(body: &[u8], age: i64, signature: impl Fn(&[u8]) -> String) -> Request {
    let at = (Timestamp::now().as_second() - age).to_string();
    let headers = vec![("X-Convoy-Signature", signature(at.as_bytes())), ("Convoy-Timestamp", at)];
    Request { line: format!("POST {POLICY}"), headers, body: body.to_vec() }
}

fn policy(secret: &[u8], body: &[u8]) -> Request {
    policy_with(body, 0, |at| sha512(secret, &[at, b",", body]))
}

fn audit_with(body: &[u8], signature: String) -> Request {
    let headers = vec![("X-Audit1-Signature", signature)];
    Request { line: format!("POST {AUDIT}"), headers, body: body.to_vec() }
}

fn audit(secret: &[u8], body: &[u8]) -> Request {
    audit_with(body, format!("sha256={}", sha256(secret, &[body])))
}

fn padded(secret: &[u8]) -> Request {
    audit(secret, FILE).at(&format!("POST {PADDED}"))
}

/// Runs it over a raw request: exit code and text. No secret and no signature stands in the text, whatever was asked.
fn explain(setup: &Setup, request: &Request, more: &[&str]) -> (i32, String) {
    fs::write(setup.path().join("request"), request.raw()).unwrap();
    let output = setup.run(&[&["explain", "request"], more].concat());
    let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    silent(&text, request);
    (output.status.code().unwrap(), text)
}

fn silent(text: &str, request: &Request) {
    assert!(!text.contains("canary") && !text.contains("Y2FuYXJ5"), "a secret in\n{text}");
    let at = request.headers.iter().find(|(name, _)| *name == "Convoy-Timestamp").map(|(_, at)| at.clone());
    let (at, body) = (at.unwrap_or_default(), &request.body);
    let mut signatures = vec![sha512(POLICY_SECRET, &[at.as_bytes(), b",", body]), sha256(AUDIT_SECRET, &[body])];
    signatures.extend(request.headers.iter().filter(|(name, _)| name.contains("ignature")).map(|(_, v)| v.clone()));
    for signature in signatures.iter().filter(|signature| signature.len() > 20) {
        assert!(!text.contains(signature.get(..20).unwrap()), "a signature in\n{text}");
    }
}

/// A broken request, and what is said of it.
type Row = (&'static str, Request, &'static [&'static str]);

fn changed_bodies() -> Vec<Row> {
    let newline = |end: &[u8]| [FILE, end].concat();
    let (lf, crlf) = (b"{\n\"event\":\"file.processed\"\n}", "{\r\n\"event\":\"file.processed\"\r\n}");
    let spaced = br#"{"event": "file.processed", "fileId": "f_1"}"#;
    let pretty = b"{\n  \"event\": \"file.processed\",\n  \"fileId\": \"f_1\"\n}";
    let bom = [b"\xef\xbb\xbf", FILE].concat();
    vec![
        ("newline added", audit(AUDIT_SECRET, FILE).sent(newline(b"\n")), &["without its final newline", "do: verify"]),
        ("newline lost", audit(AUDIT_SECRET, &newline(b"\n")).sent(FILE), &["and a final newline"]),
        ("CR lost", audit(AUDIT_SECRET, crlf.as_bytes()).sent(lf), &["with CRLF in the place of the body's LF"]),
        ("CR added", audit(AUDIT_SECRET, lf).sent(crlf), &["with LF in the place of the body's CRLF"]),
        ("made pretty", audit(AUDIT_SECRET, FILE).sent(pretty), &["JSON compact", "wrote it again"]),
        ("made compact", audit(AUDIT_SECRET, pretty).sent(FILE), &["indented by two spaces"]),
        ("json.dumps", audit(AUDIT_SECRET, spaced).sent(FILE), &["json.dumps"]),
        ("mark added", audit(AUDIT_SECRET, FILE).sent(bom), &["byte order mark"]),
        ("signed empty", audit(AUDIT_SECRET, b"").sent(FILE), &["with an empty body"]),
        (
            "another body",
            policy(POLICY_SECRET, BODY).sent("{}"),
            &["no small change", "do: compare", "none matches of 1"],
        ),
    ]
}

fn changed_secrets() -> Vec<Row> {
    let wrong_path = audit(AUDIT_SECRET, FILE).at(&format!("POST {POLICY}"));
    let newline = [POLICY_SECRET, b"\n"].concat();
    vec![
        ("spaces in the file", padded(PADDED_SECRET), &["secret of file padded had no white space around it"]),
        ("newline at the sender", policy(&newline, BODY), &["file 1099policy ended in a newline"]),
        ("no whsec_", policy(&POLICY_SECRET[6..], BODY), &["had no `whsec_` in front"]),
        ("base64", audit(b"canary of payroll", FILE), &["decoded from base64"]),
        ("exchanged", policy(AUDIT_SECRET, BODY), &["under the secret of source payroll", "secret files"]),
        (
            "wrong path",
            wrong_path,
            &["as a request of source payroll", "give it /webhooks/audit1", "signature missing"],
        ),
        ("wrong account", padded(AUDIT_SECRET), &["as a request of source payroll"]),
        ("unknown", policy(b"whsec_unknown_to_all", BODY), &["no small change", "signature mismatch"]),
    ]
}

fn changed_forms() -> Vec<Row> {
    let mut renamed = audit(AUDIT_SECRET, FILE);
    renamed.headers[0].0 = "X-Signature";
    let mut no_time = policy(POLICY_SECRET, BODY);
    no_time.headers.truncate(1);
    let mut twice = audit(AUDIT_SECRET, FILE);
    twice.headers.push(("Audit1-Signature", sha256(b"other", &[FILE])));
    let bytes = const_hex::decode(sha256(AUDIT_SECRET, &[FILE])).unwrap();
    let versioned = format!("t=1,v1={}", sha256(AUDIT_SECRET, &[b"1.", FILE]));
    let prefixed = policy_with(BODY, 0, |at| format!("sha512={}", sha512(POLICY_SECRET, &[at, b",", BODY])));
    let sha512_at_audit = audit_with(FILE, sha512(AUDIT_SECRET, &[FILE]));
    let stale = policy_with(BODY, 7200, |at| sha512(POLICY_SECRET, &[at, b",", BODY]));
    vec![
        ("renamed", renamed, &["if the header x-signature were named x-audit1-signature"]),
        ("no timestamp", no_time, &["or no timestamp beside it"]),
        ("two lines", twice, &["line 1 (x-audit1-signature) alone"]),
        ("base64 signature", audit_with(FILE, STANDARD.encode(bytes)), &["it is base64", "signature malformed"]),
        ("body alone", policy_with(BODY, 0, |_| sha512(POLICY_SECRET, &[BODY])), &["the body alone were signed"]),
        ("dot", policy_with(BODY, 0, |at| sha512(POLICY_SECRET, &[at, b".", BODY])), &["joined by a dot"]),
        ("t= form", audit_with(FILE, versioned), &["in the `t=` form"]),
        ("prefix", prefixed, &["had no prefix before the signature"]),
        ("other hash", sha512_at_audit, &["under SHA-512"]),
        ("stale", stale, &["before it arrived", "tolerance 5m", "--received", "id = evt_1", "signature stale"]),
    ]
}

fn changed_heads() -> Vec<Row> {
    let signed = || policy(POLICY_SECRET, BODY);
    let large = vec![b' '; 65 * 1024];
    vec![
        (
            "case",
            signed().at("POST /Webhooks/1099policy/?a=1"),
            &["404", "give the vendor /webhooks/1099policy, the path of acme"],
        ),
        ("path", signed().at("POST /else"), &["404", "hookbus check lists them"]),
        ("GET", signed().at(&format!("GET {POLICY}")), &["a ping and no event"]),
        ("PUT", signed().at(&format!("PUT {POLICY}")), &["405"]),
        ("large", policy(POLICY_SECRET, &large), &["413", "more than max_body (64KiB)"]),
    ]
}

#[test]
fn each_broken_request_is_explained() {
    let setup = setup();
    let rows: Vec<Row> =
        [changed_bodies(), changed_secrets(), changed_forms(), changed_heads()].into_iter().flatten().collect();
    assert!(rows.len() >= 20);
    for (name, request, wanted) in rows {
        let (code, text) = explain(&setup, &request, &[]);
        println!("--- {name}\n{text}");
        assert_eq!(code, 2, "{name}\n{text}");
        for words in wanted {
            assert!(text.contains(words), "{name}: no `{words}` in\n{text}");
        }
    }
}

#[test]
fn what_is_accepted_is_shown_as_it_will_be() {
    let setup = setup();
    let unlisted = br#"{"id":"evt_2","type":"policy.new_thing","data":{}}"#;
    let rows = [
        (
            policy(POLICY_SECRET, BODY),
            &[
                "file 1099policy matches",
                "type = com.1099policy.policy.active",
                "subject = pl_1",
                "tenant = acme",
                "environment = production",
                "subject webhooks.1099policy.policy.active of the embedded bus",
            ][..],
        ),
        (policy(POLICY_SECRET, unlisted), &["in no document", "subject webhooks.1099policy.unknown "]),
        (
            audit(AUDIT_SECRET, b"\x1b[2Jno JSON"),
            &["quarantine, reason not_json", "subject webhooks.audit1.quarantine "],
        ),
    ];
    for (request, wanted) in rows {
        let (code, text) = explain(&setup, &request, &[]);
        assert_eq!(code, 0, "{text}");
        assert!(text.ends_with("accepted: 200\n") && !text.contains('\x1b'), "{text}");
        for words in wanted {
            assert!(text.contains(words), "no `{words}` in\n{text}");
        }
    }
    // An old capture is judged at the time of its arrival.
    let old = policy_with(BODY, 7200, |at| sha512(POLICY_SECRET, &[at, b",", BODY]));
    assert_eq!(explain(&setup, &old, &["--received", "2h"]).0, 0);
    // A name asks a source whatever the path.
    let elsewhere = policy(POLICY_SECRET, BODY).at("POST /else");
    assert_eq!(explain(&setup, &elsewhere, &["--source", "acme"]).0, 0);
}

#[test]
fn a_capture_may_be_files_or_curls_words_or_standard_input() {
    let setup = setup();
    let request = policy(POLICY_SECRET, BODY);
    let write = |name: &str, bytes: &[u8]| fs::write(setup.path().join(name), bytes).unwrap();
    write("head", request.head().as_bytes());
    write("body", BODY);
    let curl: String = request.head().lines().map(|line| format!("> {line}\r\n")).collect();
    write("curl", format!("* Connected\n> POST {POLICY} HTTP/1.1\r\n{curl}> \r\n< HTTP/1.1 401\r\n").as_bytes());
    let chunked = format!("POST {POLICY} HTTP/1.1\r\nTransfer-Encoding: chunked\r\n{}\r\n", request.head());
    let (first, second) = BODY.split_at(10);
    let chunks = [b"a\r\n", first, format!("\r\n{:x}\r\n", second.len()).as_bytes(), second, b"\r\n0\r\n\r\n"].concat();
    write("chunked", &[chunked.as_bytes(), &chunks].concat());
    // Without a request line the signature tells the source.
    for words in [&["--headers", "head", "--body", "body"][..], &["curl", "--body", "body"], &["chunked"]] {
        let output = setup.run(&[&["explain"], words].concat());
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0), "{words:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
        assert!(text.contains("acme (1099policy)"), "{text}");
    }
    let stdin = File::open(setup.path().join("chunked")).unwrap();
    let output = Command::new(HOOKBUS).arg("explain").stdin(stdin).current_dir(setup.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    // What cannot be read is a call's fault, and says what to do.
    for (words, says) in [
        (&["--headers", "head"][..], "--body"),
        (&["curl"], "--body"),
        (&["no-such-file"], "no-such-file"),
        (&["body"], "no header line"),
        (&["chunked", "--source", "nobody"], "no source"),
    ] {
        let output = setup.run(&[&["explain"], words].concat());
        assert_eq!(output.status.code(), Some(64), "{words:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(says), "{words:?}");
    }
}
