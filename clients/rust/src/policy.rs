//! The position policy: what to hold next, as one pure function of the probability, the close and what is held.
//!
//! The rules stand in `docs/contracts/position-policy.md`; every case of `policy-vectors.json` is a test.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A side of the market.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "i8", into = "i8")]
pub enum Side {
    /// Sold, -1.
    Short,
    /// Nothing held, 0.
    #[default]
    Flat,
    /// Bought, 1.
    Long,
}

impl Side {
    /// -1, 0 or 1.
    #[must_use]
    pub fn sign(self) -> i8 {
        match self {
            Self::Short => -1,
            Self::Flat => 0,
            Self::Long => 1,
        }
    }

    /// The other side; flat stays flat.
    #[must_use]
    pub fn opposite(self) -> Self {
        match self {
            Self::Short => Self::Long,
            Self::Flat => Self::Flat,
            Self::Long => Self::Short,
        }
    }
}

impl TryFrom<i8> for Side {
    type Error = String;

    fn try_from(sign: i8) -> Result<Self, String> {
        match sign {
            -1 => Ok(Self::Short),
            0 => Ok(Self::Flat),
            1 => Ok(Self::Long),
            other => Err(format!("a side is -1, 0 or 1, was {other}")),
        }
    }
}

impl From<Side> for i8 {
    fn from(side: Side) -> Self {
        side.sign()
    }
}

/// What is held at a bar's close. `bars_held` counts closed bars since entry, the entry's bar included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// The side.
    pub side: Side,
    /// Fill of the entry before costs; not looked at when flat.
    #[serde(default)]
    pub entry_price: f64,
    /// Closed bars since entry.
    #[serde(default)]
    pub bars_held: u32,
}

impl Position {
    /// Nothing held.
    pub const FLAT: Self = Self {
        side: Side::Flat,
        entry_price: 0.0,
        bars_held: 0,
    };

    /// Whether the service would take it: a held side has an entry price above zero and at least one bar.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.side == Side::Flat || (is_price(self.entry_price) && self.bars_held >= 1)
    }
}

/// Parameters of the position policy, as `GET /v1/model` tells them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// Enter long at this probability or above.
    pub long_at: f64,
    /// Enter short at this probability or below.
    pub short_at: f64,
    /// Gain, a fraction of the entry price, at which the position is left.
    pub take_profit: f64,
    /// Loss, a fraction of the entry price, at which the position is left.
    pub stop_loss: f64,
    /// Bars after which the position is left.
    pub max_holding_bars: u32,
    /// Whether an opposite signal turns the position around at once.
    pub flip: bool,
}

/// A probability, a position or a close that no policy can judge.
#[derive(Debug, Clone, PartialEq)]
pub enum PolicyError {
    /// Not a number from 0 to 1.
    Probability(f64),
    /// A position is held, and its entry price or the close is not a price.
    Prices {
        /// The entry price.
        entry_price: f64,
        /// The bar's close.
        close: f64,
    },
}

impl fmt::Display for PolicyError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Probability(value) => write!(formatter, "probability: a number from 0 to 1 is expected, was {value}"),
            Self::Prices { entry_price, close } => write!(
                formatter,
                "position: entry price and close above 0 are expected, were {entry_price} and {close}"
            ),
        }
    }
}

impl std::error::Error for PolicyError {}

impl Policy {
    /// What is wrong with the parameters, `None` where they are a policy. The bounds are those of the service.
    pub(crate) fn objection(&self) -> Option<&'static str> {
        // Written so that NaN passes nowhere.
        let holds = [
            (
                self.long_at > 0.0 && self.long_at <= 1.01,
                "long_at: above 0 and at most 1.01",
            ),
            (
                self.short_at >= -0.01 && self.short_at < 1.0,
                "short_at: at least -0.01 and below 1",
            ),
            (self.short_at < self.long_at, "short_at: below long_at"),
            (self.take_profit > 0.0, "take_profit: above 0"),
            (self.stop_loss > 0.0, "stop_loss: above 0"),
            (self.max_holding_bars >= 1, "max_holding_bars: at least 1"),
        ];
        holds.iter().find(|(holds, _)| !holds).map(|(_, expected)| *expected)
    }

    /// The side that a probability alone asks for.
    #[must_use]
    pub fn entry_side(&self, probability: f64) -> Side {
        if probability >= self.long_at {
            Side::Long
        } else if probability <= self.short_at {
            Side::Short
        } else {
            Side::Flat
        }
    }
}

/// The position to hold from the next bar's open on.
///
/// # Errors
///
/// A probability outside 0..1 or NaN; a held position whose entry price or close is not a price.
pub fn target_position(probability: f64, close: f64, held: &Position, policy: &Policy) -> Result<Side, PolicyError> {
    if !(0.0..=1.0).contains(&probability) {
        return Err(PolicyError::Probability(probability));
    }
    let signal = policy.entry_side(probability);
    if held.side == Side::Flat {
        return Ok(signal);
    }
    require_prices(held, close)?;
    if signal == held.side.opposite() {
        return Ok(if policy.flip { signal } else { Side::Flat });
    }
    Ok(after_exits(signal, close, held, policy))
}

/// What is left of a held position where there is no probability: its exits apply, and nothing is entered.
///
/// # Errors
///
/// A held position whose entry price or close is not a price.
pub fn exit_side(close: f64, held: &Position, policy: &Policy) -> Result<Side, PolicyError> {
    if held.side == Side::Flat {
        return Ok(Side::Flat);
    }
    require_prices(held, close)?;
    Ok(after_exits(Side::Flat, close, held, policy))
}

/// The rules behind the flip: stop, then take-profit and time, else the position is kept.
fn after_exits(signal: Side, close: f64, held: &Position, policy: &Policy) -> Side {
    let gain = f64::from(held.side.sign()) * (close / held.entry_price - 1.0);
    if gain <= -policy.stop_loss {
        Side::Flat
    } else if gain >= policy.take_profit || held.bars_held >= policy.max_holding_bars {
        signal
    } else {
        held.side
    }
}

fn require_prices(held: &Position, close: f64) -> Result<(), PolicyError> {
    if is_price(held.entry_price) && is_price(close) {
        Ok(())
    } else {
        Err(PolicyError::Prices {
            entry_price: held.entry_price,
            close,
        })
    }
}

pub(crate) fn is_price(value: f64) -> bool {
    value.is_finite() && value > 0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Policy = Policy {
        long_at: 0.6,
        short_at: 0.4,
        take_profit: 0.02,
        stop_loss: 0.01,
        max_holding_bars: 1,
        flip: true,
    };

    #[test]
    #[rustfmt::skip]
    fn parameters_that_are_no_policy_are_named() {
        for (policy, field) in [
            (POLICY, None),
            (Policy { long_at: 1.01, short_at: -0.01, ..POLICY }, None),
            (Policy { long_at: 0.0, short_at: -0.01, ..POLICY }, Some("long_at")),
            (Policy { long_at: 1.02, ..POLICY }, Some("long_at")),
            (Policy { long_at: f64::NAN, ..POLICY }, Some("long_at")),
            (Policy { short_at: -0.02, ..POLICY }, Some("short_at")),
            (Policy { long_at: 1.01, short_at: 1.0, ..POLICY }, Some("short_at")),
            (Policy { short_at: 0.6, ..POLICY }, Some("short_at")),
            (Policy { take_profit: 0.0, ..POLICY }, Some("take_profit")),
            (Policy { stop_loss: -5.0, ..POLICY }, Some("stop_loss")),
            (Policy { stop_loss: f64::NAN, ..POLICY }, Some("stop_loss")),
            (Policy { max_holding_bars: 0, ..POLICY }, Some("max_holding_bars")),
        ] {
            let found = policy.objection();
            assert_eq!(found.and_then(|text| text.split(':').next()), field, "{policy:?}");
        }
    }
}
