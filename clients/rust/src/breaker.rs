//! The circuit breaker: requests stop when they fail, and one probe at a time finds out whether they may go on.
//!
//! Pure: instants are given, nothing sleeps.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::config::Breaker as Settings;

/// What the breaker does with requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakerState {
    /// They pass.
    #[default]
    Closed,
    /// One at a time passes, to find out.
    HalfOpen,
    /// None passes.
    Open,
}

/// Leave to send requests for one decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Permit {
    /// As many attempts as the settings allow.
    Whole,
    /// One attempt: the breaker is half open.
    Probe,
}

#[derive(Debug)]
pub(crate) struct Breaker {
    settings: Settings,
    failures: u32,
    missed_looks: u32,
    failed_probes: u32,
    phase: Phase,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    Closed,
    Open { until: Instant },
    HalfOpen { probing: bool },
}

impl Breaker {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            settings,
            failures: 0,
            missed_looks: 0,
            failed_probes: 0,
            phase: Phase::Closed,
        }
    }

    /// The state at an instant: an open breaker whose time is over is half open.
    pub(crate) fn state(&self, now: Instant) -> BreakerState {
        match self.phase {
            Phase::Closed => BreakerState::Closed,
            Phase::Open { until } if now < until => BreakerState::Open,
            Phase::Open { .. } | Phase::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    /// Leave for one decision's requests, `None` where there is none.
    pub(crate) fn permit(&mut self, now: Instant) -> Option<Permit> {
        match (self.state(now), self.phase) {
            (BreakerState::Closed, _) => Some(Permit::Whole),
            (BreakerState::Open, _) | (_, Phase::HalfOpen { probing: true }) => None,
            (BreakerState::HalfOpen, _) => {
                self.phase = Phase::HalfOpen { probing: true };
                Some(Permit::Probe)
            }
        }
    }

    /// An exchange was understood.
    pub(crate) fn understood(&mut self, permit: Permit) {
        self.failures = 0;
        self.missed_looks = 0;
        if permit == Permit::Probe || matches!(self.phase, Phase::Closed) {
            self.failed_probes = 0;
            self.phase = Phase::Closed;
        }
    }

    /// An exchange failed; says whether that opened the breaker. `spread` is a random number from 0.8 to 1.2.
    pub(crate) fn failed(&mut self, permit: Permit, now: Instant, spread: f64) -> bool {
        match (permit, self.phase) {
            (Permit::Whole, Phase::Closed) => {
                self.failures += 1;
                if !self.is_enough() {
                    return false;
                }
            }
            // It began before the breaker opened, and says nothing new.
            (Permit::Whole, _) => return false,
            (Permit::Probe, _) => self.failed_probes = self.failed_probes.saturating_add(1),
        }
        self.open(now, spread);
        true
    }

    /// A look in the background found nobody; while closed that counts as a failed exchange. Says whether it opened the breaker.
    pub(crate) fn missed_look(&mut self, now: Instant, spread: f64) -> bool {
        if !matches!(self.phase, Phase::Closed) {
            return false;
        }
        self.missed_looks += 1;
        if !self.is_enough() {
            return false;
        }
        self.open(now, spread);
        true
    }

    /// A look found somebody: looks are missed in a row only. Failed exchanges stay; a service may answer looks and fail every question.
    pub(crate) fn answered_look(&mut self) {
        self.missed_looks = 0;
    }

    fn is_enough(&self) -> bool {
        self.failures.saturating_add(self.missed_looks) >= self.settings.failures
    }

    fn open(&mut self, now: Instant, spread: f64) {
        self.failures = 0;
        self.missed_looks = 0;
        self.phase = Phase::Open {
            until: now + self.open_for(spread),
        };
    }

    /// A probe ended without telling anything.
    pub(crate) fn abandoned(&mut self, permit: Permit) {
        if permit == Permit::Probe && matches!(self.phase, Phase::HalfOpen { .. }) {
            self.phase = Phase::HalfOpen { probing: false };
        }
    }

    /// The service said that it is ready: an open breaker need not wait.
    pub(crate) fn ready(&mut self) {
        if matches!(self.phase, Phase::Open { .. }) {
            self.phase = Phase::HalfOpen { probing: false };
        }
    }

    fn open_for(&self, spread: f64) -> Duration {
        let doubled = self
            .settings
            .open_ms
            .saturating_mul(1_u64.checked_shl(self.failed_probes.min(62)).unwrap_or(u64::MAX));
        Duration::from_millis(doubled.min(self.settings.open_max_ms)).mul_f64(spread)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: Settings = Settings {
        failures: 3,
        open_ms: 100,
        open_max_ms: 350,
    };

    fn after(start: Instant, milliseconds: u64) -> Instant {
        start + Duration::from_millis(milliseconds)
    }

    fn opened(start: Instant) -> Breaker {
        let mut breaker = Breaker::new(SETTINGS);
        for expected in [false, false, true] {
            assert_eq!(breaker.permit(start), Some(Permit::Whole));
            assert_eq!(breaker.failed(Permit::Whole, start, 1.0), expected);
        }
        breaker
    }

    #[test]
    fn failures_in_a_row_open_it() {
        let start = Instant::now();
        let mut breaker = opened(start);
        assert_eq!(breaker.state(after(start, 99)), BreakerState::Open);
        assert_eq!(breaker.permit(after(start, 99)), None);
    }

    #[test]
    fn an_exchange_that_is_understood_starts_the_count_anew() {
        let start = Instant::now();
        let mut breaker = Breaker::new(SETTINGS);
        for _ in 0..5 {
            assert!(!breaker.failed(Permit::Whole, start, 1.0));
            assert!(!breaker.failed(Permit::Whole, start, 1.0));
            breaker.understood(Permit::Whole);
        }
        assert_eq!(breaker.state(start), BreakerState::Closed);
    }

    #[test]
    fn one_probe_at_a_time_passes_and_closes_it() {
        let start = Instant::now();
        let mut breaker = opened(start);
        let later = after(start, 100);
        assert_eq!(breaker.state(later), BreakerState::HalfOpen);
        assert_eq!(breaker.permit(later), Some(Permit::Probe));
        assert_eq!(breaker.permit(later), None);
        breaker.understood(Permit::Probe);
        assert_eq!(breaker.permit(later), Some(Permit::Whole));
    }

    #[test]
    fn failed_probes_double_the_time_up_to_its_bound() {
        let start = Instant::now();
        let mut breaker = opened(start);
        let mut now = after(start, 100);
        for open_ms in [200, 350, 350] {
            assert_eq!(breaker.permit(now), Some(Permit::Probe));
            assert!(breaker.failed(Permit::Probe, now, 1.0));
            assert_eq!(breaker.state(after(now, open_ms - 1)), BreakerState::Open);
            now = after(now, open_ms);
            assert_eq!(breaker.state(now), BreakerState::HalfOpen);
        }
        assert_eq!(breaker.permit(now), Some(Permit::Probe));
        breaker.understood(Permit::Probe);
        let mut again = breaker;
        for _ in 0..3 {
            again.failed(Permit::Whole, now, 1.0);
        }
        assert_eq!(again.state(after(now, 99)), BreakerState::Open);
        assert_eq!(again.state(after(now, 100)), BreakerState::HalfOpen);
    }

    #[test]
    fn a_probe_that_tells_nothing_lets_the_next_one_try() {
        let start = Instant::now();
        let mut breaker = opened(start);
        let later = after(start, 100);
        assert_eq!(breaker.permit(later), Some(Permit::Probe));
        breaker.abandoned(Permit::Probe);
        assert_eq!(breaker.state(later), BreakerState::HalfOpen);
        assert_eq!(breaker.permit(later), Some(Permit::Probe));
    }

    #[test]
    fn looks_are_missed_in_a_row_and_count_with_failed_exchanges() {
        let start = Instant::now();
        let mut breaker = Breaker::new(SETTINGS);
        for _ in 0..5 {
            assert!(!breaker.missed_look(start, 1.0));
            assert!(!breaker.missed_look(start, 1.0));
            breaker.answered_look();
        }
        for _ in 0..2 {
            assert!(!breaker.failed(Permit::Whole, start, 1.0));
            // What answers looks may fail every question.
            breaker.answered_look();
        }
        assert!(breaker.missed_look(start, 1.0));
        assert_eq!(breaker.state(start), BreakerState::Open);
        assert!(!breaker.missed_look(start, 1.0));
    }

    #[test]
    fn a_service_that_is_ready_ends_the_wait() {
        let start = Instant::now();
        let mut breaker = opened(start);
        breaker.ready();
        assert_eq!(breaker.state(start), BreakerState::HalfOpen);
        assert_eq!(breaker.permit(start), Some(Permit::Probe));
    }

    #[test]
    fn what_began_before_it_opened_changes_nothing() {
        let start = Instant::now();
        let mut breaker = opened(start);
        assert!(!breaker.failed(Permit::Whole, start, 1.0));
        breaker.understood(Permit::Whole);
        assert_eq!(breaker.state(start), BreakerState::Open);
    }
}
