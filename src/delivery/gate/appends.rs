//! How far the journal and the drain have come with what was appended: that of all keys, or of one.

/// Records on their way into the journal, and the highest one there.
#[derive(Debug, Default)]
pub(super) struct Appends {
    under_way: usize,
    highest: u64,
}

impl Appends {
    /// Those of an earlier run end here.
    pub(super) fn up_to(highest: u64) -> Self {
        Appends { under_way: 0, highest }
    }

    pub(super) fn begin(&mut self) {
        self.under_way += 1;
    }

    /// A record is in the journal, or nowhere.
    pub(super) fn end(&mut self, sequence: Option<u64>) {
        self.under_way = self.under_way.saturating_sub(1);
        self.highest = self.highest.max(sequence.unwrap_or_default());
    }

    /// The drain, which has passed this sequence, has met every record that is known to be in the journal.
    pub(super) fn are_read(&self, passed: u64) -> bool {
        self.highest <= passed
    }

    /// Nor is one on its way.
    pub(super) fn are_over(&self, passed: u64) -> bool {
        self.under_way == 0 && self.are_read(passed)
    }
}
