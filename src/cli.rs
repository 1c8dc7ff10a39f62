//! The command line: words into calls, results into exit codes. 0 done, 1 failed, 64 used or configured wrongly.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, CommandFactory as _, Parser, Subcommand};

use crate::{
    commands::{check, provision, replay, schema, serve, tail, trigger},
    config::{Config, Loaded, Problems},
    schema::Scope,
};

/// sysexits.h `EX_USAGE`: the operator must change something before a restart can help.
const EX_USAGE: u8 = 64;

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

    /// Make what the configuration needs on the broker: the JetStream stream, or the Kafka topics
    ///
    /// A stream is brought to the configured settings, a topic that exists is left as it is; nothing is deleted.
    ///
    /// Examples:
    ///   hookbus provision --print
    ///   hookbus provision --check
    #[command(verbatim_doc_comment)]
    Provision(provision::Options),

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

    /// Print what subscribers may rely on: an AsyncAPI document of the bus, JSON Schemas of envelope and payloads
    ///
    /// Topics or subjects, bus and content mode are those of the configuration file; without one, the defaults.
    ///
    /// Examples:
    ///   hookbus schema > asyncapi.json
    ///   hookbus schema audit1/file.processed
    ///   hookbus schema --directory schemas
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
    if let Command::Completions { shell } = cli.command {
        clap_complete::generate(shell, &mut Cli::command(), "hookbus", &mut std::io::stdout());
        return ExitCode::SUCCESS;
    }
    if let Command::Trigger(options) = &cli.command
        && options.list
    {
        return finish(trigger::list(options));
    }
    if let Command::Schema(options) = &cli.command {
        return match scope(options, &cli.global) {
            Ok(scope) => finish(schema::run(options, &scope)),
            Err(problems) => {
                say(&problems);
                ExitCode::from(EX_USAGE)
            }
        };
    }
    let loaded = match Config::load(cli.global.file(), environment()) {
        Ok(loaded) => loaded,
        Err(problems) => {
            say(&problems);
            return ExitCode::from(EX_USAGE);
        }
    };
    finish(run(&cli, &loaded))
}

/// What `schema` speaks of. A subscriber has no configuration file, and none is asked of him.
fn scope(options: &schema::Options, global: &Global) -> Result<Scope, Problems> {
    let nothing_there = global.config.is_none() && !global.file().exists();
    if options.defaults || nothing_there {
        return Ok(Scope::defaults());
    }
    Config::load(global.file(), environment()).map(|loaded| Scope::of(&loaded.config))
}

fn run(cli: &Cli, loaded: &Loaded) -> Result<(), Failure> {
    match &cli.command {
        Command::Serve => serve::run(loaded),
        Command::Check(options) => check::run(options, cli.global.file(), loaded),
        Command::Trigger(options) => trigger::run(options, &loaded.config),
        Command::Provision(options) => provision::run(options, &loaded.config),
        Command::Tail(options) => tail::run(options, &loaded.config),
        Command::Replay(options) => replay::run(options, &loaded.config),
        // Neither needs a configuration: they have ended before.
        Command::Schema(_) | Command::Completions { .. } => Ok(()),
    }
}

/// Why a command failed, in words for the person who called it.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The call's words are off.
    #[error("{0}")]
    Usage(String),
    /// It was right and did not work.
    #[error("{0}")]
    Failed(String),
    /// The reader of standard output has gone, as `head` does: not a failure.
    #[error("output closed")]
    OutputClosed,
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            Failure::OutputClosed
        } else {
            Failure::Failed(error.to_string())
        }
    }
}

fn finish(result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) | Err(Failure::OutputClosed) => ExitCode::SUCCESS,
        Err(failure) => {
            // It may have a broker's own words in it.
            let lines: Vec<_> = failure.to_string().split('\n').map(|line| tail::harmless(line.as_bytes())).collect();
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
