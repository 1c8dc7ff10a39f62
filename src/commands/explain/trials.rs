//! What the sender may have signed in the place of what came: the request with one change, checked again.
//!
//! In: a request whose signature does not hold. Out: each change with which it would, in words, and what to do.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::layout::Layout;
use crate::{
    json,
    secrets::{NamedSecret, Secret},
    text::hex_encode,
    vendors::profile::{Hash, Scheme},
    verify::Attempt,
};

/// A change with which the signature would hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// Continues "would match".
    pub(super) change: String,
    /// What to do.
    pub(super) advice: &'static str,
}

/// A secret's other text, or nothing where there is none.
type Change = fn(&[u8]) -> Option<Vec<u8>>;

const EXACT_BYTES: &str = "verify and keep the bytes as they came: a proxy, a function or the capture (an editor, `echo`, \
                           `curl -d`) changed them; send a file with `curl --data-binary @FILE`";
const RE_ENCODED: &str = "something on the way parsed the JSON and wrote it again (a proxy, a function, a queue): pass the raw \
                          bytes on";
const SECRET_FILE: &str = "write the secret file anew with the exact text that the vendor shows";
const SENDER: &str = "the sender does not sign as this vendor's documents say: check who sends it, and through what";
const HEADER: &str = "a proxy or the sender changed the header: pass it on as it came";

/// The names of a scheme's signature headers.
pub(super) fn signature_headers(scheme: &'static Scheme) -> &'static [&'static str] {
    match scheme {
        Scheme::Timestamped { header, .. } => std::slice::from_ref(header),
        Scheme::BodyOnly { headers, .. } => headers,
    }
}

/// The changes of body, secret, header and scheme with which the request verifies. One change at a time.
pub(super) fn changes(attempt: &Attempt<'_>, scheme: &'static Scheme) -> Vec<Found> {
    let mut found = Vec::new();
    let mut add = |holds: bool, change: String, advice| {
        if holds && !found.iter().any(|known: &Found| known.change == change) {
            found.push(Found { change, advice });
        }
    };
    for (body, words, advice) in bodies(attempt.body) {
        add(Attempt { body: &body, ..*attempt }.secret().is_ok(), words.into(), advice);
    }
    for known in attempt.secrets {
        for (change, words) in SECRETS {
            let Some(secret) = change(known.secret.expose()).and_then(|text| Secret::from_text(text).ok()) else {
                continue;
            };
            let secrets = [NamedSecret { name: known.name.clone(), secret }];
            let holds = Attempt { secrets: &secrets, ..*attempt }.secret().is_ok();
            add(holds, format!("if the secret of file {} {words}", known.name), SECRET_FILE);
        }
    }
    for (headers, words) in headers(attempt.headers, scheme) {
        add(Attempt { headers: &headers, ..*attempt }.secret().is_ok(), words, HEADER);
    }
    for (scheme, hash, words) in schemes(scheme, attempt.hash) {
        add(Attempt { scheme: &scheme, hash, ..*attempt }.secret().is_ok(), words.into(), SENDER);
    }
    found
}

const SECRETS: [(Change, &str); 6] = [
    (|text| Some([text.trim_ascii(), b"\n"].concat()), "had no white space around it"),
    (|text| Some([text, b"\n\n"].concat()), "ended in a newline: the sender's copy has one"),
    (|text| Some(text.strip_prefix(b"whsec_")?.to_vec()), "had no `whsec_` in front"),
    (|text| Some([b"whsec_", text].concat()), "had `whsec_` in front"),
    (
        |text| STANDARD.decode(text.strip_prefix(b"whsec_").unwrap_or(text)).ok(),
        "were decoded from base64: the sender signs with the decoded bytes",
    ),
    (
        |text| const_hex::decode(text.strip_prefix(b"whsec_").unwrap_or(text)).ok(),
        "were decoded from hexadecimal: the sender signs with the decoded bytes",
    ),
];

type Variant<'b> = (Cow<'b, [u8]>, &'static str, &'static str);

fn bodies(body: &[u8]) -> Vec<Variant<'_>> {
    const BOM: &[u8] = b"\xef\xbb\xbf";
    let mut bodies: Vec<Variant<'_>> = Vec::new();
    let without = body.strip_suffix(b"\n").map(|body| body.strip_suffix(b"\r").unwrap_or(body));
    bodies.extend(without.map(|body| (body.into(), "with the body without its final newline", EXACT_BYTES)));
    for end in [&b"\n"[..], b"\r\n"] {
        bodies.push(([body, end].concat().into(), "with the body and a final newline", EXACT_BYTES));
    }
    let lf = replace(body, b"\r\n", b"\n");
    let crlf = replace(&lf, b"\n", b"\r\n");
    bodies.push((lf.into(), "with LF in the place of the body's CRLF", EXACT_BYTES));
    bodies.push((crlf.into(), "with CRLF in the place of the body's LF", EXACT_BYTES));
    bodies.extend(body.strip_prefix(BOM).map(|body| (body.into(), "without the body's byte order mark", EXACT_BYTES)));
    bodies.push((json::compact(body).collect::<Vec<_>>().concat().into(), "with the body's JSON compact", RE_ENCODED));
    for (layout, words) in Layout::ALL {
        bodies.extend(layout.of(body).map(|body| (body.into(), words, RE_ENCODED)));
    }
    bodies.push((Cow::Borrowed(&[]), "with an empty body: the sender signed before it had one", SENDER));
    bodies.retain(|(changed, _, _)| **changed != *body);
    bodies
}

fn replace(body: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len());
    let mut from = 0;
    for at in memchr::memmem::find_iter(body, old) {
        out.extend_from_slice(body.get(from..at).unwrap_or_default());
        out.extend_from_slice(new);
        from = at + old.len();
    }
    out.extend_from_slice(body.get(from..).unwrap_or_default());
    out
}

/// The headers with one line alone, with a signature of another name, with a signature in another writing.
fn headers(headers: &HeaderMap, scheme: &'static Scheme) -> Vec<(HeaderMap, String)> {
    let names = signature_headers(scheme);
    let lines: Vec<_> = names.iter().flat_map(|name| headers.get_all(*name).iter().map(move |v| (*name, v))).collect();
    let with = |name: &'static str, value: &HeaderValue| {
        let mut changed = headers.clone();
        names.iter().for_each(|name| drop(changed.remove(*name)));
        changed.insert(HeaderName::from_static(name), value.clone());
        changed
    };
    let mut variants = Vec::new();
    for (index, (name, value)) in lines.iter().enumerate() {
        if lines.len() > 1 {
            let words = format!("with its signature line {} ({name}) alone: the others do not verify", index + 1);
            variants.push((with(name, value), words));
        }
        for (value, words) in rewritten(value.as_bytes()) {
            variants.push((with(name, &value), format!("if {name} {words}")));
        }
    }
    let others = headers.iter().filter(|(name, _)| lines.is_empty() && name.as_str().contains("signature"));
    for (name, value) in others {
        variants.extend(names.iter().map(|own| (with(own, value), format!("if the header {name} were named {own}"))));
    }
    variants
}

fn rewritten(value: &[u8]) -> Vec<(HeaderValue, &'static str)> {
    let bare = value.strip_prefix(b"sha256=").or_else(|| value.strip_prefix(b"sha512=")).unwrap_or(value);
    let decoded = STANDARD.decode(bare.trim_ascii()).map(|bytes| hex_encode(&bytes).into_bytes()).ok();
    let unquoted = bare.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).map(<[u8]>::to_vec);
    [
        (decoded, "were hexadecimal: it is base64"),
        (unquoted, "had no quotes"),
        ((bare != value).then(|| bare.to_vec()), "had no prefix before the signature"),
    ]
    .into_iter()
    .filter_map(|(value, words)| Some((HeaderValue::from_bytes(&value?).ok()?, words)))
    .collect()
}

/// Other ways to sign, in the same headers.
fn schemes(own: &'static Scheme, hash: Hash) -> Vec<(Scheme, Hash, &'static str)> {
    let other = if hash == Hash::Sha256 { Hash::Sha512 } else { Hash::Sha256 };
    match own {
        Scheme::Timestamped { header, timestamp_header, may_compact, tolerance, .. } => {
            let timestamped = |separator, hash, words| {
                let (timestamp_header, may_compact, tolerance) = (*timestamp_header, *may_compact, *tolerance);
                (Scheme::Timestamped { header, timestamp_header, separator, may_compact, tolerance }, hash, words)
            };
            let body_only = Scheme::BodyOnly { headers: std::slice::from_ref(header), prefix: "sha512=" };
            vec![
                (body_only, hash, "if the body alone were signed, without the timestamp"),
                timestamped(".", hash, "if timestamp and body were joined by a dot"),
                timestamped("", hash, "if timestamp and body were joined by nothing"),
                timestamped(",", other, "under the other hash, SHA-256"),
            ]
        }
        Scheme::BodyOnly { headers, .. } => {
            let mut schemes = vec![(Scheme::BodyOnly { headers, prefix: "sha512=" }, other, "under SHA-512")];
            for (header, (separator, words)) in headers.iter().flat_map(|header| {
                [(".", "in the `t=` form, joined by a dot"), (",", "in the `t=` form, joined by a comma")]
                    .map(|way| (header, way))
            }) {
                let tolerance = std::time::Duration::MAX;
                let scheme =
                    Scheme::Timestamped { header, timestamp_header: None, separator, may_compact: false, tolerance };
                schemes.push((scheme, hash, words));
            }
            schemes
        }
    }
}
