//! What has happened in the seeds that were run. A simulation in which nothing goes wrong proves nothing.

/// How often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counts(pub(super) [u64; Happened::ALL.len()]);

impl Default for Counts {
    fn default() -> Self {
        Counts([0; Happened::ALL.len()])
    }
}

macro_rules! happened {
    ($($name:ident)*) => {
        /// What must happen in some seed.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Happened { $($name),* }

        impl Happened {
            pub(super) const ALL: [Happened; [$(stringify!($name)),*].len()] = [$(Happened::$name),*];
        }
    };
}

happened! {
    PowerCuts Kills OrderlyStops StoppedInWrite StoppedInSync StoppedInNames FailedStarts TornBlocks DroppedBlocks UndoneNames
    FailedWrites FailedSyncs FailedNames FullDisks ClockJumps DamagedTails RecordsFoundAtStart
    Posted PostedAgain SendersGone Answered Repeats NotDurable TooSlow
    Hedged Refused BehindTheGate Drained DeadLetters
    StoredByBus Duplicates LostAcks LateAcks Timeouts RefusedKeys RefusedForGood StoredAfterTheEnd
}

impl Counts {
    pub(super) fn note(&mut self, what: Happened, times: u64) {
        self.0[what as usize] += times;
    }

    pub(super) fn add(&mut self, more: &Counts) {
        self.0.iter_mut().zip(more.0).for_each(|(count, more)| *count += more);
    }

    pub(super) fn everything_has_happened(&self) {
        let never: Vec<Happened> = Happened::ALL.into_iter().filter(|what| self.0[*what as usize] == 0).collect();
        assert!(never.is_empty(), "in no seed: {never:?}");
    }

    /// For people.
    pub(super) fn lines(&self) -> String {
        Happened::ALL.iter().map(|what| format!("{:>10} {what:?}\n", self.0[*what as usize])).collect()
    }
}
