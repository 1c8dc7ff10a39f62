//! `hookbus trigger`: signs and posts a documented event as its vendor would.

pub(crate) mod fresh;

use std::{
    fs,
    io::{self, Write as _},
    net::SocketAddr,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use clap::Args;
use indicatif::ProgressBar;
use jiff::Timestamp;

use crate::{
    commands::{
        failure::Failure,
        post::{Answer, Poster, is_unreached},
    },
    config::{Config, SourceConfig},
    secrets::Secret,
    units,
    vendors::{Entry, Vendor},
};

/// Between two attempts to reach the gateway.
const TRY_EVERY: Duration = Duration::from_millis(500);

/// The words after `trigger`.
#[derive(Debug, Args)]
pub struct Options {
    /// The vendor to play
    #[arg(help = format!("The vendor to play: {}", Vendor::names()), required_unless_present = "list")]
    vendor: Option<Vendor>,

    /// A documented event type, such as `policy.active`
    #[arg(required_unless_present_any = ["list", "body_file"])]
    event: Option<String>,

    /// The payload's form, where an event is documented in several: see `--list`
    #[arg(long)]
    form: Option<String>,

    /// The source to play, when the vendor has several
    #[arg(long, value_name = "NAME")]
    source: Option<String>,

    /// Post this many events
    #[arg(long, value_name = "N", default_value_t = 1)]
    count: u64,

    /// Post here instead of the configured listener
    #[arg(long)]
    url: Option<String>,

    /// Post this file's bytes, signed, instead of a sample
    #[arg(long, value_name = "FILE")]
    body_file: Option<PathBuf>,

    /// Try so long to reach the gateway, such as 30s: its name, or the way to it, may not be there at once
    #[arg(long, value_name = "DURATION", value_parser = units::duration, default_value = "0s")]
    wait: Duration,

    /// List the documented events with their forms, and end
    #[arg(long)]
    pub list: bool,
}

/// Prints the catalogue.
///
/// # Errors
/// When standard output is gone.
pub fn list(options: &Options) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    for vendor in Vendor::ALL.into_iter().filter(|vendor| options.vendor.is_none_or(|wanted| wanted == *vendor)) {
        for entry in vendor.profile().catalogue.iter() {
            let (vendor, form) = (vendor.as_str(), entry.form.name);
            writeln!(out, "{vendor:<11} {form:<10} {:<36} {}", entry.event, entry.description)?;
        }
    }
    Ok(())
}

/// Posts the events, one after the other.
///
/// # Errors
/// Words that name no documented event or source; a gateway that cannot be reached or does not answer 200.
pub fn run(options: &Options, config: &Config) -> Result<(), Failure> {
    let vendor = options.vendor.ok_or_else(|| Failure::Usage("name a vendor".into()))?;
    let source = find_source(options, vendor, config)?;
    let secret = first_secret(source)?;
    let url = options.url.clone().unwrap_or_else(|| url(config.listener.address, &source.path));
    let fixed = options.body_file.as_ref().map(fs::read).transpose()?;
    let entry = match fixed {
        Some(_) => None,
        None => Some(find_entry(options, vendor)?),
    };
    let poster = Poster::new();
    let progress = if options.count > 1 { ProgressBar::new(options.count) } else { ProgressBar::hidden() };
    let until = Instant::now() + options.wait;
    let mut random = fastrand::Rng::new();
    for _ in 0..options.count {
        let now = Timestamp::now();
        let body = match (entry, &fixed) {
            (Some(entry), _) => fresh::fresh(vendor, entry, now.as_millisecond(), &mut random),
            (None, Some(fixed)) => fixed.clone(),
            (None, None) => Vec::new(),
        };
        while let Err(failure) = post(&poster, &url, vendor, &secret, &body) {
            if !is_unreached(&failure) || until <= Instant::now() {
                return Err(failure);
            }
            thread::sleep(TRY_EVERY);
        }
        progress.inc(1);
    }
    progress.finish_and_clear();
    writeln!(io::stdout().lock(), "{}: 200 from {url}, {} event(s)", source.name, options.count)?;
    Ok(())
}

fn post(poster: &Poster, url: &str, vendor: Vendor, secret: &Secret, body: &[u8]) -> Result<(), Failure> {
    match poster.post(url, vendor, secret, body)? {
        Answer { status: 200, .. } => Ok(()),
        Answer { status, text } => Err(Failure::failed(format!("{url} answered {status} {text}"))),
    }
}

fn find_source<'c>(options: &Options, vendor: Vendor, config: &'c Config) -> Result<&'c SourceConfig, Failure> {
    let wanted = |source: &&SourceConfig| {
        source.vendor == vendor && options.source.as_ref().is_none_or(|name| *name == source.name)
    };
    config.sources.iter().find(wanted).ok_or_else(|| {
        let named = options.source.as_ref().map(|name| format!(" named {name}")).unwrap_or_default();
        Failure::Usage(format!("the configuration has no {} source{named}", vendor.as_str()))
    })
}

fn first_secret(source: &SourceConfig) -> Result<Secret, Failure> {
    let file = source.secret_files.first().ok_or_else(|| Failure::Usage("the source has no secret file".into()))?;
    Secret::read(file).map_err(|error| Failure::Usage(format!("secret file {}: {error}", file.display())))
}

fn find_entry(options: &Options, vendor: Vendor) -> Result<&'static Entry, Failure> {
    let event = options.event.as_deref().unwrap_or_default();
    vendor
        .profile()
        .catalogue
        .iter()
        .find(|entry| entry.event == event && options.form.as_ref().is_none_or(|form| form == entry.form.name))
        .ok_or_else(|| {
            let form = options.form.as_ref().map(|form| format!(" in form {form}")).unwrap_or_default();
            Failure::Usage(format!("{} documents no `{event}`{form}: see hookbus trigger --list", vendor.as_str()))
        })
}

/// A listener on all addresses is reached on the loopback one.
fn url(mut address: SocketAddr, path: &str) -> String {
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() { [127, 0, 0, 1].into() } else { std::net::Ipv6Addr::LOCALHOST.into() });
    }
    format!("http://{address}{path}")
}
