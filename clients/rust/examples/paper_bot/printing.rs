//! What is printed, by a thread of its own: nobody who reads slowly, not at all, or no more may hold a trade up.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

/// Lines that may wait for a reader: a replay's reader may fall behind by some ten megabytes.
const WAITING: usize = 16_384;

enum Line {
    Text(Vec<u8>),
    Flush(SyncSender<()>),
}

/// Hands lines over, and never waits.
#[derive(Debug, Clone)]
pub(crate) struct Printer {
    lines: SyncSender<Line>,
    left_out: Arc<AtomicU64>,
}

impl Printer {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// There is none.
    pub(crate) fn to(stream: impl Write + Send + 'static) -> io::Result<Self> {
        Self::with_room(stream, WAITING)
    }

    fn with_room(stream: impl Write + Send + 'static, room: usize) -> io::Result<Self> {
        let (lines, waiting) = sync_channel(room);
        let left_out = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&left_out);
        thread::Builder::new()
            .name("printing".to_owned())
            .spawn(move || print_on(stream, &waiting, &counted))?;
        Ok(Self { lines, left_out })
    }

    /// Prints a line, where there is room for it.
    pub(crate) fn print(&self, line: Vec<u8>) {
        if self.lines.try_send(Line::Text(line)).is_err() {
            self.left_out.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Prints a last line and waits until all is printed, so long at most.
    pub(crate) fn end(&self, last: Option<Vec<u8>>, patience: Duration) {
        let until = Instant::now() + patience;
        let (done, wait) = sync_channel(1);
        for line in last.map(Line::Text).into_iter().chain([Line::Flush(done)]) {
            if !self.hand_over(line, until) {
                return;
            }
        }
        // Whoever has not read by now does not read.
        let _ = wait.recv_timeout(until.saturating_duration_since(Instant::now()));
    }

    /// How many lines found no room, or no reader.
    pub(crate) fn left_out(&self) -> u64 {
        self.left_out.load(Ordering::Relaxed)
    }

    fn hand_over(&self, mut line: Line, until: Instant) -> bool {
        while let Err(TrySendError::Full(back)) = self.lines.try_send(line) {
            if Instant::now() >= until {
                self.left_out.fetch_add(1, Ordering::Relaxed);
                return false;
            }
            line = back;
            thread::sleep(Duration::from_millis(5));
        }
        true
    }
}

/// For the log, each of whose events is written at once.
impl Write for Printer {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.print(text.to_vec());
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn print_on(mut stream: impl Write, waiting: &Receiver<Line>, left_out: &AtomicU64) {
    let mut is_read = true;
    for line in waiting {
        match line {
            Line::Text(text) => {
                // A reader that has left does not come back.
                is_read = is_read && stream.write_all(&text).and_then(|()| stream.flush()).is_ok();
                if !is_read {
                    left_out.fetch_add(1, Ordering::Relaxed);
                }
            }
            Line::Flush(done) => {
                // Nobody may wait any more.
                let _ = done.send(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    #[derive(Clone, Default)]
    struct Read(Arc<Mutex<Vec<u8>>>);

    impl Write for Read {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(text);
            Ok(text.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Gone;

    impl Write for Gone {
        fn write(&mut self, _text: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

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

    #[test]
    fn lines_are_printed_in_their_order_and_the_last_one_is_waited_for() {
        let read = Read::default();
        let printer = Printer::to(read.clone()).unwrap();
        (0..100).for_each(|number| printer.print(format!("{number}\n").into_bytes()));
        printer.end(Some(b"end\n".to_vec()), PATIENCE);
        let text = String::from_utf8(read.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 101);
        assert!(text.starts_with("0\n1\n") && text.ends_with("99\nend\n"), "{text}");
        assert_eq!(printer.left_out(), 0);
    }

    #[test]
    fn a_reader_that_has_left_is_no_error() {
        let printer = Printer::to(Gone).unwrap();
        (0..3).for_each(|_| printer.print(b"x\n".to_vec()));
        printer.end(None, PATIENCE);
        assert_eq!(printer.left_out(), 3);
    }

    #[test]
    fn a_reader_that_reads_nothing_costs_lines_and_no_time() {
        let (go_on, wait) = sync_channel(0);
        let printer = Printer::with_room(Stuck(wait), 4).unwrap();
        (0..20).for_each(|_| printer.print(b"x\n".to_vec()));
        // One may be with the thread already.
        assert!((15..=16).contains(&printer.left_out()));
        printer.end(Some(b"end\n".to_vec()), Duration::from_millis(20));
        drop(go_on);
    }
}
