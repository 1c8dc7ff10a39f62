//! File descriptors: one per connection, and some for the journal, secrets and admin listener, which must never be the
//! ones that are missing.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors beside the connections.
const OTHERS: u64 = 128;

/// Raises the soft limit to the hard one, and warns when even that does not carry `max_connections`.
pub(super) fn raise(max_connections: usize) {
    let limit = getrlimit(Resource::Nofile);
    if setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).is_err() {
        tracing::warn!("cannot raise the limit of open files");
    }
    let wanted = u64::try_from(max_connections).unwrap_or(u64::MAX).saturating_add(OTHERS);
    if let Some(allowed) = getrlimit(Resource::Nofile).current.filter(|allowed| *allowed < wanted) {
        tracing::warn!(
            allowed,
            wanted,
            "too few open files for listener.max_connections: raise the limit (LimitNOFILE, ulimit -n) or lower the key"
        );
    }
}
