//! What has happened on a simulated disk.

/// What has happened on the disk since it was made.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    /// Calls that the machine stopped in the middle of, by kind.
    pub stopped_in_write: u64,
    /// See there.
    pub stopped_in_sync: u64,
    /// See there.
    pub stopped_in_names: u64,
    /// Blocks of which a power cut left a part.
    pub torn: u64,
    /// Blocks that a power cut left out.
    pub dropped: u64,
    /// Names that a power cut took back.
    pub names_undone: u64,
    /// Failed writes.
    pub failed_writes: u64,
    /// Failed syncs.
    pub failed_syncs: u64,
    /// Failures of names.
    pub failed_names: u64,
    /// Looks for room that found none.
    pub full: u64,
    /// Jumps of the wall clock.
    pub jumps: u64,
}
