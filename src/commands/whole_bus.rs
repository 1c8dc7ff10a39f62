//! Reads what lies on the bus when it begins, from the oldest record to the newest.
//!
//! In: the bus. Out: each record's event, to whoever asked; on a terminal, how far it is.

use std::io::{self, Write as _};

use indicatif::ProgressBar;

use super::failure::Failure;
use crate::{
    bus::{Extent, Next, Reader},
    config::Config,
    envelope::Message,
};

/// Records between two movements of the progress bar.
const STRIDE: u64 = 256;

/// Hands over each record; `None` is one without an event of ours. Gives how many records were read.
///
/// # Errors
/// The bus cannot be read to its end; what `take` gives.
pub(super) async fn read_whole_bus(
    config: &Config,
    mut take: impl FnMut(Option<Message>) -> Result<(), Failure>,
) -> Result<u64, Failure> {
    let all = ">".parse().map_err(Failure::failed)?;
    let mut reader = Reader::open(config, all, Extent::UntilNow).await.map_err(Failure::failed)?;
    // It draws on standard error, and only on a terminal.
    let progress = ProgressBar::new(reader.length());
    let mut read = 0_u64;
    loop {
        let next = reader.next().await.map_err(Failure::failed)?;
        let missed = reader.missed();
        if missed > 0 {
            writeln!(io::stderr(), "hookbus: {missed} events were dropped by retention before they were read")?;
        }
        match next {
            Next::Record(record) => {
                read += 1;
                if read.is_multiple_of(STRIDE) {
                    progress.inc(STRIDE);
                }
                take(record.message)?;
            }
            Next::Idle => {}
            Next::End => break,
        }
    }
    progress.finish_and_clear();
    Ok(read)
}
