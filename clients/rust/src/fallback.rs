//! What decides where there is no signal.

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
            Self::Closure(closure) => {
                // A rule that fails must not take the bot with it.
                let side = catch_unwind(AssertUnwindSafe(|| closure(situation))).unwrap_or_else(|_| {
                    tracing::error!("the bot's own fallback panicked; nothing is held");
                    Side::Flat
                });
                (side, FallbackUsed::Closure)
            }
        }
    }
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
