//! Bar intervals such as `1m`, `5m`, `1h`, `1d`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A bar's span of time: a number from 1 to 9999 and `s`, `m`, `h` or `d`.
///
/// ```
/// let interval: tidegate_client::Interval = "5m".parse().unwrap();
/// assert_eq!(interval.milliseconds(), 300_000);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Interval {
    text: String,
    milliseconds: i64,
}

impl Interval {
    /// The span, ms.
    #[must_use]
    pub fn milliseconds(&self) -> i64 {
        self.milliseconds
    }
}

impl FromStr for Interval {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refused = || format!("interval {text:?} is unknown: a number and s, m, h or d is expected, like 5m");
        let unit_ms = match text.chars().last() {
            Some('s') => 1_000,
            Some('m') => 60_000,
            Some('h') => 3_600_000,
            Some('d') => 86_400_000,
            _ => return Err(refused()),
        };
        let digits = text.get(..text.len() - 1).ok_or_else(refused)?;
        let plain = !digits.starts_with('0') && digits.len() <= 4 && digits.bytes().all(|byte| byte.is_ascii_digit());
        let count: i64 = digits.parse().ok().filter(|_| plain).ok_or_else(refused)?;
        Ok(Self {
            text: text.to_owned(),
            milliseconds: count * unit_ms,
        })
    }
}

impl TryFrom<String> for Interval {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Interval> for String {
    fn from(interval: Interval) -> Self {
        interval.text
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_counts_of_units() {
        for (text, expected) in [
            ("1s", 1_000),
            ("15m", 900_000),
            ("1h", 3_600_000),
            ("9999d", 863_913_600_000),
        ] {
            assert_eq!(text.parse::<Interval>().map(|one| one.milliseconds()), Ok(expected));
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "m", "0m", "05m", "10000m", "5", "5w", "-5m", "5 m", "5ü"] {
            assert!(text.parse::<Interval>().is_err(), "{text}");
        }
    }
}
