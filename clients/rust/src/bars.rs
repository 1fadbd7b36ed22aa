//! Bars as a bot has them: columns, ascending, the newest last.

use std::fmt::Write as _;

use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

use crate::interval::Interval;

/// One closed bar.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Bar {
    /// Opening time, UTC ms.
    pub opened_at: i64,
    /// First price.
    pub open: f64,
    /// Highest price.
    pub high: f64,
    /// Lowest price.
    pub low: f64,
    /// Last price.
    pub close: f64,
    /// Units traded.
    pub volume: f64,
}

/// n bars as six columns of one length, ascending by opening time, every bar closed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bars {
    /// Opening times, UTC ms.
    pub opened_at: Vec<i64>,
    /// First prices.
    pub open: Vec<f64>,
    /// Highest prices.
    pub high: Vec<f64>,
    /// Lowest prices.
    pub low: Vec<f64>,
    /// Last prices.
    pub close: Vec<f64>,
    /// Units traded.
    pub volume: Vec<f64>,
}

impl Bars {
    /// No bars yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many bars there are, by their opening times.
    #[must_use]
    pub fn len(&self) -> usize {
        self.opened_at.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.opened_at.is_empty()
    }

    /// Puts a bar behind the newest one.
    pub fn push(&mut self, bar: Bar) {
        self.opened_at.push(bar.opened_at);
        self.open.push(bar.open);
        self.high.push(bar.high);
        self.low.push(bar.low);
        self.close.push(bar.close);
        self.volume.push(bar.volume);
    }

    /// The bar at `row`, `None` past the end or where columns differ in length.
    #[must_use]
    pub fn get(&self, row: usize) -> Option<Bar> {
        Some(Bar {
            opened_at: *self.opened_at.get(row)?,
            open: *self.open.get(row)?,
            high: *self.high.get(row)?,
            low: *self.low.get(row)?,
            close: *self.close.get(row)?,
            volume: *self.volume.get(row)?,
        })
    }

    /// The newest bars, at most `count` of them.
    #[must_use]
    pub fn newest(&self, count: usize) -> Self {
        let start = self.len().saturating_sub(count);
        (start..self.len()).filter_map(|row| self.get(row)).collect()
    }

    /// What a service says in `input_digest` when it judged these bars, to the last bit; columns are taken as they are.
    ///
    /// The contract says how it is made, and `clients/conformance/window-digests.json` has examples.
    #[must_use]
    pub fn digest(&self, symbol: &str, interval: &Interval) -> String {
        self.digest_from(0, symbol, interval)
    }

    /// The same of the newest `count` bars, `None` where there are fewer.
    pub(crate) fn digest_of_newest(&self, count: usize, symbol: &str, interval: &Interval) -> Option<String> {
        let start = self.len().checked_sub(count).filter(|_| count > 0)?;
        Some(self.digest_from(start, symbol, interval))
    }

    fn digest_from(&self, start: usize, symbol: &str, interval: &Interval) -> String {
        let count = self.len().saturating_sub(start);
        let mut bytes = format!("bars/1\0{symbol}\0{interval}\0{count}\0").into_bytes();
        bytes.reserve(48 * count);
        bytes.extend(self.opened_at.iter().skip(start).flat_map(|at| at.to_le_bytes()));
        for column in [&self.open, &self.high, &self.low, &self.close, &self.volume] {
            bytes.extend(column.iter().skip(start).flat_map(|value| value.to_le_bytes()));
        }
        let mut hashed = Context::new(&SHA256);
        hashed.update(&bytes);
        hashed
            .finish()
            .as_ref()
            .iter()
            .fold(String::with_capacity(64), |mut text, byte| {
                // Writing to a string cannot fail.
                let _ = write!(text, "{byte:02x}");
                text
            })
    }

    /// Forgets all but the newest `count` bars.
    pub fn keep_newest(&mut self, count: usize) {
        let gone = self.len().saturating_sub(count);
        if gone > 0 {
            *self = self.newest(count);
        }
    }
}

impl FromIterator<Bar> for Bars {
    fn from_iter<T: IntoIterator<Item = Bar>>(bars: T) -> Self {
        let mut columns = Self::new();
        for bar in bars {
            columns.push(bar);
        }
        columns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(opened_at: i64) -> Bar {
        Bar {
            opened_at,
            open: 1.0,
            high: 2.0,
            low: 0.5,
            close: 1.5,
            volume: 3.0,
        }
    }

    #[test]
    fn the_newest_bars_are_the_last_ones() {
        let bars: Bars = (0..5).map(bar).collect();
        assert_eq!(bars.newest(2).opened_at, [3, 4]);
        assert_eq!(bars.newest(9), bars);
    }

    #[test]
    fn columns_of_different_lengths_give_no_bar() {
        let mut bars: Bars = (0..2).map(bar).collect();
        bars.close.pop();
        assert_eq!(bars.get(0), Some(bar(0)));
        assert_eq!(bars.get(1), None);
    }
}
