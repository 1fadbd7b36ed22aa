//! The ledger: what was held, what it cost and what came of it, by the rules of the backtest's reference ledger, one bar after the other.
//!
//! A target decided at a bar's close is filled at the next bar's open. Every trade buys or sells `capital / open` units. A flip closes and
//! opens at one open, as one order, and pays on both. What is still held at the end is closed at the last close.
//!
//! Sums and products stand in the order in which the reference has them: prices and units are its own to the bit.

use std::collections::VecDeque;
use std::fmt;

use serde::{Deserialize, Serialize};
use tidegate_client::{Bar, Position, Side};

/// Bars before a fill from which volatility and volume are taken.
const IMPACT_BARS: usize = 96;
/// An order's share of a bar's volume counts up to here, and as this where no volume is known.
const MAX_PARTICIPATION: f64 = 100.0;
const BPS: f64 = 1e-4;

/// What trading costs, per side; basis points are of the traded value.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Costs {
    /// Fee.
    pub(crate) fee_bps: f64,
    /// Half the bid-ask spread.
    pub(crate) half_spread_bps: f64,
    /// Slippage.
    pub(crate) slippage_bps: f64,
    /// Y in Y * sigma * sqrt(Q / V), the market's impact.
    pub(crate) impact_coefficient: f64,
}

impl Default for Costs {
    fn default() -> Self {
        Self {
            fee_bps: 5.0,
            half_spread_bps: 0.5,
            slippage_bps: 0.5,
            impact_coefficient: 0.0,
        }
    }
}

/// One round trip, with the columns of `trades.parquet`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Trade {
    /// What was traded.
    pub(crate) symbol: String,
    /// 1 long, -1 short.
    pub(crate) side: Side,
    /// Fill of the entry, UTC ms.
    pub(crate) entry_at: i64,
    /// Fill of the exit, UTC ms.
    pub(crate) exit_at: i64,
    /// Close of the bar at which the entry was decided, UTC ms.
    pub(crate) signal_at: i64,
    /// The market's price at the entry, before costs.
    pub(crate) entry_price: f64,
    /// The market's price at the exit, before costs.
    pub(crate) exit_price: f64,
    /// Units traded, above 0.
    pub(crate) units: f64,
    /// Before costs, quote currency.
    pub(crate) gross_pnl: f64,
    /// Of entry and exit, quote currency.
    pub(crate) cost: f64,
    /// Gross less cost.
    pub(crate) net_pnl: f64,
    /// Net over the capital.
    pub(crate) net_return: f64,
    /// Bars from the entry to the exit.
    pub(crate) bars_held: i64,
    /// -1: a bot does not tell regimes.
    pub(crate) regime: i8,
    /// Whether the end closed it.
    pub(crate) forced_exit: bool,
}

/// An order that would cost as much as it trades; nobody would send it, and no honest result comes of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TooDear {
    rate: f64,
}

impl fmt::Display for TooDear {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "an order costs as much as it trades: a cost per side below 1 of the traded value is expected, was {}; lower \
             paper.impact_coefficient or paper.capital, or do not trade a market with so little volume",
            self.rate
        )
    }
}

impl std::error::Error for TooDear {}

/// What is held, from its fill on.
#[derive(Debug, Clone, Copy)]
struct Held {
    side: Side,
    units: f64,
    row: i64,
    at: i64,
    signal_at: i64,
    price: f64,
    cost: f64,
}

/// A bar that is closed: its end, and the worst and the last equity in it.
#[derive(Debug, Clone, Copy)]
struct Marked {
    closed_at: i64,
    close: f64,
    low: f64,
    equity: f64,
}

/// A fill's place in time: the bar's row, or the count of bars for the last close.
#[derive(Debug, Clone, Copy)]
struct Fill {
    row: i64,
    at: i64,
    price: f64,
    forced: bool,
}

/// One symbol's ledger.
#[derive(Debug)]
pub(crate) struct Ledger {
    symbol: String,
    interval_ms: i64,
    capital: f64,
    costs: Costs,
    cash: f64,
    held: Option<Held>,
    wanted: Side,
    rows: i64,
    known: VecDeque<(f64, f64)>,
    last: Option<Marked>,
    peak: f64,
    worst_fall: f64,
}

impl Ledger {
    /// A ledger without bars that holds nothing.
    pub(crate) fn new(symbol: &str, interval_ms: i64, capital: f64, costs: Costs) -> Self {
        Self {
            symbol: symbol.to_owned(),
            interval_ms,
            capital,
            costs,
            cash: 0.0,
            held: None,
            wanted: Side::Flat,
            rows: 0,
            known: VecDeque::with_capacity(IMPACT_BARS),
            last: None,
            peak: capital,
            worst_fall: 0.0,
        }
    }

    /// Takes the next closed bar: what is wanted is filled at its open, and what is then held is marked. Returns the round trip that ended.
    ///
    /// # Errors
    ///
    /// The order costs as much as it trades; nothing was filled, and the bar was not taken.
    pub(crate) fn bar(&mut self, bar: &Bar) -> Result<Option<Trade>, TooDear> {
        // Before the first bar there is nothing at whose close a target could have been decided.
        let wanted = if self.rows > 0 { self.wanted } else { Side::Flat };
        let fill = Fill {
            row: self.rows,
            at: bar.opened_at,
            price: bar.open,
            forced: false,
        };
        let ended = if wanted == self.side() {
            None
        } else {
            self.fill(fill, wanted)?
        };
        self.know(bar);
        self.judge_last();
        let worst = if self.side() == Side::Short { bar.high } else { bar.low };
        self.last = Some(Marked {
            closed_at: bar.opened_at + self.interval_ms,
            close: bar.close,
            low: self.equity(worst),
            equity: self.equity(bar.close),
        });
        self.rows += 1;
        Ok(ended)
    }

    /// What to hold from the next bar's open on.
    pub(crate) fn want(&mut self, target: Side) {
        self.wanted = target;
    }

    /// Closes what is held at the last close; nothing is filled after that.
    ///
    /// # Errors
    ///
    /// The order costs as much as it trades; it is still held.
    pub(crate) fn close_out(&mut self) -> Result<Option<Trade>, TooDear> {
        self.wanted = Side::Flat;
        let (Some(last), Some(_)) = (self.last, self.held) else {
            return Ok(None);
        };
        let ended = self.fill(
            Fill {
                row: self.rows,
                at: last.closed_at,
                price: last.close,
                forced: true,
            },
            Side::Flat,
        )?;
        self.last = Some(Marked {
            equity: self.equity(last.close),
            ..last
        });
        Ok(ended)
    }

    /// What is held at the newest bar's close, as a service is told.
    pub(crate) fn position(&self) -> Position {
        self.held.map_or(Position::FLAT, |held| Position {
            side: held.side,
            entry_price: held.price,
            bars_held: u32::try_from(self.rows - held.row).unwrap_or(u32::MAX),
        })
    }

    /// The largest fall of equity from its highest close so far, judged at the worst moment in each bar; a fraction of that height.
    pub(crate) fn worst_fall(&self) -> f64 {
        self.last
            .map_or(self.worst_fall, |last| self.worst_fall.max(self.fall(last)))
    }

    fn fill(&mut self, fill: Fill, wanted: Side) -> Result<Option<Trade>, TooDear> {
        let closing = self.held.map_or(0.0, |held| held.units);
        let opening = if wanted == Side::Flat {
            0.0
        } else {
            self.capital / fill.price
        };
        let rate = self.cost_rate(closing + opening);
        // NaN is refused as well.
        if !rate.is_finite() || rate >= 1.0 {
            return Err(TooDear { rate });
        }
        let ended = self
            .held
            .take()
            .map(|held| self.close(held, fill, rate * closing * fill.price));
        if wanted != Side::Flat {
            let cost = rate * opening * fill.price;
            self.cash -= sign(wanted) * opening * fill.price + cost;
            let signal_at = self.last.map_or(fill.at, |last| last.closed_at);
            let (row, at, price) = (fill.row, fill.at, fill.price);
            self.held = Some(Held {
                side: wanted,
                units: opening,
                row,
                at,
                signal_at,
                price,
                cost,
            });
        }
        Ok(ended)
    }

    fn close(&mut self, held: Held, fill: Fill, cost: f64) -> Trade {
        self.cash += sign(held.side) * held.units * fill.price - cost;
        let gross = sign(held.side) * held.units * (fill.price - held.price);
        let paid = held.cost + cost;
        Trade {
            symbol: self.symbol.clone(),
            side: held.side,
            entry_at: held.at,
            exit_at: fill.at,
            signal_at: held.signal_at,
            entry_price: held.price,
            exit_price: fill.price,
            units: held.units,
            gross_pnl: gross,
            cost: paid,
            net_pnl: gross - paid,
            net_return: (gross - paid) / self.capital,
            bars_held: fill.row - held.row,
            regime: -1,
            forced_exit: fill.forced,
        }
    }

    /// Cost of an order of so many units as a fraction of its value; from bars before the fill only.
    fn cost_rate(&self, quantity: f64) -> f64 {
        let (mut squares, mut volume) = (0.0, 0.0);
        for (square, traded) in &self.known {
            squares += square;
            volume += traded;
        }
        let bars = f64::from(u32::try_from(self.known.len()).unwrap_or(u32::MAX));
        let (sigma, mean_volume) = ((squares / bars).sqrt(), volume / bars);
        let share = if mean_volume > 0.0 {
            (quantity / mean_volume).min(MAX_PARTICIPATION)
        } else {
            MAX_PARTICIPATION
        };
        let impact = self.costs.impact_coefficient * sigma * share.sqrt();
        (self.costs.fee_bps + self.costs.half_spread_bps + self.costs.slippage_bps) * BPS + impact
    }

    fn know(&mut self, bar: &Bar) {
        let previous = self.last.map_or(bar.open, |last| last.close);
        if self.known.len() == IMPACT_BARS {
            self.known.pop_front();
        }
        self.known.push_back(((bar.close / previous).ln().powi(2), bar.volume));
    }

    fn judge_last(&mut self) {
        if let Some(last) = self.last {
            self.worst_fall = self.worst_fall.max(self.fall(last));
            self.peak = self.peak.max(last.equity);
        }
    }

    fn fall(&self, bar: Marked) -> f64 {
        (self.peak - bar.low.min(bar.equity)) / self.peak
    }

    fn side(&self) -> Side {
        self.held.map_or(Side::Flat, |held| held.side)
    }

    /// Capital and profit with the position marked at a price.
    fn equity(&self, price: f64) -> f64 {
        self.capital + self.cash + self.held.map_or(0.0, |held| sign(held.side) * held.units * price)
    }
}

fn sign(side: Side) -> f64 {
    f64::from(side.sign())
}

#[cfg(test)]
mod tests;
