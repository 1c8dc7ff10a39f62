//! The `sequence` of each event: `<replica>-<boot>-<counter>`. Within one replica and boot it rises in the order in which
//! requests were verified, so a subscriber can see a reordering. Gaps say nothing: repeats use numbers up too.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// Most bytes of a replica's name in a sequence.
const MAX_REPLICA_BYTES: usize = 63;

/// Gives out sequence numbers. Cheap to clone; clones count together.
#[derive(Debug, Clone)]
pub struct Stamp(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    prefix: String,
    counter: AtomicU64,
}

impl Stamp {
    /// `replica`: the host's name (on Kubernetes the pod's); `boot_ms`: Unix time of this start in milliseconds.
    pub fn new(replica: &str, boot_ms: i64) -> Self {
        let replica: String = replica
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || c == '_' || c == '.' { c } else { '_' })
            .take(MAX_REPLICA_BYTES)
            .collect();
        let replica = if replica.is_empty() { "hookbus" } else { &replica };
        Stamp(Arc::new(Inner { prefix: format!("{replica}-{boot_ms:x}"), counter: AtomicU64::new(0) }))
    }

    /// The next number, 20 digits, so that text order is number order.
    pub fn next(&self) -> impl fmt::Display + '_ {
        let count = self.0.counter.fetch_add(1, Ordering::Relaxed) + 1;
        Sequence(&self.0.prefix, count)
    }
}

struct Sequence<'a>(&'a str, u64);

impl fmt::Display for Sequence<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:020}", self.0, self.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_in_text_order() {
        let stamp = Stamp::new("pod-1\n", 0x1234);
        let (first, second) = (stamp.next().to_string(), stamp.clone().next().to_string());
        assert_eq!(first, "pod_1_-1234-00000000000000000001");
        assert!(first < second);
    }
}
