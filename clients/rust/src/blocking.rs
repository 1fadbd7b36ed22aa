//! The same client for programs without tokio: a runtime of its own on a thread.

use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use crate::bars::Bars;
use crate::client::{Client as Inner, ClientBuilder, Health, State};
use crate::config::{Config, ConfigError};
use crate::decision::Decision;
use crate::messages::Served;
use crate::policy::Position;

/// How much longer than the deadline the thread is waited for before this side decides by itself.
const GRACE: Duration = Duration::from_millis(50);

/// A client whose calls return when they are done.
#[derive(Debug)]
pub struct Client {
    inner: Inner,
    handle: Handle,
    end: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
    decide_ms: u64,
}

impl Client {
    /// A client with the clock and the fallback that the settings name.
    ///
    /// # Errors
    ///
    /// The first setting that is not usable.
    pub fn connect(config: Config) -> Result<Self, ConfigError> {
        Self::build(Inner::builder(config))
    }

    /// The same from a builder.
    ///
    /// # Errors
    ///
    /// The first setting that is not usable; or no thread can be started.
    pub fn build(builder: ClientBuilder) -> Result<Self, ConfigError> {
        let no_thread = |error: std::io::Error| ConfigError {
            setting: "runtime".to_owned(),
            message: error.to_string(),
        };
        let runtime = Builder::new_current_thread().enable_all().build().map_err(no_thread)?;
        let handle = runtime.handle().clone();
        let (made, wait) = sync_channel(1);
        let (end, ended) = oneshot::channel::<()>();
        let thread = thread::Builder::new()
            .name("tidegate-client".to_owned())
            .spawn(move || {
                runtime.block_on(async move {
                    let _ = made.send(builder.connect().await);
                    // Also when the sender is gone.
                    let _ = ended.await;
                });
            })
            .map_err(no_thread)?;
        let inner = wait.recv().map_err(|_| ConfigError {
            setting: "runtime".to_owned(),
            message: "the client's thread ended".to_owned(),
        })??;
        let decide_ms = inner.shared.config.deadline.decide_ms;
        Ok(Self {
            inner,
            handle,
            end: Some(end),
            thread: Some(thread),
            decide_ms,
        })
    }

    /// Decides what to hold from the next bar's open on; see [`crate::Client::decide`]. Works on any thread, inside of tokio too.
    #[must_use]
    pub fn decide(&self, symbol: &str, bars: &Bars, position: &Position) -> Decision {
        let started = Instant::now();
        let (inner, symbol_there, bars_there, position_there) =
            (self.inner.clone(), symbol.to_owned(), bars.clone(), *position);
        let limit = Duration::from_millis(self.decide_ms) + GRACE;
        self.run(limit, async move {
            inner.decide(&symbol_there, &bars_there, &position_there).await
        })
        .unwrap_or_else(|| self.inner.shared.decide_alone(symbol, bars, position, started))
    }

    /// What the client knows now.
    #[must_use]
    pub fn state(&self) -> State {
        self.inner.state()
    }

    /// Looks at the service now.
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

    /// What the service last said of the strategy.
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

    /// Sends a last heartbeat and ends the thread.
    pub fn close(mut self) {
        let inner = self.inner.clone();
        let _ = self.run(self.patience() + Duration::from_secs(5), inner.close());
        self.end();
    }

    fn patience(&self) -> Duration {
        Duration::from_millis(self.inner.shared.config.health.timeout_ms) * 3
    }

    fn run<T: Send + 'static>(&self, limit: Duration, work: impl Future<Output = T> + Send + 'static) -> Option<T> {
        let (done, wait) = sync_channel(1);
        self.handle.spawn(async move {
            let _ = done.send(work.await);
        });
        wait.recv_timeout(limit).ok()
    }

    fn end(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // A thread that is stuck is left behind rather than waited for.
            let patience = Instant::now() + Duration::from_secs(1);
            while !thread.is_finished() && Instant::now() < patience {
                thread::sleep(Duration::from_millis(2));
            }
            if thread.is_finished() {
                let _ = thread.join();
            }
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.end();
    }
}
