//! The `sequence` of each event: `<replica>-<boot>-<counter>`. Within one replica and boot it rises in the order in which
//! requests were verified, so a subscriber can see a reordering. Gaps say nothing: repeats use numbers up too.
//!
//! The boot is the time of the start, then 64 random bits: two starts in one millisecond, or under a clock that stands still,
//! do not repeat a sequence. (Of 1,000 starts in one millisecond two have equal bits once in 37 million million.) A later start
//! sorts later wherever the clock goes forward, and needs no disk to know an earlier one.

use std::{
    collections::hash_map::RandomState,
    fmt,
    hash::BuildHasher as _,
    sync::atomic::{AtomicU64, Ordering},
};

use crate::text;

/// Most bytes of a replica's name in a sequence.
const MAX_REPLICA_BYTES: usize = 63;

/// Most digits of a boot.
const MAX_BOOT_DIGITS: usize = 32;
/// Digits of the counter: those of the largest.
const COUNTER_DIGITS: usize = 20;

/// Gives out sequence numbers.
#[derive(Debug)]
pub struct Stamp {
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
        // A new hasher's keys come from the operating system. fastrand would begin with the clock.
        let random = RandomState::new().hash_one(boot_ms);
        // Eleven digits until the year 2527.
        Stamp { prefix: format!("{replica}-{:011x}{random:016x}", boot_ms.max(0)), counter: AtomicU64::new(0) }
    }

    /// The next number, 20 digits, so that text order is number order.
    pub fn next(&self) -> impl fmt::Display + '_ {
        let count = self.counter.fetch_add(1, Ordering::Relaxed) + 1;
        Sequence(&self.prefix, count)
    }
}

/// Whether a text has the shape of a sequence, of this version or an older one.
pub(crate) fn is_sequence(text: &str) -> bool {
    let mut parts = text.split('-');
    let (Some(replica), Some(boot), Some(count), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    (1..=MAX_REPLICA_BYTES).contains(&replica.len())
        && replica.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.'))
        && (1..=MAX_BOOT_DIGITS).contains(&boot.len())
        && boot.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        && count.len() == COUNTER_DIGITS
        && count.bytes().all(|byte| byte.is_ascii_digit())
}

struct Sequence<'a>(&'a str, u64);

impl fmt::Display for Sequence<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut count = [b'-'; 1 + COUNTER_DIGITS];
        text::digits(self.1, &mut count[1..]);
        f.write_str(self.0)?;
        f.write_str(std::str::from_utf8(&count).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn counts_in_text_order() {
        let stamp = Stamp::new("pod-1\n", 0x1234);
        let (first, second) = (stamp.next().to_string(), stamp.next().to_string());
        assert!(first.starts_with("pod_1_-00000001234") && first.ends_with("-00000000000000000001"), "{first}");
        assert!(first < second);
    }

    #[test]
    fn two_boots_of_one_millisecond_repeat_no_sequence() {
        let firsts: HashSet<String> = (0..1000).map(|_| Stamp::new("pod", 0x1234).next().to_string()).collect();
        assert_eq!(firsts.len(), 1000);
        for (earlier, later) in [(-1, 1), (0x1234, 0x1235), (0x0fff_ffff_fffe, 0x0fff_ffff_ffff)] {
            let of = |boot_ms| Stamp::new("pod", boot_ms).next().to_string();
            assert!(of(earlier) < of(later) && of(earlier).len() == of(later).len(), "{earlier} {later}");
        }
        // An older version's boot, before one that is later.
        assert!(
            "pod-19ac0000000-00000000000000000009" < Stamp::new("pod", 0x19a_c000_0001).next().to_string().as_str()
        );
    }

    #[test]
    fn a_sequence_is_known_by_its_shape() {
        let good = Stamp::new("pod.1", 7).next().to_string();
        for good in [good.as_str(), "old-1-00000000000000000001"] {
            assert!(is_sequence(good), "{good}");
        }
        let long = format!("{}-1-00000000000000000001", "x".repeat(64));
        for bad in [
            "",
            "pod",
            "pod-1",
            "pod-1-1",
            "-1-00000000000000000001",
            "pod--00000000000000000001",
            &long,
            "po d-1-00000000000000000001",
            "pod-G-00000000000000000001",
            "pod-1-0000000000000000000x",
            "pod-1-00000000000000000001-",
        ] {
            assert!(!is_sequence(bad), "{bad}");
        }
    }
}
