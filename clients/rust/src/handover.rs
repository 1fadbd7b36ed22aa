//! Who of two threads decides: the one that asks the service, or the one that waits for it.

use std::sync::atomic::{AtomicU8, Ordering};

const OPEN: u8 = 0;
const SETTLED: u8 = 1;
const GIVEN_UP: u8 = 2;

/// Settled by one thread or given up by the other, whichever comes first; so a decision is counted and written once.
#[derive(Debug, Default)]
pub(crate) struct Handover(AtomicU8);

impl Handover {
    /// The asking thread has decided; false where nobody waits for it any more.
    pub(crate) fn settle(&self) -> bool {
        self.leave_open(SETTLED)
    }

    /// The waiting thread decides by itself; false where the other one has decided, and its answer is on its way.
    pub(crate) fn give_up(&self) -> bool {
        self.leave_open(GIVEN_UP)
    }

    fn leave_open(&self, state: u8) -> bool {
        self.0
            .compare_exchange(OPEN, state, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_two_decides() {
        let handover = Handover::default();
        assert!(handover.settle());
        assert!(!handover.give_up());
        let handover = Handover::default();
        assert!(handover.give_up());
        assert!(!handover.settle());
    }
}
