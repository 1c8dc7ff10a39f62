//! `hookbus provision`: makes on the broker what the gateway publishes to, which the gateway itself never does.

mod kafka;
mod nats;
mod options;

use std::{
    io::{self, Write as _},
    thread,
    time::{Duration, Instant},
};

pub use self::options::Options;
use crate::{
    bus::{
        kafka::OpenError,
        nats::{StartError, provision::AskError},
    },
    commands::failure::Failure,
    config::{BusKind, Config},
};

/// Between two attempts to reach a broker.
const TRY_EVERY: Duration = Duration::from_secs(2);

/// Makes, shows or checks.
///
/// # Errors
/// A broker that does not answer or refuses; with `--check`, anything missing.
#[expect(clippy::print_stderr, reason = "said while it waits, long before the end")]
pub fn run(options: &Options, config: &Config) -> Result<(), Failure> {
    let until = Instant::now() + options.wait;
    let mut said = String::new();
    loop {
        let failure = match once(options, config) {
            Err(failure) if is_away(&failure) => failure,
            done => return done,
        };
        if until <= Instant::now() {
            if !options.if_reachable {
                return Err(failure);
            }
            eprintln!("hookbus: NOTHING WAS MADE OR CHECKED, since no broker can be reached: {failure}");
            return Ok(());
        }
        let text = failure.to_string();
        if said != text {
            eprintln!("hookbus: no broker can be reached, trying again: {text}");
            said = text;
        }
        thread::sleep(TRY_EVERY);
    }
}

/// Whether no broker was reached, or none answered, which says nothing of what is there.
fn is_away(failure: &Failure) -> bool {
    let (Failure::At { source, .. } | Failure::Failed(source)) = failure else { return false };
    source.downcast_ref().is_some_and(StartError::is_away)
        || matches!(source.downcast_ref(), Some(AskError::Away(_)))
        || source.downcast_ref().is_some_and(OpenError::is_away)
}

fn once(options: &Options, config: &Config) -> Result<(), Failure> {
    match config.bus.kind {
        BusKind::Journal => {
            let directory = config.journal.directory.display();
            let text = format!("nothing to make: on the embedded bus `hookbus serve` makes {directory} itself");
            Ok(writeln!(io::stdout(), "{text}")?)
        }
        BusKind::Nats => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(nats::run(options, config))
        }
        BusKind::Kafka => kafka::run(options, config, &mut io::stdout().lock()),
    }
}
