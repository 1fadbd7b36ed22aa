//! A bot that trades on paper: it replays bars from a file, or takes them as they come, asks a tidegate service at each bar's close what to
//! hold, fills at the next open with the backtest's costs, and keeps a ledger. On a backtest's own window its trades are the backtest's.

mod arguments;
mod bars;
mod ledger;
mod printing;
mod result;

use std::collections::HashMap;
use std::error::Error;
use std::fs;
use std::io;
use std::path::Path;
use std::pin::{Pin, pin};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tidegate_client::{Bar, Bars, BarsClock, Client, Clock, ClockKind, Config, Decision, Side, SystemClock};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tracing_subscriber::EnvFilter;

use crate::arguments::{Arguments, Paper, USAGE};
use crate::ledger::Ledger;
use crate::printing::Printer;
use crate::result::{Ended, Record, Unrecorded};

type Trouble = Box<dyn Error>;

const UNUSABLE: u8 = 2;
const UNRECORDED: u8 = 3;
/// For those who read what is printed, at the end.
const PATIENCE: Duration = Duration::from_secs(2);

#[tokio::main]
async fn main() -> ExitCode {
    let (Ok(errors), Ok(output)) = (Printer::to(io::stderr()), Printer::to(io::stdout())) else {
        return ExitCode::from(UNUSABLE);
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = errors.clone();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(move || log.clone())
        .init();
    let code = match run(output).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(trouble) => {
            tracing::error!("{trouble}");
            ExitCode::from(if trouble.is::<Unrecorded>() {
                UNRECORDED
            } else {
                UNUSABLE
            })
        }
    };
    errors.end(None, PATIENCE);
    code
}

async fn run(output: Printer) -> Result<(), Trouble> {
    let Some(arguments) = Arguments::parse(std::env::args().skip(1))? else {
        eprint!("{USAGE}");
        return Ok(());
    };
    let text = read_text(&arguments.config)?;
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect::<HashMap<String, String>>();
    let (config, paper) = arguments::settings(&text, &environment)?;
    let lines = bars::lines(&arguments.bars).map_err(|error| format!("--bars: {error}"))?;
    let mut bot = Bot::new(arguments, config, &paper, output).await?;
    let ended = bot.trade(lines).await;
    bot.end(ended).await
}

fn read_text(path: &Path) -> Result<String, Trouble> {
    fs::read_to_string(path).map_err(|error| format!("{} cannot be read: {error}", path.display()).into())
}

/// Who says what to hold.
enum Adviser {
    Service(Client),
    /// Targets that are known beforehand.
    List(std::vec::IntoIter<Side>),
}

struct Bot {
    arguments: Arguments,
    interval_ms: i64,
    dry_run: bool,
    capital: f64,
    adviser: Adviser,
    seen: Bars,
    ledger: Ledger,
    record: Record,
}

impl Bot {
    async fn new(arguments: Arguments, config: Config, paper: &Paper, output: Printer) -> Result<Self, Trouble> {
        let (interval_ms, dry_run) = (config.interval.milliseconds(), config.dry_run);
        let adviser = match &arguments.targets {
            Some(path) => Adviser::List(targets(&read_text(path)?)?.into_iter()),
            None => Adviser::Service(connect(config, arguments.clock_shift_ms).await?),
        };
        Ok(Self {
            interval_ms,
            dry_run,
            capital: paper.capital,
            adviser,
            seen: Bars::new(),
            ledger: Ledger::new(&arguments.symbol, interval_ms, paper.capital, paper.costs()),
            record: Record::begin(arguments.out.as_deref(), output).map_err(|error| format!("--out: {error}"))?,
            arguments,
        })
    }

    /// Trades until the bars end or somebody ends it.
    async fn trade(&mut self, mut lines: mpsc::Receiver<io::Result<Vec<u8>>>) -> Result<(), Trouble> {
        let mut reader = bars::Reader::new(self.interval_ms);
        let mut stop = pin!(asked_to_end());
        let mut pace = Pace::of(self.arguments.speed);
        loop {
            let line = tokio::select! {
                biased;
                () = stop.as_mut() => return Ok(()),
                line = lines.recv() => line,
            };
            let Some(line) = line else { return Ok(reader.end()?) };
            let Some(next) = reader.read(&line?)? else { continue };
            if next.bar.opened_at + self.interval_ms > self.arguments.end_at {
                return Ok(());
            }
            if next.gap_ms > 0 {
                tracing::warn!(
                    opened_at = next.bar.opened_at,
                    gap_ms = next.gap_ms,
                    "no bars for a while; traded on as after a market that was closed"
                );
            }
            self.see(next.bar);
            if next.bar.opened_at < self.arguments.start_at {
                continue;
            }
            if pace.wait(stop.as_mut()).await {
                return Ok(());
            }
            self.decide(&next.bar).await?;
        }
    }

    fn see(&mut self, bar: Bar) {
        self.seen.push(bar);
        // Not at each bar: forgetting copies all that are kept.
        let keep = self.arguments.keep;
        if self.seen.len() > keep + keep / 4 {
            self.seen.keep_newest(keep);
        }
    }

    /// Acts first and records then: a disk that is slow must not hold an order up.
    async fn decide(&mut self, bar: &Bar) -> Result<(), Trouble> {
        let ended = self.ledger.bar(bar)?;
        let advised = self.advised().await;
        if let Ok((Some(target), _)) = &advised {
            self.ledger.want(*target);
        }
        if let Some(trade) = &ended {
            self.record.trade(trade)?;
        }
        self.record.bar();
        if let (_, Some(decision)) = advised? {
            self.record.decision(&decision)?;
        }
        Ok(())
    }

    /// What to act on, if anything, and the decision that says so.
    async fn advised(&mut self) -> Result<(Option<Side>, Option<Decision>), Trouble> {
        match &mut self.adviser {
            Adviser::Service(client) => {
                let decision = client
                    .decide(&self.arguments.symbol, &self.seen, &self.ledger.position())
                    .await;
                Ok((decision.target_to_act_on(), Some(decision)))
            }
            Adviser::List(targets) => {
                let target = targets
                    .next()
                    .ok_or("--targets: one target for each decided bar is expected, there are fewer")?;
                Ok(((!self.dry_run).then_some(target), None))
            }
        }
    }

    /// Closes what is held, and says what came of it, whatever ended it. Without a record nothing more may be done, so a ledger that cannot be
    /// written is an end like any other, and has an exit code of its own.
    async fn end(mut self, ended: Result<(), Trouble>) -> Result<(), Trouble> {
        let held = self.ledger.position();
        let closed = self.close_out();
        let ended = ended.and(closed);
        let summary = self.record.summary(&Ended {
            symbol: &self.arguments.symbol,
            capital: self.capital,
            ledger: &self.ledger,
            held,
            dry_run: self.dry_run,
            error: ended.as_ref().err().map(ToString::to_string),
        });
        let written = self.record.end(&summary, PATIENCE);
        if let Adviser::Service(client) = self.adviser {
            client.close().await;
        }
        ended.and(written.map_err(Into::into))
    }

    fn close_out(&mut self) -> Result<(), Trouble> {
        if let Some(trade) = self.ledger.close_out()? {
            self.record.trade(&trade)?;
        }
        Ok(())
    }
}

fn targets(text: &str) -> Result<Vec<Side>, String> {
    let side = |line: &str| {
        line.trim()
            .parse::<i8>()
            .ok()
            .and_then(|sign| Side::try_from(sign).ok())
    };
    text.lines()
        .enumerate()
        .map(|(row, line)| {
            side(line).ok_or_else(|| format!("--targets, line {}: -1, 0 or 1 is expected, was {line:?}", row + 1))
        })
        .collect()
}

async fn connect(config: Config, shift_ms: i64) -> Result<Client, Trouble> {
    let clock: Arc<dyn Clock> = match config.clock {
        ClockKind::System => Arc::new(Shifted {
            clock: SystemClock,
            shift_ms,
        }),
        ClockKind::Bars => Arc::new(Shifted {
            clock: BarsClock::default(),
            shift_ms,
        }),
    };
    Ok(Client::builder(config).clock(clock).connect().await?)
}

/// A clock that goes wrong by so much.
struct Shifted<C> {
    clock: C,
    shift_ms: i64,
}

impl<C: Clock> Clock for Shifted<C> {
    fn at(&self, closed_at: i64) -> i64 {
        self.clock.at(closed_at).saturating_add(self.shift_ms)
    }

    fn now(&self) -> i64 {
        self.clock.now().saturating_add(self.shift_ms)
    }
}

/// When the next bar's turn is.
struct Pace {
    pause: Option<Duration>,
    next: Instant,
}

impl Pace {
    fn of(bars_per_second: f64) -> Self {
        let pause = (bars_per_second > 0.0)
            .then(|| Duration::try_from_secs_f64(1.0 / bars_per_second).ok())
            .flatten();
        Self {
            pause,
            next: Instant::now(),
        }
    }

    /// Waits for it; true where somebody ended it meanwhile.
    async fn wait(&mut self, stop: Pin<&mut impl Future<Output = ()>>) -> bool {
        let Some(pause) = self.pause else { return false };
        let due = self.next;
        // Time that a slow decision took is not made up for.
        self.next = due.max(Instant::now()) + pause;
        tokio::select! {
            biased;
            () = stop => true,
            () = sleep_until(due) => false,
        }
    }
}

/// Ends when Ctrl-C is pressed or, on Unix, the process is asked to terminate.
async fn asked_to_end() {
    let interrupted = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                () = interrupted => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    interrupted.await;
}
