//! `hookbus trigger`: signs and posts a documented event as its vendor would.

use std::{
    fs,
    io::{self, Write as _},
    net::SocketAddr,
    path::PathBuf,
    time::Duration,
};

use clap::Args;
use indicatif::ProgressBar;
use jiff::Timestamp;

use crate::{
    cli::Failure,
    config::{Config, Source},
    secrets::Secret,
    vendor::{
        Form, Vendor,
        catalogue::{self, Entry},
        sample,
    },
    verify::sign,
};

/// A gateway answers within 8 s; the vendors wait at least 10 s.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The words after `trigger`.
#[derive(Debug, Args)]
pub struct Options {
    /// `1099policy` or `audit1`
    #[arg(required_unless_present = "list")]
    vendor: Option<Vendor>,

    /// A documented event type, such as `policy.active`
    #[arg(required_unless_present_any = ["list", "body_file"])]
    event: Option<String>,

    /// The payload's form, where an event is documented in several: nested, flat, `event_api`, snake, camel, payments
    #[arg(long)]
    form: Option<Form>,

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
        for entry in catalogue::entries(vendor) {
            let (vendor, form) = (vendor.as_str(), entry.form.as_str());
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
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(TIMEOUT))
        .http_status_as_error(false)
        // A sender follows no redirect with its body, and a proxy variable must not carry secrets elsewhere.
        .max_redirects(0)
        .proxy(None)
        .build()
        .into();
    let progress = if options.count > 1 { ProgressBar::new(options.count) } else { ProgressBar::hidden() };
    let mut random = fastrand::Rng::new();
    for _ in 0..options.count {
        let now = Timestamp::now();
        let body = match (entry, &fixed) {
            (Some(entry), _) => sample::fresh(entry, now.as_millisecond(), &mut random),
            (None, Some(fixed)) => fixed.clone(),
            (None, None) => Vec::new(),
        };
        post(&agent, &url, vendor, &secret, now, &body)?;
        progress.inc(1);
    }
    progress.finish_and_clear();
    writeln!(io::stdout().lock(), "{}: 200 from {url}, {} event(s)", source.name, options.count)?;
    Ok(())
}

fn post(
    agent: &ureq::Agent,
    url: &str,
    vendor: Vendor,
    secret: &Secret,
    now: Timestamp,
    body: &[u8],
) -> Result<(), Failure> {
    let mut request =
        agent.post(url).header("content-type", "application/json").header("user-agent", "hookbus-trigger");
    for (name, value) in sign::headers(vendor, secret, now.as_second(), body) {
        request = request.header(name, value);
    }
    let mut response = request.send(body).map_err(|error| Failure::Failed(format!("{url}: {error}")))?;
    let answer = response.body_mut().read_to_string().unwrap_or_default();
    match response.status().as_u16() {
        200 => Ok(()),
        status => Err(Failure::Failed(format!(
            "{url} answered {status} {}",
            answer.chars().take(200).collect::<String>().escape_debug()
        ))),
    }
}

fn find_source<'c>(options: &Options, vendor: Vendor, config: &'c Config) -> Result<&'c Source, Failure> {
    let wanted =
        |source: &&Source| source.vendor == vendor && options.source.as_ref().is_none_or(|name| *name == source.name);
    config.sources.iter().find(wanted).ok_or_else(|| {
        let named = options.source.as_ref().map(|name| format!(" named {name}")).unwrap_or_default();
        Failure::Usage(format!("the configuration has no {} source{named}", vendor.as_str()))
    })
}

fn first_secret(source: &Source) -> Result<Secret, Failure> {
    let file = source.secret_files.first().ok_or_else(|| Failure::Usage("the source has no secret file".into()))?;
    Secret::read(file).map_err(|error| Failure::Usage(format!("secret file {}: {error}", file.display())))
}

fn find_entry(options: &Options, vendor: Vendor) -> Result<&'static Entry, Failure> {
    let event = options.event.as_deref().unwrap_or_default();
    catalogue::entries(vendor)
        .find(|entry| entry.event == event && options.form.is_none_or(|form| form == entry.form))
        .ok_or_else(|| {
            let form = options.form.map(|form| format!(" in form {}", form.as_str())).unwrap_or_default();
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
