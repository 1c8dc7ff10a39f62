//! The command line: words into calls, results into exit codes. 0 done, 1 failed, 2 `explain`: refused,
//! `endpoints plan`: something to do, `endpoints rotate`: not done yet, `reconcile --once`: something found, 64 used or
//! configured wrongly.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, CommandFactory as _, Parser, Subcommand};

use crate::{
    commands::{
        check, drain, endpoints, explain, failure::Failure, forward, provision, reconcile, replay, schema, serve, tail,
        timeline, trigger,
    },
    config::Config,
    schema::Scope,
};

/// sysexits.h `EX_USAGE`: the operator must change something before a restart can help.
const EX_USAGE: u8 = 64;

/// The answer to what was asked is no: `explain`, a request that the gateway would refuse; `endpoints plan`, something to do;
/// `endpoints rotate`, not done yet; `reconcile --once`, something found.
const NO: u8 = 2;

/// The configuration file, unless another is named.
const CONFIG: &str = "hookbus.toml";

const VERSION: &str =
    concat!(env!("CARGO_PKG_VERSION"), " (", env!("HOOKBUS_REVISION"), ", rustc ", env!("HOOKBUS_RUSTC"), ")");

/// Receives the signed webhooks of 1099Policy and Audit1 and publishes them as CloudEvents.
///
/// Every request is verified over the bytes received, put into one envelope, made durable, and only then answered 200.
#[derive(Debug, Parser)]
#[command(name = "hookbus", version = VERSION, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,

    #[command(flatten)]
    global: Global,
}

#[derive(Debug, Args)]
struct Global {
    /// Configuration file [default: hookbus.toml]; `HOOKBUS__SECTION__KEY` variables lie on top of it
    #[arg(long, global = true, value_name = "FILE", env = "HOOKBUS_CONFIG")]
    config: Option<PathBuf>,
}

impl Global {
    fn file(&self) -> &Path {
        self.config.as_deref().unwrap_or(Path::new(CONFIG))
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway until SIGTERM or SIGINT, then drain
    ///
    /// On the first signal it turns unready and goes on accepting for `listener.drain_delay`, then finishes what is in
    /// flight within `listener.drain_deadline`, writes out the bus and exits 0. A second signal skips the delay.
    Serve,

    /// Check the configuration file and its secret files, and say everything that is wrong at once
    ///
    /// Exits 0 when `serve` would start with it, 64 otherwise, with one line per problem. With `--connect` it asks the
    /// broker as well, changes nothing there, and exits 1 when the gateway could not publish to it.
    ///
    /// Examples:
    ///   hookbus check
    ///   hookbus check --connect
    #[command(verbatim_doc_comment)]
    Check(check::Options),

    /// Sign a realistic sample of a documented event as its vendor does, and post it to the gateway
    ///
    /// Each one is a new event: its id, time and entity are fresh. Without `--url` it goes to the listener of the
    /// configuration file, on the path and with the first secret of the vendor's first source.
    ///
    /// Examples:
    ///   hookbus trigger --list
    ///   hookbus trigger 1099policy certificate.flagged
    ///   hookbus trigger audit1 file.processed --form camel --count 100
    #[command(verbatim_doc_comment)]
    Trigger(trigger::Options),

    /// Print events from the bus as they come
    ///
    /// PATTERN is a subject with `*` for one token and `>` for all the rest, as in NATS.
    ///
    /// Examples:
    ///   hookbus tail 'webhooks.1099policy.>'
    ///   hookbus tail --json --from-start --count 10 | jq .data
    #[command(verbatim_doc_comment)]
    Tail(tail::Options),

    /// Post events from the bus to your own handler, signed anew as their vendor signs
    ///
    /// The handler gets the body's own bytes, and headers made with the local secret of `--secret-file`. Each attempt is a line:
    /// time, type, id, milliseconds, status. An event that the handler does not take is posted again with `--retry`.
    ///
    /// Examples:
    ///   hookbus forward "$HANDLER" --secret-file local-secret
    ///   hookbus forward "$HANDLER" --secret-file local-secret --type 'file.>' --since 2h --retry 5
    #[command(verbatim_doc_comment)]
    Forward(forward::Options),

    /// Print every event of one certificate, policy, assignment or file, over all types, in the order of time
    ///
    /// ENTITY is the CloudEvents `subject`. It reads what lies on the bus now, and ends. Each line has the vendor's time (the
    /// arrival for an event without one), type, id, form, arrival, how many more copies of it lie there, and its source;
    /// `--json` also the size and the SHA-256 of the body.
    ///
    /// Exits 0 also when there is no such event; 1 when the bus cannot be read to its end, or has more such events than
    /// `--most`: no trail has a hole that is not said.
    ///
    /// Examples:
    ///   hookbus timeline 8812
    ///   hookbus timeline 8812 --source acme --json > trail.jsonl
    #[command(verbatim_doc_comment)]
    Timeline(timeline::Options),

    /// Make what the configuration needs on the broker: the JetStream stream, or the Kafka topics
    ///
    /// A stream is brought to the configured settings, a topic that exists is left as it is; nothing is deleted.
    ///
    /// Examples:
    ///   hookbus provision --print
    ///   hookbus provision --check
    #[command(verbatim_doc_comment)]
    Provision(provision::Options),

    /// Send on what lies in a spool, without a gateway, and end when nothing is left
    ///
    /// For a volume whose gateway is gone, after a rename or with fewer replicas: with that gateway's configuration, and its
    /// `journal.directory`. It needs the gateway's login, waits for a broker that is away, and starts while no gateway has the
    /// directory open.
    ///
    /// Exits 0 when the directory holds no event any more and may be deleted; 1 when events or dead letters are left, or
    /// something failed; 64 when called or configured wrongly.
    ///
    /// Example: `HOOKBUS__JOURNAL__DIRECTORY=/mnt/old/journal hookbus drain`
    Drain,

    /// Send again what lies in the dead letters, in quarantine or on the embedded bus
    ///
    /// It lists what it would send, one line each, and sends only with `--send`. An event keeps its id;
    /// its subject or topic is the one that it would get today. What the bus has acknowledged is
    /// remembered: a second run sends the rest. The order of each entity's events is kept. The gateway
    /// may run meanwhile, or not.
    ///
    /// dead-letters: once the cause is mended (a larger limit, a topic that was made, a right that was
    /// given). A running gateway's `hookbus_dead_letters` follows within seconds.
    ///
    /// quarantine: once a newer hookbus reads what an older one could not. They stay on the bus as well.
    /// On Kafka, what came while its quarantine topic was missing lies in the catch-all instead.
    ///
    /// journal: moves a team from the embedded bus to NATS or Kafka. Stop the gateway, change bus.kind,
    /// provision, replay, then start it again, so that old events come before new ones.
    ///
    /// Exits 0 when everything that was meant is on the bus (or listed), 1 when something is not, 64 when called wrongly.
    ///
    /// Examples:
    ///   hookbus replay dead-letters
    ///   hookbus replay dead-letters --type 'com.audit1.>' --since 2h --send
    ///   hookbus replay quarantine --show --json | jq .event
    ///   hookbus replay journal --send
    #[command(verbatim_doc_comment)]
    Replay(replay::Options),

    /// Say why a captured request is accepted or refused, what its event would become, and what to do
    ///
    /// It asks what `serve` asks, over the configured sources and secrets, and sends nothing. Where no secret matches, it
    /// tries what often goes wrong: a changed body, a secret with white space, another source, another form. It prints no
    /// secret and no signature.
    ///
    /// Exits 0 when the gateway would accept it as an event, 2 when it would not, 64 when called or configured wrongly, 1 when
    /// something else failed.
    ///
    /// Examples:
    ///   hookbus explain request.http --received 2026-11-27T08:00:00Z
    ///   hookbus explain --headers head.txt --body body.json --source acme
    ///   curl -v --data-binary @body.json … 2>&1 >/dev/null | hookbus explain --body body.json
    #[command(verbatim_doc_comment)]
    Explain(explain::Options),

    /// Make and manage the endpoints at the vendors, through their own APIs
    ///
    /// For sources with a `[sources.api]` table. `plan` says what `apply` would do, and exits 0 when that is nothing, 2 otherwise.
    /// `apply` makes the endpoint, or changes its URL and events; it deletes nothing but what an earlier, interrupted apply has
    /// made. The signing secret that the vendor returns goes at once to the first of `secret_files`, readable by its owner
    /// only, or to a Secret manifest on standard output; it is never shown.
    ///
    /// Examples:
    ///   hookbus endpoints plan
    ///   hookbus endpoints apply --source acme
    ///   hookbus endpoints apply --yes --secret-to kubernetes | kubectl apply -f -
    ///   hookbus endpoints deliveries --source payroll --failed --since 1d
    #[command(verbatim_doc_comment)]
    Endpoints(endpoints::Options),

    /// Ask the vendors' own APIs for what never came: a process of its own beside the gateways
    ///
    /// It compares what the vendors know with what lies on the bus, and needs a [reconcile] table. Without `--once` it looks
    /// again and again, and tells what it finds by its own /metrics and on the bus, until SIGTERM or SIGINT.
    ///
    /// `--once` exits 0 when nothing was found, 2 when something was, 1 when a vendor or the bus could not be read to the end or
    /// the bus did not take a finding, 64 when called or configured wrongly. It makes no follow-up call and shows no metrics. The
    /// long form ends with 0 after a signal.
    ///
    /// Examples:
    ///   hookbus reconcile
    ///   hookbus reconcile --once --json | jq .kind
    #[command(verbatim_doc_comment)]
    Reconcile(reconcile::Options),

    /// Print what subscribers may rely on: an AsyncAPI document of the bus, JSON Schemas of envelope and payloads
    ///
    /// Topics or subjects, bus and content mode are those of the configuration file; without one, the defaults.
    ///
    /// Examples:
    ///   hookbus schema > asyncapi.json
    ///   hookbus schema audit1/file.processed
    ///   hookbus schema --directory schemas
    ///   hookbus schema --observed
    #[command(verbatim_doc_comment)]
    Schema(schema::Options),

    /// Print a completion script for your shell
    ///
    /// Example: `hookbus completions bash > /etc/bash_completion.d/hookbus`
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// What is not Unicode is nothing that hookbus reads.
fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// Runs the command of this process' arguments.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come this way too, and are no failure.
            let _gone = error.print();
            return ExitCode::from(if error.use_stderr() { EX_USAGE } else { 0 });
        }
    };
    finish(run(&cli))
}

fn run(cli: &Cli) -> Result<(), Failure> {
    let file = cli.global.file();
    let load = || Config::load(file, environment());
    match &cli.command {
        Command::Serve => serve::run(&load()?),
        Command::Check(options) => check::run(options, file, &load()?),
        Command::Trigger(options) if options.list => trigger::list(options),
        Command::Trigger(options) => trigger::run(options, &load()?.config),
        Command::Provision(options) => provision::run(options, &load()?.config),
        Command::Drain => drain::run(&load()?.config),
        Command::Tail(options) => tail::run(options, &load()?.config),
        Command::Forward(options) => forward::run(options, &load()?.config),
        Command::Timeline(options) => timeline::run(options, &load()?.config),
        Command::Replay(options) => replay::run(options, &load()?.config),
        Command::Endpoints(options) => {
            // It makes secret files, so that they may be missing.
            endpoints::run(options, &Config::load_before_secrets(file, environment())?.config)
        }
        // It verifies nothing, and its machine need not have the secrets.
        Command::Reconcile(options) => reconcile::run(options, &Config::load_before_secrets(file, environment())?),
        Command::Explain(options) => explain::run(options, &load()?.config),
        Command::Schema(options) if options.observed => schema::observe(options, &load()?.config),
        Command::Schema(options) => {
            // A subscriber has no configuration file, and needs none.
            let nothing_there = cli.global.config.is_none() && !file.exists();
            let is_default = options.defaults || nothing_there;
            schema::run(options, &if is_default { Scope::defaults() } else { Scope::of(&load()?.config) })
        }
        Command::Completions { shell } => {
            clap_complete::generate(*shell, &mut Cli::command(), "hookbus", &mut std::io::stdout());
            Ok(())
        }
    }
}

fn finish(result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) | Err(Failure::OutputClosed) => ExitCode::SUCCESS,
        Err(Failure::Configuration(problems)) => {
            say(&problems);
            ExitCode::from(EX_USAGE)
        }
        Err(Failure::Refused | Failure::Pending) => ExitCode::from(NO),
        Err(failure) => {
            // It may have a broker's own words in it.
            let lines: Vec<_> =
                failure.to_string().split('\n').map(|line| crate::text::terminal(line.as_bytes())).collect();
            say(&format_args!("hookbus: {}", lines.join("\n")));
            ExitCode::from(if matches!(failure, Failure::Usage(_)) { EX_USAGE } else { 1 })
        }
    }
}

#[expect(clippy::print_stderr, reason = "the command's one place to speak to its caller")]
fn say(text: &dyn std::fmt::Display) {
    eprintln!("{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
