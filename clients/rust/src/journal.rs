//! The record of decisions: a file of JSON lines, written by a thread of its own, so that a slow disk holds no decision up.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

use crate::config::{ConfigError, refuse};
use crate::decision::Decision;

const WAITING: usize = 4096;
const FLUSH: Duration = Duration::from_secs(5);

enum Line {
    Decision(Box<Decision>),
    Flush(SyncSender<()>),
}

pub(crate) struct Journal {
    lines: SyncSender<Line>,
    lost: AtomicU64,
}

impl Journal {
    pub(crate) fn open(path: &Path) -> Result<Self, ConfigError> {
        let refused = |error: std::io::Error| {
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
        finish_torn_line(&mut file).map_err(refused)?;
        let (lines, waiting) = sync_channel(WAITING);
        let name = path.display().to_string();
        thread::Builder::new()
            .name("tidegate-decisions".to_owned())
            .spawn(move || write_on(file, &name, &waiting))
            .map_err(refused)?;
        Ok(Self {
            lines,
            lost: AtomicU64::new(0),
        })
    }

    /// Hands a decision over; never waits. What finds no place is counted and told.
    pub(crate) fn write(&self, decision: &Decision) {
        match self.lines.try_send(Line::Decision(Box::new(decision.clone()))) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                let lost = self.lost.fetch_add(1, Ordering::Relaxed) + 1;
                tracing::error!(lost, "a decision was not recorded: the disk does not keep up");
            }
        }
    }

    /// Waits until what was handed over is in the file, a few seconds at most.
    pub(crate) fn flush(&self) {
        let (done, wait) = sync_channel(1);
        if self.lines.send(Line::Flush(done)).is_ok() {
            let _ = wait.recv_timeout(FLUSH);
        }
    }
}

/// A line that an earlier run could not finish stays as it is, and the next one begins behind it.
fn finish_torn_line(file: &mut File) -> std::io::Result<()> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(());
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0_u8; 1];
    file.read_exact(&mut last)?;
    if last == *b"\n" { Ok(()) } else { file.write_all(b"\n") }
}

fn write_on(mut file: File, name: &str, waiting: &Receiver<Line>) {
    for line in waiting {
        match line {
            Line::Decision(decision) => {
                let Ok(mut text) = serde_json::to_vec(&*decision) else {
                    continue;
                };
                text.push(b'\n');
                if let Err(error) = file.write_all(&text) {
                    tracing::error!("a decision was not recorded in {name}: {error}");
                }
            }
            Line::Flush(done) => {
                let _ = file.sync_data();
                let _ = done.send(());
            }
        }
    }
}
