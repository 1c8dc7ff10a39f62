//! The signature lines of a request, in either scheme, read and not yet checked.

use http::HeaderMap;

use super::refusal::Refusal;
use crate::{text::hex_decode, vendors::profile::Scheme};

/// Most signature lines of one request; the documents know one. Each that verifies costs a hash of the whole body.
const MAX_SIGNATURE_LINES: usize = 4;

/// One signature line. `N`: bytes of a signature.
pub(super) struct Line<'h, const N: usize> {
    /// The signed timestamp and what stands between it and the body.
    pub(super) timestamp: Option<(&'h [u8], &'static str)>,
    /// One that matches is enough.
    pub(super) signatures: Signatures<N>,
    /// Whether the body may be signed without its insignificant white space.
    pub(super) may_compact: bool,
}

/// The signatures of a line; nearly every line has one.
pub(super) enum Signatures<const N: usize> {
    One([u8; N]),
    Several(Vec<[u8; N]>),
}

impl<const N: usize> Signatures<N> {
    pub(super) fn as_slice(&self) -> &[[u8; N]] {
        match self {
            Signatures::One(signature) => std::slice::from_ref(signature),
            Signatures::Several(signatures) => signatures,
        }
    }
}

/// The lines of a request, in the order of the scheme's headers.
pub(super) type Lines<'h, const N: usize> = [Option<Line<'h, N>>; MAX_SIGNATURE_LINES];

/// Reads all lines of a request.
pub(super) fn read<'h, const N: usize>(scheme: &Scheme, headers: &'h HeaderMap) -> Result<Lines<'h, N>, Refusal> {
    let names = match scheme {
        Scheme::Timestamped { header, .. } => std::slice::from_ref(header),
        Scheme::BodyOnly { headers, .. } => headers,
    };
    let mut lines = [const { None }; MAX_SIGNATURE_LINES];
    let mut places = lines.iter_mut();
    for line in names.iter().flat_map(|name| headers.get_all(*name)) {
        let line = parse(scheme, line.as_bytes().trim_ascii(), headers)?;
        *places.next().ok_or(Refusal::Malformed)? = Some(line);
    }
    Ok(lines)
}

fn parse<'h, const N: usize>(scheme: &Scheme, line: &'h [u8], headers: &'h HeaderMap) -> Result<Line<'h, N>, Refusal> {
    match *scheme {
        Scheme::BodyOnly { prefix, .. } => {
            let signature = line.strip_prefix(prefix.as_bytes()).unwrap_or(line);
            Ok(Line { timestamp: None, signatures: Signatures::One(decode(signature)?), may_compact: false })
        }
        Scheme::Timestamped { timestamp_header, separator, may_compact, .. } => match timestamp_header {
            // A hexadecimal signature has no `=`.
            Some(name) if !line.contains(&b'=') => {
                let signatures = Signatures::One(decode(line)?);
                Ok(Line { timestamp: Some((timestamp(headers, name)?, separator)), signatures, may_compact: false })
            }
            _ => {
                let (timestamp, signatures) = parse_versioned(line)?;
                let signatures = Signatures::Several(signatures);
                Ok(Line { timestamp: Some((timestamp, separator)), signatures, may_compact })
            }
        },
    }
}

fn decode<const N: usize>(text: &[u8]) -> Result<[u8; N], Refusal> {
    hex_decode(text).ok_or(Refusal::Malformed)
}

/// The timestamp of a signature that stands alone.
fn timestamp<'h>(headers: &'h HeaderMap, name: &str) -> Result<&'h [u8], Refusal> {
    let mut timestamps = headers.get_all(name).iter();
    let timestamp = timestamps.next().ok_or(Refusal::Missing)?.as_bytes().trim_ascii();
    if timestamps.next().is_some() { Err(Refusal::Malformed) } else { Ok(timestamp) }
}

/// `t=…,v1=…[,v1=…]`. Signatures of another length (another `vN`'s hash) are passed over.
fn parse_versioned<const N: usize>(line: &[u8]) -> Result<(&[u8], Vec<[u8; N]>), Refusal> {
    let mut timestamp = None;
    let mut signatures = Vec::with_capacity(2);
    for part in line.split(|&b| b == b',').map(<[u8]>::trim_ascii) {
        if let Some(value) = part.strip_prefix(b"t=") {
            if timestamp.replace(value).is_some() {
                return Err(Refusal::Malformed);
            }
        } else if let Some((b'v', rest)) = part.split_first() {
            let value = rest.splitn(2, |&b| b == b'=').nth(1);
            signatures.extend(value.and_then(hex_decode));
        }
    }
    match timestamp {
        Some(timestamp) if !signatures.is_empty() => Ok((timestamp, signatures)),
        _ => Err(Refusal::Malformed),
    }
}
