//! What the gate is told and what it answers.

/// The way of an event that arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::delivery) enum Way {
    /// To the bus.
    Direct,
    /// Nowhere yet: the bus takes the records of its key just now. To be asked again when they are done with, or to be
    /// given up waiting ([`waited`](super::Gate::waited)).
    Wait,
    /// Into the journal. The gate counts it as on its way there.
    Spool(Lane),
}

/// Where an append is counted, from its beginning to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::delivery) enum Lane {
    /// Among all.
    Common,
    /// In the place of its key, which the bus refuses: the way of keys elsewhere does not depend on it.
    Own(u64),
}

/// What becomes of a record that the drain has read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::delivery) enum Fate {
    /// It has a place in the window; keep it until it is retired.
    Kept,
    /// The same, but it was refused for too long: it goes to the dead letters in its turn.
    Doomed,
    /// Its first publication ended well after all: acknowledge it, and forget it.
    Done,
    /// Its key is refused: forget it, a round reads it again.
    Left,
}

/// How the publication of a record has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::delivery) enum Landing {
    /// The bus has it.
    Stored,
    /// It lies in the dead letters.
    DeadLetter,
    /// Not now: the bus takes none, as far as it is known.
    Failed,
    /// The bus refuses this, and may take others.
    Refused(Target),
}

/// A record as the drain read it.
#[derive(Debug, Clone, Copy)]
pub(in crate::delivery) struct Read<'a> {
    /// Its place in the journal.
    pub(in crate::delivery) sequence: u64,
    /// What keeps its order, hashed: a collision only makes two keys wait for each other.
    pub(in crate::delivery) key: u64,
    /// Its subject or topic, hashed.
    pub(in crate::delivery) route: u64,
    /// Unique among the events of every run.
    pub(in crate::delivery) ticket: &'a str,
    /// Its size.
    pub(in crate::delivery) bytes: usize,
}

/// What a refusal stands against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::delivery) enum Target {
    /// A subject or topic, hashed.
    Route(u64),
    /// A key, hashed.
    Key(u64),
}
