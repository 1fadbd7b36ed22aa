//! The record of decisions: a file of JSON lines, written by a thread of its own, so that a slow disk holds no decision up.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::config::{ConfigError, refuse};
use crate::decision::Decision;

/// Decisions that may wait for the disk: days of one-minute bars.
const WAITING: usize = 4096;
/// How long `flush` waits for the disk.
const PATIENCE: Duration = Duration::from_secs(5);
/// The same when the last client is dropped without `close`.
const PATIENCE_AT_THE_END: Duration = Duration::from_secs(1);

enum Line {
    Decision(Box<Decision>),
    Flush(SyncSender<()>),
}

pub(crate) struct Journal {
    lines: SyncSender<Line>,
    lost: Arc<AtomicU64>,
}

impl Journal {
    /// Opens the file for appending, and makes its folder where there is none.
    pub(crate) fn open(path: &Path) -> Result<Self, ConfigError> {
        let refused = |error: io::Error| {
            refuse(
                "decisions.file",
                format!("{} cannot be written: {error}", path.display()),
            )
        };
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(refused)?;
        }
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .read(true)
            .open(path)
            .map_err(refused)?;
        let torn = ends_within_a_line(&mut file).map_err(refused)?;
        Self::over(file, torn, path.display().to_string()).map_err(refused)
    }

    fn over(file: impl Disk, torn: bool, name: String) -> io::Result<Self> {
        let (lines, waiting) = sync_channel(WAITING);
        let lost = Arc::new(AtomicU64::new(0));
        let mut writer = Writer {
            file,
            torn,
            name,
            lost: Arc::clone(&lost),
        };
        thread::Builder::new()
            .name("tidegate-decisions".to_owned())
            .spawn(move || writer.run(&waiting))?;
        Ok(Self { lines, lost })
    }

    /// Hands a decision over; never waits. What finds no place is counted and told.
    pub(crate) fn write(&self, decision: &Decision) {
        if self.lines.try_send(Line::Decision(Box::new(decision.clone()))).is_err() {
            lose(&self.lost, "the disk does not keep up");
        }
    }

    /// Waits until what was handed over is on the disk, a few seconds at most.
    pub(crate) fn flush(&self) {
        self.flush_within(PATIENCE);
    }

    fn flush_within(&self, patience: Duration) {
        let until = Instant::now() + patience;
        let (done, wait) = sync_channel(1);
        let mut line = Line::Flush(done);
        // `send` would wait without end where the disk hangs and the queue is full.
        while let Err(TrySendError::Full(back)) = self.lines.try_send(line) {
            if Instant::now() >= until {
                return tracing::error!("decisions that wait for the disk may be lost: it does not answer");
            }
            line = back;
            thread::sleep(Duration::from_millis(5));
        }
        if wait
            .recv_timeout(until.saturating_duration_since(Instant::now()))
            .is_err()
        {
            tracing::error!("decisions that wait for the disk may be lost: it does not answer");
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        // A program that ends at once would take the last lines with it.
        self.flush_within(PATIENCE_AT_THE_END);
    }
}

/// Counts a decision that is not in the file; tells of it at powers of two, since a full disk loses every line.
fn lose(lost: &AtomicU64, why: &str) {
    let lost = lost.fetch_add(1, Ordering::Relaxed) + 1;
    if lost.is_power_of_two() {
        tracing::error!(lost, "a decision was not recorded: {why}");
    }
}

/// Whether an earlier run could not finish its last line.
fn ends_within_a_line(file: &mut File) -> io::Result<bool> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(false);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0_u8; 1];
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

/// What the thread writes to.
trait Disk: Write + Send + 'static {
    fn sync(&mut self) -> io::Result<()>;
}

impl Disk for File {
    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

struct Writer<D> {
    file: D,
    /// Whether the file may end within a line: the next one begins with a newline then, and only the torn one is lost.
    torn: bool,
    name: String,
    lost: Arc<AtomicU64>,
}

impl<D: Disk> Writer<D> {
    fn run(&mut self, waiting: &Receiver<Line>) {
        for line in waiting {
            match line {
                Line::Decision(decision) => {
                    if let Err(error) = self.append(&decision) {
                        lose(&self.lost, &format!("{}: {error}", self.name));
                    }
                }
                Line::Flush(done) => {
                    if let Err(error) = self.file.sync() {
                        tracing::error!("{} may not be on the disk: {error}", self.name);
                    }
                    // Nobody may wait any more.
                    let _ = done.send(());
                }
            }
        }
    }

    fn append(&mut self, decision: &Decision) -> io::Result<()> {
        let mut text = if self.torn { b"\n".to_vec() } else { Vec::new() };
        serde_json::to_writer(&mut text, decision)?;
        text.push(b'\n');
        self.torn = true;
        self.file.write_all(&text)?;
        self.torn = false;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Mutex;

    use super::*;
    use crate::breaker::BreakerState;
    use crate::decision::{FallbackUsed, Reason, Source};
    use crate::policy::Side;

    fn decision(at: i64) -> Decision {
        Decision {
            decided_at: at,
            bot: "bot".to_owned(),
            strategy: "eurusd".to_owned(),
            symbol: "EUR/USD".to_owned(),
            bar_closed_at: None,
            target: Side::Flat,
            source: Source::Fallback,
            reason: Some(Reason::Timeout),
            detail: Some("two\nlines".to_owned()),
            version: None,
            bundle_digest: None,
            probability: None,
            fallback: Some(FallbackUsed::Flat),
            attempts: 1,
            elapsed_ms: 0.5,
            breaker: BreakerState::Closed,
            dry_run: true,
            request_id: None,
        }
    }

    fn times(text: &str) -> Vec<i64> {
        text.lines()
            .filter_map(|line| serde_json::from_str::<Decision>(line).ok())
            .map(|one| one.decided_at)
            .collect()
    }

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            Self(std::env::temp_dir().join(format!("tidegate-journal-{}-{name}", std::process::id())))
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn every_decision_is_one_line_and_a_torn_one_stays_alone() {
        let folder = Folder::new("torn");
        let path = folder.0.join("deep/decisions.jsonl");
        for (at, rest) in [(1, ""), (2, "{\"decided_at\":"), (3, "")] {
            let journal = Journal::open(&path).unwrap();
            journal.write(&decision(at));
            journal.flush();
            OpenOptions::new()
                .append(true)
                .open(&path)
                .unwrap()
                .write_all(rest.as_bytes())
                .unwrap();
        }
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(times(&text), [1, 2, 3]);
        assert_eq!(text.lines().nth(2), Some("{\"decided_at\":"));
        assert_eq!(text.lines().count(), 4);
    }

    #[test]
    fn dropping_the_last_client_loses_nothing() {
        let folder = Folder::new("drop");
        let path = folder.0.join("decisions.jsonl");
        let journal = Journal::open(&path).unwrap();
        (0..100).for_each(|at| journal.write(&decision(at)));
        drop(journal);
        assert_eq!(
            times(&std::fs::read_to_string(&path).unwrap()),
            (0..100).collect::<Vec<_>>()
        );
    }

    /// A disk that is full for a while: half of a line still fits.
    struct Full {
        written: Arc<Mutex<Vec<u8>>>,
        calls: usize,
    }

    impl Write for Full {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            self.calls += 1;
            let mut written = self.written.lock().unwrap();
            match self.calls {
                2 => {
                    written.extend_from_slice(&text[..10]);
                    Ok(10)
                }
                3 => Err(io::ErrorKind::StorageFull.into()),
                _ => {
                    written.extend_from_slice(text);
                    Ok(text.len())
                }
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Disk for Full {
        fn sync(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_costs_the_lines_that_did_not_fit_and_no_other() {
        let written = Arc::new(Mutex::new(Vec::new()));
        let disk = Full {
            written: Arc::clone(&written),
            calls: 0,
        };
        let journal = Journal::over(disk, false, "here".to_owned()).unwrap();
        (1..=4).for_each(|at| journal.write(&decision(at)));
        journal.flush();
        assert_eq!(journal.lost.load(Ordering::Relaxed), 1);
        assert_eq!(
            times(&String::from_utf8(written.lock().unwrap().clone()).unwrap()),
            [1, 3, 4]
        );
    }

    /// A disk that does not answer until it is let go.
    struct Stuck(Receiver<()>);

    impl Write for Stuck {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            Ok(text.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Disk for Stuck {
        fn sync(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_disk_that_hangs_holds_nobody_up_and_what_finds_no_place_is_counted() {
        let (go_on, wait) = sync_channel(0);
        let journal = Journal::over(Stuck(wait), false, "here".to_owned()).unwrap();
        (0..WAITING + 10).for_each(|_| journal.write(&decision(0)));
        // One may be with the thread already.
        assert!((9..=10).contains(&journal.lost.load(Ordering::Relaxed)));
        let asked = Instant::now();
        journal.flush_within(Duration::from_millis(20));
        assert!(asked.elapsed() < Duration::from_secs(2));
        drop(go_on);
    }
}
