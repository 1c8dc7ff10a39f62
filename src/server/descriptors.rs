//! File descriptors: one per connection, and some for the journal, the bus, secrets and the admin listener, which must never
//! be the ones that are missing.

use std::fs;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::listener::Limits;

/// Kept free of connections: for the admin listener, new segments, brokers that come back, refusals on their way.
const RESERVE: usize = 128;
/// What a worker will open: its event loop, its socket, its connection to a bus.
const PER_WORKER: usize = 8;

/// Raises the soft limit to the hard one.
pub(super) fn raise() {
    let limit = getrlimit(Resource::Nofile);
    if setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).is_err() {
        tracing::warn!("cannot raise the limit of open files");
    }
}

/// How many connections the limit carries beside all that is open now: `wanted`, or fewer with a warning.
pub(super) fn connections(wanted: usize, workers: usize) -> Limits {
    let Some(allowed) = getrlimit(Resource::Nofile).current else {
        return Limits { connections: wanted, descriptors: usize::MAX, refusals: RESERVE / 2 };
    };
    let allowed = usize::try_from(allowed).unwrap_or(usize::MAX);
    let limits = share_out(allowed, open_now() + workers * PER_WORKER, wanted);
    if limits.connections < wanted {
        tracing::warn!(
            allowed,
            max_connections = limits.connections,
            wanted,
            "too few open files for listener.max_connections, which is lowered: raise the limit (LimitNOFILE, ulimit -n)"
        );
    }
    limits
}

/// A process with very few descriptors keeps half of what is free in reserve.
fn share_out(allowed: usize, others: usize, wanted: usize) -> Limits {
    let free = allowed.saturating_sub(others);
    let reserve = RESERVE.min(free / 2);
    let connections = wanted.min(free - reserve).max(1);
    Limits { connections, descriptors: allowed - reserve, refusals: reserve / 2 }
}

fn open_now() -> usize {
    fs::read_dir("/proc/self/fd").map_or(RESERVE, Iterator::count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_get_what_the_others_leave() {
        for (allowed, others, wanted, connections, descriptors) in [
            (20_000, 50, 10_000, 10_000, 19_872),
            (1024, 50, 10_000, 846, 896),
            (64, 40, 10_000, 12, 52),
            (64, 64, 10_000, 1, 64),
            (usize::MAX, 50, 10_000, 10_000, usize::MAX - 128),
        ] {
            let limits = share_out(allowed, others, wanted);
            assert_eq!((limits.connections, limits.descriptors), (connections, descriptors), "{allowed} {others}");
        }
    }
}
