//! What decides where there is no signal.

#[cfg(feature = "blocking")]
use std::cell::Cell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::config::{FallbackConfig, FallbackKind};
use crate::decision::{FallbackUsed, Reason};
use crate::policy::{Policy, Position, Side, exit_side};

/// What a fallback knows.
#[derive(Debug, Clone, PartialEq)]
pub struct Situation {
    /// Whose signals.
    pub strategy: String,
    /// Of what.
    pub symbol: String,
    /// Why there is no signal.
    pub reason: Reason,
    /// Bars in a row without one, this one among them.
    pub bars_without_signal: u32,
    /// Last price of the newest bar; `None` where the bars are not usable.
    pub close: Option<f64>,
    /// What is held at that bar's close.
    pub position: Position,
    /// Of the model that the service described last; `None` before the first description.
    pub policy: Option<Policy>,
}

/// A fallback of the bot's own. One that panics means flat.
///
/// It is asked on the thread that decides, and must not block: [`crate::Client`] cannot take that thread away from it, so what it waits for
/// (a lock, a file, another service) holds the decision up beyond its deadline, and all else that runs there.
/// The client of the feature `blocking` alone decides without a closure that does not come back, and then nothing is held.
pub type Closure = Arc<dyn Fn(&Situation) -> Side + Send + Sync>;

/// What decides where there is no signal.
#[derive(Clone, Default)]
pub enum Fallback {
    /// Nothing is held.
    #[default]
    Flat,
    /// What is held is held on.
    Hold {
        /// For how many bars in a row.
        bars: u32,
        /// Whether the exits of the position policy apply meanwhile.
        exits: bool,
    },
    /// The bot's own rule.
    Closure(Closure),
}

impl fmt::Debug for Fallback {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flat => formatter.write_str("Flat"),
            Self::Hold { bars, exits } => formatter
                .debug_struct("Hold")
                .field("bars", bars)
                .field("exits", exits)
                .finish(),
            Self::Closure(_) => formatter.write_str("Closure(..)"),
        }
    }
}

impl From<&FallbackConfig> for Fallback {
    fn from(config: &FallbackConfig) -> Self {
        match config.strategy {
            FallbackKind::Flat => Self::Flat,
            FallbackKind::Hold => Self::Hold {
                bars: config.hold_bars,
                exits: config.exits,
            },
        }
    }
}

impl Fallback {
    pub(crate) fn decide(&self, situation: &Situation) -> (Side, FallbackUsed) {
        match self {
            Self::Flat => (Side::Flat, FallbackUsed::Flat),
            Self::Hold { bars, exits } => hold(situation, *bars, *exits),
            Self::Closure(closure) => (asked(closure, situation), FallbackUsed::Closure),
        }
    }
}

fn asked(closure: &Closure, situation: &Situation) -> Side {
    #[cfg(feature = "blocking")]
    if ALONE.get() {
        return Side::Flat;
    }
    // A rule that fails must not take the bot with it.
    catch_unwind(AssertUnwindSafe(|| closure(situation))).unwrap_or_else(|_| {
        tracing::error!("the bot's own fallback panicked; nothing is held");
        Side::Flat
    })
}

#[cfg(feature = "blocking")]
thread_local! {
    static ALONE: Cell<bool> = const { Cell::new(false) };
}

/// Decides without closures: the one that is asked elsewhere does not come back, and must not hold this thread up, too.
#[cfg(feature = "blocking")]
pub(crate) fn without_closures<T>(decide: impl FnOnce() -> T) -> T {
    ALONE.set(true);
    let decided = decide();
    ALONE.set(false);
    decided
}

fn hold(situation: &Situation, bars: u32, exits: bool) -> (Side, FallbackUsed) {
    let held = situation.position.side;
    if held == Side::Flat || situation.bars_without_signal > bars {
        return (Side::Flat, FallbackUsed::Flat);
    }
    if let (true, Some(policy), Some(close)) = (exits, &situation.policy, situation.close) {
        // Prices that no exit can be judged by are no reason to hold on.
        if exit_side(close, &situation.position, policy).unwrap_or(Side::Flat) == Side::Flat {
            return (Side::Flat, FallbackUsed::Exit);
        }
    }
    (held, FallbackUsed::Hold)
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Policy = Policy {
        long_at: 0.6,
        short_at: 0.4,
        take_profit: 0.02,
        stop_loss: 0.01,
        max_holding_bars: 10,
        flip: true,
    };

    fn situation(side: Side, close: f64) -> Situation {
        Situation {
            strategy: "eurusd".to_owned(),
            symbol: "EUR/USD".to_owned(),
            reason: Reason::Timeout,
            bars_without_signal: 1,
            close: Some(close),
            position: Position {
                side,
                entry_price: 100.0,
                bars_held: 3,
            },
            policy: Some(POLICY),
        }
    }

    const HOLD: Fallback = Fallback::Hold { bars: 3, exits: true };
    const FLAT: (Side, FallbackUsed) = (Side::Flat, FallbackUsed::Flat);
    const EXIT: (Side, FallbackUsed) = (Side::Flat, FallbackUsed::Exit);

    #[test]
    fn flat_holds_nothing() {
        assert_eq!(Fallback::Flat.decide(&situation(Side::Long, 100.0)), FLAT);
        assert_eq!(Fallback::default().decide(&situation(Side::Short, 100.0)), FLAT);
    }

    #[test]
    fn hold_holds_on_between_the_exits_and_enters_nothing() {
        for (side, close, expected) in [
            (Side::Flat, 100.0, FLAT),
            (Side::Long, 100.0, (Side::Long, FallbackUsed::Hold)),
            (Side::Long, 99.1, (Side::Long, FallbackUsed::Hold)),
            (Side::Long, 98.9, EXIT),
            (Side::Long, 102.1, EXIT),
            (Side::Short, 100.0, (Side::Short, FallbackUsed::Hold)),
            (Side::Short, 101.1, EXIT),
            (Side::Short, 97.9, EXIT),
            (Side::Long, f64::NAN, EXIT),
        ] {
            assert_eq!(HOLD.decide(&situation(side, close)), expected, "{side:?} at {close}");
        }
    }

    #[test]
    fn hold_ends_after_its_bars_and_at_the_holding_time() {
        let mut late = situation(Side::Long, 100.0);
        for (bars, expected) in [(3, (Side::Long, FallbackUsed::Hold)), (4, FLAT), (u32::MAX, FLAT)] {
            late.bars_without_signal = bars;
            assert_eq!(HOLD.decide(&late), expected, "{bars}");
        }
        let mut long = situation(Side::Long, 100.0);
        long.position.bars_held = 10;
        assert_eq!(HOLD.decide(&long), EXIT);
    }

    #[test]
    fn exits_apply_where_they_are_asked_for_and_can_be_judged() {
        let lost = situation(Side::Long, 50.0);
        let held = (Side::Long, FallbackUsed::Hold);
        assert_eq!(Fallback::Hold { bars: 3, exits: false }.decide(&lost), held);
        assert_eq!(
            HOLD.decide(&Situation {
                policy: None,
                ..lost.clone()
            }),
            held
        );
        assert_eq!(
            HOLD.decide(&Situation {
                close: None,
                ..lost.clone()
            }),
            held
        );
        for entry_price in [f64::NAN, 0.0, -1.0, f64::INFINITY] {
            let position = Position {
                entry_price,
                ..lost.position
            };
            assert_eq!(
                HOLD.decide(&Situation {
                    position,
                    ..lost.clone()
                }),
                EXIT,
                "{entry_price}"
            );
        }
    }

    #[test]
    fn a_closure_decides_and_one_that_panics_holds_nothing() {
        let own = Fallback::Closure(Arc::new(|asked| {
            assert!(asked.reason == Reason::Timeout, "only time-outs are expected");
            asked.position.side
        }));
        let mut asked = situation(Side::Short, 100.0);
        assert_eq!(own.decide(&asked), (Side::Short, FallbackUsed::Closure));
        asked.reason = Reason::Refused;
        assert_eq!(own.decide(&asked), (Side::Flat, FallbackUsed::Closure));
    }

    #[test]
    fn settings_name_the_fallback() {
        let config = FallbackConfig {
            strategy: FallbackKind::Hold,
            hold_bars: 7,
            exits: false,
        };
        assert!(matches!(
            Fallback::from(&config),
            Fallback::Hold { bars: 7, exits: false }
        ));
        assert!(matches!(Fallback::from(&FallbackConfig::default()), Fallback::Flat));
    }
}
