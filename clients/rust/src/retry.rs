//! Pauses between attempts: exponential with full jitter.
//!
//! Source: Brooker, Exponential Backoff And Jitter, 2015.

use std::time::Duration;

use crate::config::Retry;

/// No attempt begins with less time left.
pub(crate) const LEAST: Duration = Duration::from_millis(5);

/// The pause before the k-th retry, k from 1; `chance` is a random number from 0 to 1.
pub(crate) fn pause(settings: &Retry, retry: u32, chance: f64) -> Duration {
    let doubled = settings
        .backoff_ms
        .saturating_mul(1_u64.checked_shl(retry.saturating_sub(1).min(62)).unwrap_or(u64::MAX));
    Duration::from_millis(doubled.min(settings.backoff_max_ms)).mul_f64(chance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_their_bound_and_are_drawn_from_nothing_on() {
        let settings = Retry {
            attempts: 9,
            backoff_ms: 25,
            backoff_max_ms: 250,
        };
        for (retry, most) in [(1, 25), (2, 50), (3, 100), (4, 200), (5, 250), (6, 250), (99, 250)] {
            assert_eq!(pause(&settings, retry, 1.0), Duration::from_millis(most));
            assert_eq!(pause(&settings, retry, 0.0), Duration::ZERO);
        }
    }
}
