//! The one port through which the client learns what time it is.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Tells the time. Durations (deadlines, the breaker) never go by it: they are monotonic.
pub trait Clock: Send + Sync + 'static {
    /// Now, UTC ms, for a bot whose newest bar closed at `closed_at`.
    fn at(&self, closed_at: i64) -> i64;

    /// Now, UTC ms, for what has no bar.
    fn now(&self) -> i64;
}

/// This machine's clock, whatever the bars say.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn at(&self, _closed_at: i64) -> i64 {
        self.now()
    }

    fn now(&self) -> i64 {
        // A clock before 1970 is not usable, and every bar is then in its future.
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}

/// The bars' own time, for replays: now is the close of the newest bar.
#[derive(Debug, Default)]
pub struct BarsClock {
    newest: AtomicI64,
}

impl Clock for BarsClock {
    fn at(&self, closed_at: i64) -> i64 {
        self.newest.fetch_max(closed_at, Ordering::Relaxed);
        closed_at
    }

    fn now(&self) -> i64 {
        self.newest.load(Ordering::Relaxed)
    }
}
