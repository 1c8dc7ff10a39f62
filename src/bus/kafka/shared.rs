//! What publications and the watcher share.

use std::{
    collections::HashSet,
    sync::{Arc, atomic::AtomicBool},
};

use super::{durability::Limits, ends::Ends, producer::Producer, signal::Signal, topics::Known};
use crate::{bus::metrics::BusMetrics, config::Encoding};
use arc_swap::{ArcSwap, ArcSwapOption};

/// It.
pub(super) struct Shared {
    /// Replaced after a fatal error, which ends a producer for good.
    pub(super) producer: ArcSwap<Producer>,
    /// The topics that exist; `None` until a broker has said so for the first time.
    pub(super) topics: ArcSwapOption<Known>,
    /// How much each topic takes at once; `None` until it has been read.
    pub(super) limits: ArcSwapOption<Limits>,
    /// Topics that lose what they acknowledge, which is not waived: nothing is published to them.
    pub(super) refused: ArcSwap<HashSet<String>>,
    /// Whether an event was acknowledged since the watcher's last look.
    pub(super) acknowledged: AtomicBool,
    /// Where each partition ends.
    pub(super) ends: Ends,
    pub(super) signal: Arc<Signal>,
    pub(super) encoding: Encoding,
    pub(super) metrics: BusMetrics,
}
