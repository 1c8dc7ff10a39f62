//! `hookbus explain`: why a captured request is accepted or refused, and what to do.
//!
//! It has no rule of its own: `verify` says whether the signature holds, and whether it would if the request were changed
//! a little; `event` and `envelope` say what becomes of it. It prints no secret and no signature, neither the one that
//! came nor the one that was expected.

mod capture;
mod layout;
mod options;
mod outcome;
mod report;
mod trials;

use std::{
    borrow::Cow,
    io::{self, BufWriter, Write},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::Method;
use jiff::Timestamp;

pub use self::options::Options;
use self::{
    capture::Capture,
    report::say,
    trials::{changes, signature_headers},
};
use crate::{
    commands::{failure::Failure, source_arg::source_named},
    config::{Config, SourceConfig},
    event::Event,
    request::{Body, Received},
    secrets::{NamedSecret, Secret},
    units::{show_duration, show_size},
    verify::{Attempt, Refusal, Verifier},
};

/// What the gateway answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Accepted,
    /// Another answer than 200 to an event, in words.
    Refused(&'static str),
}

/// Prints each finding, and the verdict.
///
/// # Errors
/// [`Failure::Refused`] when the gateway would not take it; words or files that cannot be read.
pub fn run(options: &Options, config: &Config) -> Result<(), Failure> {
    let capture = Capture::read(options)?;
    let mut out = BufWriter::new(io::stdout().lock());
    let verdict = explain(capture, options, config, &mut out)?;
    match verdict {
        Verdict::Accepted => writeln!(out, "accepted: 200")?,
        Verdict::Refused(answer) => writeln!(out, "refused: {answer}")?,
    }
    out.flush()?;
    if verdict == Verdict::Accepted { Ok(()) } else { Err(Failure::Refused) }
}

fn explain(capture: Capture, options: &Options, config: &Config, out: &mut impl Write) -> Result<Verdict, Failure> {
    for doubt in &capture.doubts {
        say(out, "capture", doubt)?;
    }
    let Some(source) = choose(&capture, options, config, out)? else {
        return Ok(Verdict::Refused("404, no source has this path"));
    };
    match capture.line.as_ref().map(|(method, _)| method) {
        None | Some(&Method::POST) => {}
        Some(&Method::GET | &Method::HEAD) => {
            say(out, "method", "a GET or HEAD is answered 200, and no event comes of it; do: send a POST")?;
            return Ok(Verdict::Refused("a ping and no event"));
        }
        Some(_) => {
            say(out, "method", "only POST brings events; do: check the sender, or a proxy that follows redirects")?;
            return Ok(Verdict::Refused("405, wrong method"));
        }
    }
    if capture.body.len() > source.max_body {
        let (is, limit) = (capture.body.len(), show_size(u64::try_from(source.max_body).unwrap_or(u64::MAX)));
        say(out, "body", format_args!("{is} bytes, more than max_body ({limit}); do: raise max_body"))?;
        return Ok(Verdict::Refused("413, too large"));
    }
    judge(capture, options, source, config, out)
}

/// The source of the path, or the one that is named. Without either, the only one, or the first that verifies.
fn choose<'c>(
    capture: &Capture,
    options: &Options,
    config: &'c Config,
    out: &mut impl Write,
) -> Result<Option<&'c SourceConfig>, Failure> {
    let sources = &config.sources;
    let (source, how) = if let Some(name) = &options.source {
        (Some(source_named(config, name)?), "as named")
    } else if let Some((_, uri)) = &capture.line {
        let found = sources.iter().find(|source| source.path == uri.path());
        if found.is_none() {
            say(out, "source", "none has this path; paths match to the byte")?;
            let same = |source: &&SourceConfig| {
                source.path.trim_end_matches('/').eq_ignore_ascii_case(uri.path().trim_end_matches('/'))
            };
            let near = sources.iter().find(same).map_or_else(
                || "give the vendor the path of a source (hookbus check lists them)".into(),
                |near| {
                    format!(
                        "give the vendor {}, the path of {}: only its case or a final slash differs",
                        near.path, near.name
                    )
                },
            );
            say(out, "", format_args!("do: {near}; --source asks one whatever the path"))?;
        }
        (found, "by its path")
    } else {
        let verifies = |source: &&SourceConfig| {
            read_secrets(source).is_ok_and(|secrets| attempt(source, &secrets, capture).secret().is_ok())
        };
        let has_header = |source: &&SourceConfig| {
            signature_headers(&source.vendor.profile().scheme).iter().any(|name| capture.headers.contains_key(*name))
        };
        let found = sources.iter().find(verifies).or_else(|| sources.iter().find(has_header)).or(sources.first());
        (found, "by its signature, as the capture has no request line; --source asks another")
    };
    if let Some(source) = source {
        say(out, "source", format_args!("{} ({}), {how}", source.name, source.vendor))?;
    }
    Ok(source)
}

fn read_secrets(source: &SourceConfig) -> Result<Vec<NamedSecret>, Failure> {
    let read = |file: &PathBuf| {
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        // The path may be a secret that stands where its file belongs.
        let secret = Secret::read(file).map_err(|fault| Failure::Usage(format!("a secret file {fault}")))?;
        Ok(NamedSecret { name, secret })
    };
    source.secret_files.iter().map(read).collect()
}

fn attempt<'a>(source: &SourceConfig, secrets: &'a [NamedSecret], capture: &'a Capture) -> Attempt<'a> {
    let profile = source.vendor.profile();
    let (headers, body) = (&capture.headers, &capture.body);
    Attempt { scheme: &profile.scheme, hash: profile.hash, secrets, headers, body }
}

/// Signature, skew, event.
fn judge(
    capture: Capture,
    options: &Options,
    source: &SourceConfig,
    config: &Config,
    out: &mut impl Write,
) -> Result<Verdict, Failure> {
    let names = signature_headers(&source.vendor.profile().scheme);
    let lines = names.iter().map(|name| format!("{name} {} line(s)", capture.headers.get_all(*name).iter().count()));
    say(out, "signature", lines.collect::<Vec<_>>().join(", "))?;
    let arrival = options.received.map_or_else(Timestamp::now, |time| time.0);
    let verifier = |tolerance| {
        Verifier::load(Arc::new(source.identity()), &source.secret_files, tolerance).map_err(Failure::failed)
    };
    let now = arrival.as_millisecond();
    let result = verifier(source.tolerance)?.check(&capture.headers, &capture.body, now);
    if let Err(refusal @ (Refusal::Missing | Refusal::Malformed | Refusal::Mismatch)) = result {
        search(refusal, &capture, source, config, out)?;
        return Ok(Verdict::Refused(match refusal {
            Refusal::Missing => "401, signature missing",
            Refusal::Malformed => "401, signature malformed",
            Refusal::Mismatch | Refusal::Stale => "401, signature mismatch",
        }));
    }
    // What is only stale is signed rightly, and may be read.
    let body = Body::unbudgeted(Bytes::from(capture.body));
    let received = Received { headers: Cow::Owned(capture.headers), body, arrival };
    let verified = verifier(None)?.verify(received).map_err(Failure::failed)?;
    let proof = verified.proof();
    let secret = source.secret_files.get(proof.secret).and_then(|file| file.file_name()).unwrap_or_default();
    say(out, "secret", format_args!("file {} matches", secret.to_string_lossy().escape_debug()))?;
    if proof.compacted {
        say(out, "body", "signed without its white space, as this vendor's gateway does")?;
    }
    if let Some(skew) = proof.skew_ms {
        let order = if skew < 0 { "after" } else { "before" };
        let by = show_duration(Duration::from_secs(skew.unsigned_abs() / 1000));
        let limit = source.tolerance.map_or_else(|| "off".into(), show_duration);
        say(out, "skew", format_args!("signed {by} {order} it arrived, tolerance {limit}"))?;
    }
    if result.is_err() && options.received.is_none() {
        say(out, "", "do: an old capture is stale by nature; say when it arrived by --received")?;
    } else if result.is_err() {
        say(out, "", "do: set the clock (NTP) of the gateway; if it is right, the request is a replay, or was queued")?;
    }
    outcome::print(Event::new(verified), config, out)?;
    Ok(if result.is_ok() { Verdict::Accepted } else { Verdict::Refused("401, signature stale") })
}

/// Says why no secret matches: with which change one would.
fn search(
    refusal: Refusal,
    capture: &Capture,
    source: &SourceConfig,
    config: &Config,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let profile = source.vendor.profile();
    let secrets = read_secrets(source)?;
    let names = secrets.iter().map(|secret| secret.name.escape_debug().to_string()).collect::<Vec<_>>().join(", ");
    let why = match refusal {
        Refusal::Missing => "no signature header of this vendor, or no timestamp beside it".into(),
        Refusal::Malformed => "a signature or a timestamp is not written as this vendor writes it".into(),
        Refusal::Mismatch | Refusal::Stale => format!("none matches of {}: {names}", secrets.len()),
    };
    say(out, "secret", why)?;
    let attempted = attempt(source, &secrets, capture);
    let mut found: Vec<(String, String)> =
        changes(&attempted, &profile.scheme).into_iter().map(|found| (found.change, found.advice.to_owned())).collect();
    for other in config.sources.iter().filter(|other| other.name != source.name) {
        let theirs = read_secrets(other)?;
        let exchanged = Attempt { secrets: &theirs, ..attempted }.secret().is_ok();
        if attempt(other, &theirs, capture).secret().is_ok() {
            let advice = format!("the vendor posts to the wrong path: give it {}", other.path);
            found.push((format!("as a request of source {}", other.name), advice));
        } else if exchanged {
            let advice = "the secret files of the two sources are exchanged: check secret_files";
            found.push((format!("under the secret of source {}", other.name), advice.into()));
        }
    }
    for (change, advice) in &found {
        say(out, "", format_args!("it would match {change}"))?;
        say(out, "", format_args!("do: {advice}"))?;
    }
    if found.is_empty() {
        say(out, "", "no small change makes it match: another secret, or another body, was signed")?;
        let advice = match refusal {
            Refusal::Missing => "check that the proxy passes the vendor's headers on, and that the vendor sent this",
            _ => "compare the secret at the vendor with the file, and capture the body's exact bytes",
        };
        say(out, "", format_args!("do: {advice}"))?;
    }
    Ok(())
}
