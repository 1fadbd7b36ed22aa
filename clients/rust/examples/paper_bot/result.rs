//! What came of it: each decision and each round trip as it comes, and the sums at the end.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use std::time::Duration;

use serde::Serialize;
use tidegate_client::{Decision, Position};

use crate::ledger::{Ledger, Trade};
use crate::printing::Printer;

/// A file of the record that cannot be written. Nothing is acted on without a record.
#[derive(Debug)]
pub(crate) struct Unrecorded {
    file: &'static str,
    error: io::Error,
}

impl fmt::Display for Unrecorded {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} cannot be written: {}; nothing more is acted on: make room for it, and begin anew",
            self.file, self.error
        )
    }
}

impl std::error::Error for Unrecorded {}

fn unrecorded(file: &'static str) -> impl FnOnce(io::Error) -> Unrecorded {
    move |error| Unrecorded { file, error }
}

/// Sums of a run; money in the quote currency.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Summary {
    /// What was traded.
    pub(crate) symbol: String,
    /// Bars that were decided.
    pub(crate) bars: u64,
    /// Decisions by source.
    pub(crate) decisions: BTreeMap<&'static str, u64>,
    /// Decisions without a signal by reason.
    pub(crate) reasons: BTreeMap<&'static str, u64>,
    /// The slowest decision, ms.
    pub(crate) slowest_decision_ms: f64,
    /// Round trips, the one that the end closed too.
    pub(crate) trades: u64,
    /// Before costs.
    pub(crate) gross: f64,
    /// All costs.
    pub(crate) cost: f64,
    /// Gross less cost.
    pub(crate) net: f64,
    /// Net over the capital.
    #[serde(rename = "return")]
    pub(crate) net_return: f64,
    /// Share of round trips with a profit after costs; none without round trips.
    pub(crate) win_rate: Option<f64>,
    /// Largest fall of equity from its highest close, a fraction of that; judged at the worst moment in each bar.
    pub(crate) worst_equity_fall: f64,
    /// What was held before the end closed it.
    pub(crate) end_position: Position,
    /// Whether nothing was filled.
    pub(crate) dry_run: bool,
    /// Lines that were not printed, since nobody read them; the files have them.
    pub(crate) unprinted: u64,
    /// What ended it before its time.
    pub(crate) error: Option<String>,
}

/// What the sums are of, besides what the record itself has counted.
#[derive(Debug)]
pub(crate) struct Ended<'a> {
    pub(crate) symbol: &'a str,
    pub(crate) capital: f64,
    pub(crate) ledger: &'a Ledger,
    pub(crate) held: Position,
    pub(crate) dry_run: bool,
    pub(crate) error: Option<String>,
}

/// The last line of standard output.
#[derive(Serialize)]
struct Last<'a> {
    result: &'a Summary,
}

/// Files of one run.
#[derive(Debug)]
struct Folder {
    path: PathBuf,
    decisions: File,
    fills: File,
}

/// Writes what happens, and counts it.
#[derive(Debug)]
pub(crate) struct Record {
    folder: Option<Folder>,
    output: Printer,
    bars: u64,
    decisions: BTreeMap<&'static str, u64>,
    reasons: BTreeMap<&'static str, u64>,
    slowest_decision_ms: f64,
    trades: u64,
    won: u64,
    gross: f64,
    cost: f64,
}

impl Record {
    /// A record that begins; files of an earlier run are written on, behind their last whole line.
    ///
    /// # Errors
    ///
    /// The folder or a file in it cannot be written.
    pub(crate) fn begin(folder: Option<&Path>, output: Printer) -> io::Result<Self> {
        let folder = folder.map(Folder::open).transpose()?;
        Ok(Self {
            folder,
            output,
            bars: 0,
            decisions: BTreeMap::new(),
            reasons: BTreeMap::new(),
            slowest_decision_ms: 0.0,
            trades: 0,
            won: 0,
            gross: 0.0,
            cost: 0.0,
        })
    }

    /// Counts a bar that was decided.
    pub(crate) fn bar(&mut self) {
        self.bars += 1;
    }

    /// Writes and counts a decision.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub(crate) fn decision(&mut self, decision: &Decision) -> Result<(), Unrecorded> {
        let source = match decision.source {
            tidegate_client::Source::Model => "model",
            tidegate_client::Source::Fallback => "fallback",
            tidegate_client::Source::Halt => "halt",
        };
        *self.decisions.entry(source).or_default() += 1;
        if let Some(reason) = decision.reason {
            *self.reasons.entry(reason.word()).or_default() += 1;
        }
        self.slowest_decision_ms = self.slowest_decision_ms.max(decision.elapsed_ms);
        let wrong = unrecorded("decisions.jsonl");
        let line = line(decision);
        let written = match (&line, &mut self.folder) {
            (Ok(line), Some(folder)) => folder.decisions.write_all(line),
            _ => Ok(()),
        };
        self.output.print(written.and(line).map_err(wrong)?);
        Ok(())
    }

    /// Writes and counts a round trip; it is on the disk before the next bar.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub(crate) fn trade(&mut self, trade: &Trade) -> Result<(), Unrecorded> {
        self.trades += 1;
        self.won += u64::from(trade.net_pnl > 0.0);
        self.gross += trade.gross_pnl;
        self.cost += trade.cost;
        let Some(folder) = &mut self.folder else { return Ok(()) };
        line(trade)
            .and_then(|line| folder.fills.write_all(&line))
            .and_then(|()| folder.fills.sync_data())
            .map_err(unrecorded("fills.jsonl"))
    }

    /// The sums so far.
    #[allow(clippy::cast_precision_loss)] // counts of trades are far below 2^52
    pub(crate) fn summary(&self, of: &Ended<'_>) -> Summary {
        let net = self.gross - self.cost;
        Summary {
            symbol: of.symbol.to_owned(),
            bars: self.bars,
            decisions: self.decisions.clone(),
            reasons: self.reasons.clone(),
            slowest_decision_ms: self.slowest_decision_ms,
            trades: self.trades,
            gross: self.gross,
            cost: self.cost,
            net,
            net_return: net / of.capital,
            win_rate: (self.trades > 0).then(|| self.won as f64 / self.trades as f64),
            worst_equity_fall: of.ledger.worst_fall(),
            end_position: of.held,
            dry_run: of.dry_run,
            unprinted: self.output.left_out(),
            error: of.error.clone(),
        }
    }

    /// Writes the sums: `result.json`, whole or not at all, and the last line of standard output, for which a reader has so much time.
    ///
    /// # Errors
    ///
    /// The file cannot be written; the line is printed all the same.
    pub(crate) fn end(&self, summary: &Summary, patience: Duration) -> Result<(), Unrecorded> {
        let written = self.folder.as_ref().map_or(Ok(()), |folder| folder.sum_up(summary));
        self.output.end(line(&Last { result: summary }).ok(), patience);
        written.map_err(unrecorded("result.json"))
    }
}

impl Folder {
    fn open(path: &Path) -> io::Result<Self> {
        fs::create_dir_all(path)?;
        Ok(Self {
            path: path.to_owned(),
            decisions: written_on(&path.join("decisions.jsonl"))?,
            fills: written_on(&path.join("fills.jsonl"))?,
        })
    }

    fn sum_up(&self, summary: &Summary) -> io::Result<()> {
        let (new, whole) = (self.path.join("result.json.new"), self.path.join("result.json"));
        fs::write(&new, line(summary)?)?;
        fs::rename(new, whole)
    }
}

/// Opens a file of lines to append to. Half a line, left by a bot that was killed, is cut off: joined to the next one it would spoil both.
fn written_on(path: &Path) -> io::Result<File> {
    let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
    let mut end = file.metadata()?.len();
    let whole = loop {
        if end == 0 {
            break 0;
        }
        let start = end.saturating_sub(4096);
        let mut block = Vec::new();
        file.seek(SeekFrom::Start(start))?;
        Read::by_ref(&mut file).take(end - start).read_to_end(&mut block)?;
        if let Some(at) = block.iter().rposition(|byte| *byte == b'\n') {
            break start + u64::try_from(at).unwrap_or(0) + 1;
        }
        end = start;
    };
    if whole < file.metadata()?.len() {
        tracing::warn!(file = %path.display(), "half a line at the end, of a bot that was killed, is cut off");
        file.set_len(whole)?;
    }
    Ok(file)
}

fn line(content: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(content)?;
    line.push(b'\n');
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_line_is_cut_off_before_more_is_written() {
        let path = std::env::temp_dir().join(format!("tidegate-lines-{}.jsonl", std::process::id()));
        let long = "x".repeat(10_000);
        for (before, kept) in [
            ("", ""),
            ("{}\n", "{}\n"),
            ("{}\n{\"half\":", "{}\n"),
            ("{\"half\":", ""),
            (&format!("{{}}\n{long}"), "{}\n"),
            (&format!("{long}\n{long}\n"), &format!("{long}\n{long}\n")),
        ] {
            fs::write(&path, before).unwrap();
            written_on(&path).unwrap().write_all(b"[]\n").unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), format!("{kept}[]\n"));
        }
        fs::remove_file(path).unwrap();
    }
}
