//! Mistakes that can be switched on in tests, to show that the simulation sees them.

use std::cell::Cell;

thread_local! {
    static HERE: Cell<Option<Planted>> = const { Cell::new(None) };
}

/// A mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Planted {
    /// The drain acknowledges a record before the bus has it.
    DroppedAck,
    /// An event that is to be spooled is answered before that is done.
    EarlyAnswer,
    /// A record does not wait for the older ones of its key.
    WrongOrder,
}

impl Planted {
    /// Whether it is made on this thread.
    pub(super) fn is_here(self) -> bool {
        HERE.get() == Some(self)
    }

    /// Makes this one from now on, or none.
    #[cfg(feature = "simulation")]
    pub(super) fn plant(mistake: Option<Planted>) {
        HERE.set(mistake);
    }
}
