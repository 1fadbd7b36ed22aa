//! Bars as lines of CSV, from a file or as they come; a line that is no bar is refused with its number.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::PathBuf;

use tidegate_client::Bar;
use tokio::sync::mpsc;

const HEADER: &str = "opened_at,open,high,low,close,volume";
/// No line of six numbers is longer; what is, is no bar, and is not read into memory.
const LONGEST_LINE: u64 = 1024;
const LINES_AHEAD: usize = 256;

/// Where bars come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A file, from its beginning to its end.
    File(PathBuf),
    /// Standard input, until it ends.
    StandardInput,
}

/// A line that is no bar, or a bar that cannot follow the one before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    line: u64,
    message: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "bars, line {}: {}", self.line, self.message)
    }
}

impl std::error::Error for Refused {}

/// A bar, and how many milliseconds nobody knows between it and the one before.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Next {
    /// The bar.
    pub(crate) bar: Bar,
    /// 0 where it opens when the one before closes.
    pub(crate) gap_ms: i64,
}

/// Reads lines on a thread of its own: standard input cannot be waited for otherwise without keeping the program from its end.
///
/// # Errors
///
/// The file cannot be opened, or there is no thread.
pub(crate) fn lines(origin: &Origin) -> io::Result<mpsc::Receiver<io::Result<Vec<u8>>>> {
    let reader: Box<dyn Read + Send> = match origin {
        Origin::File(path) => Box::new(File::open(path)?),
        Origin::StandardInput => Box::new(io::stdin()),
    };
    let (sender, receiver) = mpsc::channel(LINES_AHEAD);
    std::thread::Builder::new().name("bars".to_owned()).spawn(move || {
        let mut reader = BufReader::new(reader);
        loop {
            let mut line = Vec::new();
            let read = reader.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line);
            let last = !matches!(read, Ok(1..));
            let message = match read {
                Ok(0) => return,
                Ok(_) => Ok(line),
                Err(error) => Err(error),
            };
            if sender.blocking_send(message).is_err() || last {
                return;
            }
        }
    })?;
    Ok(receiver)
}

/// Makes bars of lines, in their order.
#[derive(Debug)]
pub(crate) struct Reader {
    interval_ms: i64,
    line: u64,
    newest: Option<i64>,
}

impl Reader {
    /// A reader before the header.
    pub(crate) fn new(interval_ms: i64) -> Self {
        Self {
            interval_ms,
            line: 0,
            newest: None,
        }
    }

    /// The bar of the next line, `None` for the header and for empty lines.
    ///
    /// # Errors
    ///
    /// A line that is no bar, that has no end, or whose bar opens before the one before it has closed.
    pub(crate) fn read(&mut self, line: &[u8]) -> Result<Option<Next>, Refused> {
        self.line += 1;
        let read = self.parse(line).map_err(|message| Refused {
            line: self.line,
            message,
        })?;
        if let Some(next) = read {
            self.newest = Some(next.bar.opened_at);
        }
        Ok(read)
    }

    /// That there was a header at all.
    ///
    /// # Errors
    ///
    /// There was not a line.
    pub(crate) fn end(&self) -> Result<(), Refused> {
        if self.line > 0 {
            return Ok(());
        }
        Err(Refused {
            line: 1,
            message: format!("{HEADER:?} is expected, and nothing came"),
        })
    }

    fn parse(&self, line: &[u8]) -> Result<Option<Next>, String> {
        // A writer that was killed leaves half a number that looks like a whole one.
        let Some(text) = line.strip_suffix(b"\n") else {
            return Err("it has no end, so it may be half a line; a line end after each bar is expected".to_owned());
        };
        let text = std::str::from_utf8(text)
            .map_err(|_| "UTF-8 is expected".to_owned())?
            .trim();
        if self.line == 1 {
            return if text == HEADER {
                Ok(None)
            } else {
                Err(format!("the header {HEADER:?} is expected, was {text:?}"))
            };
        }
        if text.is_empty() {
            return Ok(None);
        }
        let bar = bar(text)?;
        Ok(Some(Next {
            bar,
            gap_ms: self.gap_ms(&bar)?,
        }))
    }

    fn gap_ms(&self, bar: &Bar) -> Result<i64, String> {
        let Some(newest) = self.newest else { return Ok(0) };
        let expected = newest + self.interval_ms;
        if bar.opened_at < expected {
            return Err(format!(
                "opened_at: {expected} or later is expected after {newest}, was {}",
                bar.opened_at
            ));
        }
        Ok(bar.opened_at - expected)
    }
}

fn bar(text: &str) -> Result<Bar, String> {
    let fields: Vec<&str> = text.split(',').map(str::trim).collect();
    let [opened_at, open, high, low, close, volume] = fields.as_slice() else {
        return Err(format!(
            "six values ({HEADER}) are expected, were {}: {text:?}",
            fields.len()
        ));
    };
    let bar = Bar {
        opened_at: time(opened_at)?,
        open: price("open", open)?,
        high: price("high", high)?,
        low: price("low", low)?,
        close: price("close", close)?,
        volume: number("volume", volume, "a number of 0 or above", |value| value >= 0.0)?,
    };
    if bar.high < bar.open.max(bar.close) {
        return Err(format!("high: not below open and close is expected, was {}", bar.high));
    }
    if bar.low > bar.open.min(bar.close) {
        return Err(format!("low: not above open and close is expected, was {}", bar.low));
    }
    Ok(bar)
}

fn time(text: &str) -> Result<i64, String> {
    // Beyond 2^53 the service would not take it.
    let known = text.parse::<i64>().ok().filter(|time| (0..=1 << 53).contains(time));
    known.ok_or_else(|| format!("opened_at: UTC milliseconds are expected, was {text:?}"))
}

fn price(name: &str, text: &str) -> Result<f64, String> {
    number(name, text, "a number above 0", |value| value > 0.0)
}

fn number(name: &str, text: &str, expected: &str, fits: impl Fn(f64) -> bool) -> Result<f64, String> {
    let known = text
        .parse::<f64>()
        .ok()
        .filter(|value| value.is_finite() && fits(*value));
    known.ok_or_else(|| format!("{name}: {expected} is expected, was {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000;

    fn read(lines: &[&str]) -> Result<Vec<Next>, Refused> {
        let mut reader = Reader::new(MINUTE);
        let read: Result<Vec<_>, _> = lines.iter().map(|line| reader.read(line.as_bytes())).collect();
        read.map(|bars| bars.into_iter().flatten().collect())
    }

    fn after_the_header(line: &str) -> Result<Vec<Next>, Refused> {
        read(&[&format!("{HEADER}\n"), "60000,1,2,0.5,1.5,3\n", line])
    }

    #[test]
    fn numbers_are_read_to_the_bit_and_windows_line_ends_are_fine() {
        let bars = read(&[
            &format!("{HEADER}\r\n"),
            "0,0.1,0.30000000000000004,1e-3,0.2,0\r\n",
            "\n",
        ])
        .unwrap();
        let bar = Bar {
            opened_at: 0,
            open: 0.1,
            high: 0.1 + 0.2,
            low: 0.001,
            close: 0.2,
            volume: 0.0,
        };
        assert_eq!(bars, [Next { bar, gap_ms: 0 }]);
    }

    #[test]
    fn a_gap_is_told_and_no_bar_goes_back_in_time() {
        let gaps: Vec<i64> = after_the_header("180000,1,2,0.5,1.5,3\n")
            .unwrap()
            .iter()
            .map(|next| next.gap_ms)
            .collect();
        assert_eq!(gaps, [0, MINUTE]);
        for opened_at in [0, 60_000, 119_999] {
            let refused = after_the_header(&format!("{opened_at},1,2,0.5,1.5,3\n")).unwrap_err();
            assert_eq!(
                refused.to_string(),
                format!("bars, line 3: opened_at: 120000 or later is expected after 60000, was {opened_at}")
            );
        }
        assert!(after_the_header("120000,1,2,0.5,1.5,3\n").is_ok());
    }

    #[test]
    fn a_line_that_is_no_bar_is_refused_with_what_was_expected() {
        for (line, expected) in [
            ("120000,1,2,0.5,1.5", "six values"),
            ("120000,1,2,0.5,1.5,3,4\n", "six values"),
            ("120000.5,1,2,0.5,1.5,3\n", "opened_at: UTC milliseconds"),
            ("-1,1,2,0.5,1.5,3\n", "opened_at: UTC milliseconds"),
            ("99999999999999999999,1,2,0.5,1.5,3\n", "opened_at: UTC milliseconds"),
            ("120000,NaN,2,0.5,1.5,3\n", "open: a number above 0"),
            ("120000,1,inf,0.5,1.5,3\n", "high: a number above 0"),
            ("120000,1,2,0,1.5,3\n", "low: a number above 0"),
            ("120000,1,2,0.5,x,3\n", "close: a number above 0"),
            ("120000,1,2,0.5,1.5,-3\n", "volume: a number of 0 or above"),
            ("120000,1,1.2,0.5,1.5,3\n", "high: not below"),
            ("120000,1,2,1.1,1.5,3\n", "low: not above"),
            ("120000,1,2,0.5,1.5,3", "it has no end"),
        ] {
            let line = if expected == "six values" {
                format!("{}\n", line.trim())
            } else {
                line.to_owned()
            };
            let refused = after_the_header(&line).unwrap_err();
            assert!(
                refused.to_string().starts_with(&format!("bars, line 3: {expected}")),
                "{refused}"
            );
        }
        assert_eq!(after_the_header("120000,1,2,0.5,1.5,3\n").unwrap().len(), 2);
    }

    #[test]
    fn without_its_header_nothing_is_read() {
        assert_eq!(read(&["0,1,2,0.5,1.5,3\n"]).unwrap_err().line, 1);
        assert!(Reader::new(MINUTE).end().is_err());
    }

    #[test]
    fn a_line_that_does_not_end_is_cut_and_refused() {
        let path = std::env::temp_dir().join(format!("tidegate-endless-{}.csv", std::process::id()));
        std::fs::write(&path, "9".repeat(5000)).unwrap();
        let mut lines = lines(&Origin::File(path.clone())).unwrap();
        let line = lines.blocking_recv().unwrap().unwrap();
        std::fs::remove_file(path).unwrap();
        assert_eq!(line.len(), 1024);
        assert!(
            Reader::new(MINUTE)
                .read(&line)
                .unwrap_err()
                .message
                .starts_with("it has no end")
        );
    }
}
