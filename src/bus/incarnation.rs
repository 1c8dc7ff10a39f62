//! Which incarnation of the bus has an event. A stream or topic that was deleted and made anew, restored from a backup or
//! rolled back has lost what it acknowledged, whatever it is called: what is remembered of the old one is not true of it.
//!
//! In: what an acknowledgement or a look at the broker says: where the storage comes from, and how far it has come. Out: the
//! number of the incarnation that is published to now, and its mark for a file. It knows no broker.

use std::sync::atomic::{AtomicU64, Ordering};

use xxhash_rust::xxh3::xxh3_64;

/// The mark of an incarnation: what it held at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Incarnation {
    /// A hash of what makes the storage this one: a stream and its time of creation, a cluster.
    origin: u64,
    /// How far it had come: the last sequence; on Kafka the ends of all partitions, added up.
    position: u64,
}

impl Incarnation {
    /// Length of [`Incarnation::to_bytes`].
    pub const BYTES: usize = 16;

    pub(super) fn new(origin: Origin, position: u64) -> Self {
        Incarnation { origin: origin.0, position }
    }

    /// For a file.
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        (u128::from(self.origin) << 64 | u128::from(self.position)).to_le_bytes()
    }

    /// From a file.
    pub fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        let both = u128::from_le_bytes(bytes);
        let low = |bits: u128| u64::try_from(bits & u128::from(u64::MAX)).unwrap_or_default();
        Incarnation { origin: low(both >> 64), position: low(both) }
    }

    /// Whether what was acknowledged before `older` was taken is still there, or was since dropped by retention: the same
    /// storage, which has not gone back. On Kafka, a topic that was made anew stays unseen here when the others have
    /// grown by more meanwhile; a running gateway looks at each partition.
    pub fn continues(&self, older: &Incarnation) -> bool {
        self.origin == older.origin && older.position <= self.position
    }
}

/// Where a bus's storage comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Origin(u64);

impl Origin {
    /// This disk: the embedded bus has no other.
    pub(super) const HERE: Origin = Origin(1);

    pub(super) fn of(what: &[u8]) -> Self {
        // 0 stands for an origin that is not known.
        Origin(xxh3_64(what).max(1))
    }
}

/// What this process has seen of the bus's incarnations. Only atomics: it stands on the way of each event.
#[derive(Debug, Default)]
pub(super) struct Incarnations {
    number: AtomicU64,
    /// 0: not known.
    origin: AtomicU64,
    position: AtomicU64,
}

/// Where an event was handed over.
#[derive(Debug, Clone, Copy)]
pub(super) struct Before {
    number: u64,
    position: u64,
}

impl Incarnations {
    /// The number of the present one; it only grows.
    pub(super) fn number(&self) -> u64 {
        self.number.load(Ordering::Acquire)
    }

    /// The furthest position that was seen.
    pub(super) fn position(&self) -> u64 {
        self.position.load(Ordering::Acquire)
    }

    /// The present one's mark, once the broker has said where it comes from.
    pub(super) fn mark(&self) -> Option<Incarnation> {
        // In this order: a position must not be older than its origin.
        let origin = self.origin.load(Ordering::Acquire);
        (origin != 0).then(|| Incarnation { origin, position: self.position() })
    }

    /// Where it stands, before an event is handed over.
    pub(super) fn before(&self) -> Before {
        // In this order: the position of a later one under the number of an earlier one is passed over by `stored`.
        let number = self.number();
        Before { number, position: self.position() }
    }

    /// An event was stored at `position`, which was handed over after `before`: in the same incarnation it lies behind that.
    pub(super) fn stored(&self, before: Before, position: u64) {
        if before.number != self.number() {
            // The step back is known: one for all that were under way.
        } else if position <= before.position {
            // Where it comes from is not known until the next look: one that sees another origin then tells of the same loss.
            self.begin(0, position);
        } else {
            self.position.fetch_max(position, Ordering::AcqRel);
        }
    }

    /// Events were stored behind the furthest position, so many steps.
    pub(super) fn grown(&self, steps: u64) {
        self.position.fetch_add(steps, Ordering::AcqRel);
    }

    /// The broker has answered a look. `before`: where it stood when it was asked.
    pub(super) fn looked(&self, before: Before, origin: Origin, position: u64) {
        let went_back = before.number == self.number() && position < before.position;
        self.told(origin, if went_back { position } else { position.max(self.position()) }, went_back);
    }

    /// The same, where the caller knows whether it went back.
    pub(super) fn told(&self, origin: Origin, position: u64, went_back: bool) {
        let known = self.origin.load(Ordering::Acquire);
        if went_back || (known != 0 && known != origin.0) {
            self.begin(origin.0, position);
        } else {
            self.position.store(position, Ordering::Release);
            self.origin.store(origin.0, Ordering::Release);
        }
    }

    /// The storage is gone, and with it all that it held.
    pub(super) fn gone(&self) {
        if self.position() != 0 || self.mark().is_some() {
            self.begin(0, 0);
        }
    }

    fn begin(&self, origin: u64, position: u64) {
        self.origin.store(origin, Ordering::Release);
        self.position.store(position, Ordering::Release);
        // Last, so that nothing of the new one is taken for the old one's.
        self.number.fetch_add(1, Ordering::AcqRel);
        tell_loss();
    }
}

/// To be called once for each loss.
pub fn tell_loss() {
    tracing::error!(
        "the bus has lost what it held, or is another one: ask the vendors to send that time again (docs/trouble.md, \"A bus \
         that has lost events\")"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(steps: &[(&str, u64)]) -> Incarnations {
        let incarnations = Incarnations::default();
        for (origin, position) in steps {
            incarnations.looked(incarnations.before(), Origin::of(origin.as_bytes()), *position);
        }
        incarnations
    }

    #[test]
    fn another_origin_or_a_step_back_begins_another_incarnation() {
        for (steps, number) in [
            (&[("a", 5), ("a", 5), ("a", 9)][..], 0),
            (&[("a", 5), ("b", 9)], 1),
            (&[("a", 5), ("a", 4)], 1),
            (&[("a", 5), ("b", 0), ("b", 1), ("a", 5)], 2),
        ] {
            assert_eq!(seen(steps).number(), number, "{steps:?}");
        }
    }

    #[test]
    fn an_acknowledgement_behind_what_was_seen_before_its_event_is_another_ones() {
        let incarnations = seen(&[("a", 5)]);
        let before = incarnations.before();
        incarnations.stored(before, 7);
        incarnations.stored(before, 6);
        assert_eq!((incarnations.number(), incarnations.position()), (0, 7), "acknowledgements come in any order");
        let known = incarnations.before();
        incarnations.stored(known, 7);
        assert_eq!((incarnations.number(), incarnations.position()), (1, 7));
        for late in [9, 3] {
            incarnations.stored(known, late);
            incarnations.looked(known, Origin::of(b"a"), 7);
        }
        assert_eq!(
            (incarnations.number(), incarnations.position()),
            (1, 7),
            "all that were under way are one step back"
        );
        incarnations.gone();
        assert_eq!((incarnations.number(), incarnations.mark()), (2, None));
        incarnations.gone();
        assert_eq!(incarnations.number(), 2, "it is gone once");
    }

    #[test]
    fn a_loss_that_an_event_has_told_is_not_told_again_by_the_look_behind_it() {
        let incarnations = seen(&[("a", 5)]);
        incarnations.stored(incarnations.before(), 1);
        assert_eq!((incarnations.number(), incarnations.mark()), (1, None));
        incarnations.looked(incarnations.before(), Origin::of(b"b"), 2);
        assert_eq!((incarnations.number(), incarnations.position()), (1, 2));
        assert!(incarnations.mark().is_some());
    }

    #[test]
    fn a_mark_is_read_back_and_tells_what_it_continues() {
        let mark = |origin: &str, position| seen(&[(origin, position)]).mark().unwrap();
        let old = mark("a", 5);
        assert_eq!(Incarnation::from_bytes(old.to_bytes()), old);
        assert!(mark("a", 5).continues(&old) && mark("a", 9).continues(&old));
        assert!(!mark("a", 4).continues(&old) && !mark("b", 9).continues(&old));
    }
}
