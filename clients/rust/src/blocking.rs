//! The same client for programs without tokio: a runtime of its own on a thread.
//!
//! ```no_run
//! use tidegate_client::{Bars, Config, Position, blocking};
//!
//! # fn main() -> Result<(), tidegate_client::ConfigError> {
//! let client = blocking::Client::connect(Config::load("bot.toml".as_ref())?)?;
//! let decision = client.decide("EUR/USD", &Bars::new(), &Position::FLAT);
//! println!("{:?}", decision.target_to_act_on());
//! client.close();
//! # Ok(())
//! # }
//! ```

use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use crate::bars::Bars;
use crate::client::{Client as Inner, ClientBuilder, Health, State};
use crate::config::{Config, ConfigError, refuse};
use crate::deciding::Call;
use crate::decision::Decision;
use crate::fallback::without_closures;
use crate::handover::Handover;
use crate::messages::Served;
use crate::policy::Position;

/// Kept back from the deadline for this side's own decision, where the thread does not come back.
const RESERVE: Duration = Duration::from_millis(2);
/// Kept back from it on the thread, so that what it decides is here before this side decides by itself.
const THERE: Duration = Duration::from_millis(10);
/// Calls that a thread may owe an answer to. One that is stuck gets no more.
const MOST_WAITING: usize = 64;

/// A client whose calls return when they are done.
///
/// It works on any thread, inside of a tokio runtime too; there it holds the runtime's thread up like any call that blocks, so
/// [`crate::Client`] is the better one. A fallback of the bot's own runs on the client's thread; where it does not come back within the
/// deadline, nothing is held.
#[derive(Debug)]
pub struct Client {
    inner: Inner,
    handle: Handle,
    waiting: Arc<AtomicUsize>,
    end: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Client {
    /// A client with the clock and the fallback that the settings name.
    ///
    /// # Errors
    ///
    /// The first setting that is not usable; or no thread can be started.
    pub fn connect(config: Config) -> Result<Self, ConfigError> {
        Self::build(Inner::builder(config))
    }

    /// The same from a builder.
    ///
    /// # Errors
    ///
    /// The first setting that is not usable; or no thread can be started.
    pub fn build(builder: ClientBuilder) -> Result<Self, ConfigError> {
        let runtime = Builder::new_current_thread().enable_all().build().map_err(no_thread)?;
        let handle = runtime.handle().clone();
        let (made, wait) = sync_channel(1);
        let (end, ended) = oneshot::channel::<()>();
        let thread = thread::Builder::new()
            .name("tidegate-client".to_owned())
            .spawn(move || {
                runtime.block_on(async move {
                    // Nobody waits any more where `build` has failed.
                    let _ = made.send(builder.connect().await);
                    // It fails when the sender is gone, which is an end as well.
                    let _ = ended.await;
                });
                // A name server that does not answer must not keep the thread.
                runtime.shutdown_background();
            })
            .map_err(no_thread)?;
        let inner = wait.recv().map_err(|_| no_thread("the client's thread ended"))??;
        Ok(Self {
            inner,
            handle,
            waiting: Arc::default(),
            end: Some(end),
            thread: Some(thread),
        })
    }

    /// Decides what to hold from the next bar's open on; see [`crate::Client::decide`]. Returns within the deadline also when the client's
    /// thread is stuck.
    #[must_use]
    pub fn decide(&self, symbol: &str, bars: &Bars, position: &Position) -> Decision {
        let started = Instant::now();
        let whole = Duration::from_millis(self.inner.shared.config.deadline.decide_ms);
        let handover = Arc::new(Handover::default());
        let call = Call::handed_over(started, THERE.min(whole / 5), Arc::clone(&handover));
        let inner = self.inner.clone();
        let (there_symbol, there_bars, there_position) = (symbol.to_owned(), bars.clone(), *position);
        let begun = self.begin(async move {
            inner
                .decide_by(&call, &there_symbol, &there_bars, &there_position)
                .await
        });
        let in_time = |begun: &Begun<Decision>, end: Instant| {
            let left = end.saturating_duration_since(Instant::now());
            begun.wait.recv_timeout(left).ok()
        };
        let (limit, deadline) = (started + whole.saturating_sub(RESERVE.min(whole / 10)), started + whole);
        if let Some(found) = begun.as_ref().and_then(|begun| in_time(begun, limit)) {
            return found;
        }
        let counts = handover.give_up();
        if let Some(begun) = &begun {
            // It has been decided there, and counted; what is left is the way back.
            if let Some(found) = (!counts).then(|| in_time(begun, deadline)).flatten() {
                return found;
            }
            begun.task.abort();
        }
        without_closures(|| self.inner.shared.decide_alone(symbol, bars, position, started, counts))
    }

    /// What the client knows now.
    #[must_use]
    pub fn state(&self) -> State {
        self.inner.state()
    }

    /// Looks at the service now; unknown where the client's thread is stuck.
    #[allow(clippy::must_use_candidate)] // looking is what it is called for
    pub fn poll_now(&self) -> Health {
        let inner = self.inner.clone();
        self.run(self.patience(), async move { inner.poll_now().await })
            .unwrap_or_default()
    }

    /// Sends a heartbeat now; says whether it was taken.
    #[allow(clippy::must_use_candidate)] // sending is what it is called for
    pub fn heartbeat_now(&self) -> bool {
        let inner = self.inner.clone();
        self.run(self.patience(), async move { inner.heartbeat_now().await })
            .unwrap_or_default()
    }

    /// What the service last said of the strategy. Asks when nothing is known yet.
    #[must_use]
    pub fn model(&self) -> Option<Served> {
        let inner = self.inner.clone();
        self.run(self.patience(), async move { inner.model().await }).flatten()
    }

    /// The client's own metrics, as Prometheus reads them.
    #[must_use]
    pub fn metrics_text(&self) -> String {
        self.inner.metrics_text()
    }

    /// Sends a last heartbeat, writes out all decisions, and ends the thread.
    pub fn close(mut self) {
        let inner = self.inner.clone();
        if self
            .run(self.patience() + Duration::from_secs(5), inner.close())
            .is_none()
        {
            tracing::error!("the client's thread is stuck and is left behind");
        }
        self.end();
    }

    /// For what is no decision: two looks and a bit.
    fn patience(&self) -> Duration {
        Duration::from_millis(self.inner.shared.config.health.timeout_ms) * 3
    }

    /// Runs something on the client's thread; `None` where it does not come back in time, and then it goes no further.
    fn run<T: Send + 'static>(&self, limit: Duration, work: impl Future<Output = T> + Send + 'static) -> Option<T> {
        let begun = self.begin(work)?;
        begun.wait.recv_timeout(limit).ok().or_else(|| {
            begun.task.abort();
            // It may have come at the last moment.
            begun.wait.try_recv().ok()
        })
    }

    /// Begins something on the client's thread; `None` where that owes too many answers already.
    fn begin<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Option<Begun<T>> {
        let place = Place::among(&self.waiting)?;
        let (done, wait) = sync_channel(1);
        let task = self.handle.spawn(async move {
            let found = work.await;
            drop(place);
            // Whoever asked may have given up.
            let _ = done.send(found);
        });
        Some(Begun {
            wait,
            task: task.abort_handle(),
        })
    }

    fn end(&mut self) {
        drop(self.end.take());
        let Some(thread) = self.thread.take() else { return };
        // A thread that is stuck is left behind rather than waited for.
        let until = Instant::now() + Duration::from_secs(1);
        while !thread.is_finished() && Instant::now() < until {
            thread::sleep(Duration::from_millis(2));
        }
        if thread.is_finished() {
            // That it panicked is told by the panic itself.
            let _ = thread.join();
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.end();
    }
}

/// Something that runs on the client's thread.
struct Begun<T> {
    wait: Receiver<T>,
    task: AbortHandle,
}

/// One of the calls that the thread may owe an answer to.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn among(waiting: &Arc<AtomicUsize>) -> Option<Self> {
        let place = Self(Arc::clone(waiting));
        (waiting.fetch_add(1, Ordering::AcqRel) < MOST_WAITING).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

fn no_thread(error: impl Display) -> ConfigError {
    refuse("runtime", format!("the client's thread cannot run: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_is_stuck_gets_no_more_than_it_can_ever_do() {
        let waiting = Arc::default();
        let mut places: Vec<_> = (0..MOST_WAITING).filter_map(|_| Place::among(&waiting)).collect();
        assert_eq!(places.len(), MOST_WAITING);
        assert!(Place::among(&waiting).is_none() && Place::among(&waiting).is_none());
        places.pop();
        places.extend(Place::among(&waiting));
        assert_eq!(
            (places.len(), waiting.load(Ordering::Acquire)),
            (MOST_WAITING, MOST_WAITING)
        );
    }
}
