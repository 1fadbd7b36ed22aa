//! The client: one decision for each closed bar, within its deadline, whatever happens to the service.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tracing::Instrument;

use crate::bars::Bars;
use crate::breaker::BreakerState;
use crate::clock::{BarsClock, Clock, SystemClock};
use crate::config::{ClockKind, Config, ConfigError};
use crate::deciding::Call;
use crate::decision::{Decision, Reason, Source};
use crate::fallback::Fallback;
use crate::health;
use crate::journal::Journal;
use crate::messages::Served;
use crate::metrics::Metrics;
use crate::policy::Position;
use crate::shared::{Parts, Shared};
use crate::transport::Transport;

/// What the last look at the service in the background came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// There was none yet.
    #[default]
    Unknown,
    /// Requests should be sent.
    Ready,
    /// It answers, and should not be sent requests.
    NotReady,
    /// It does not answer.
    Unreachable,
}

/// What the client knows at a moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// The circuit breaker.
    pub breaker: BreakerState,
    /// The last look at the service.
    pub health: Health,
    /// The last version that gave a signal.
    pub version: Option<u64>,
    /// Its bundle.
    pub bundle_digest: Option<String>,
    /// Decisions by source since the start.
    pub decisions: BTreeMap<String, u64>,
    /// The service's clock less this one, ms, at the last answer that told it.
    pub clock_skew_ms: Option<i64>,
    /// Whether the last answer said that nothing may be held.
    pub halted: bool,
}

/// A client of one strategy. Cloning it is cheap, and clones are the same client.
#[derive(Clone)]
pub struct Client {
    pub(crate) shared: Arc<Shared>,
}

impl fmt::Debug for Client {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Client")
            .field("strategy", &self.shared.config.strategy)
            .finish_non_exhaustive()
    }
}

/// Builds a [`Client`] with a clock or a fallback of your own.
pub struct ClientBuilder {
    config: Config,
    clock: Option<Arc<dyn Clock>>,
    fallback: Option<Fallback>,
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ClientBuilder")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl ClientBuilder {
    /// Tells the time by this clock, whatever the settings name.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Falls back to this, whatever the settings name.
    #[must_use]
    pub fn fallback(mut self, fallback: Fallback) -> Self {
        self.fallback = Some(fallback);
        self
    }

    /// Checks the settings and starts what runs in the background; nothing is asked of the service yet.
    ///
    /// Must be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// The first setting that is not usable: out of bounds, a file that cannot be read, a port that is taken.
    pub async fn connect(self) -> Result<Client, ConfigError> {
        let config = self.config.checked()?;
        let transport = Transport::new(&config)?;
        let journal = config.decisions.file.as_deref().map(Journal::open).transpose()?;
        let clock = self.clock.unwrap_or_else(|| match config.clock {
            ClockKind::System => Arc::new(SystemClock),
            ClockKind::Bars => Arc::new(BarsClock::default()),
        });
        let metrics = Arc::new(Metrics::new(&config.strategy, config.dry_run));
        let mut background = Vec::new();
        // The last thing that can fail: a port that is taken must not be left behind by another refusal.
        if let Some(address) = &config.metrics.address {
            background.push(crate::metrics::serve(address, Arc::clone(&metrics)).await?);
        }
        let shared = Arc::new(Shared::new(Parts {
            fallback: self.fallback.unwrap_or_else(|| Fallback::from(&config.fallback)),
            transport,
            clock,
            metrics,
            journal,
            config,
        }));
        shared.keep(background);
        shared.keep(health::start(&shared));
        Ok(Client { shared })
    }
}

impl Client {
    /// Settings of one's own go on from here.
    #[must_use]
    pub fn builder(config: Config) -> ClientBuilder {
        ClientBuilder {
            config,
            clock: None,
            fallback: None,
        }
    }

    /// A client with the clock and the fallback that the settings name; see [`ClientBuilder::connect`].
    ///
    /// # Errors
    ///
    /// The first setting that is not usable.
    pub async fn connect(config: Config) -> Result<Self, ConfigError> {
        Self::builder(config).connect().await
    }

    /// Decides what to hold from the next bar's open on. Always answers, within `deadline.decide_ms`.
    ///
    /// `bars` are the bot's own closed bars, the newest last, at least the model's lookback; `position` is what it holds at the newest
    /// bar's close.
    pub async fn decide(&self, symbol: &str, bars: &Bars, position: &Position) -> Decision {
        self.decide_by(&Call::now(), symbol, bars, position).await
    }

    pub(crate) async fn decide_by(&self, call: &Call, symbol: &str, bars: &Bars, position: &Position) -> Decision {
        let shared = &self.shared;
        let span = tracing::info_span!(
            "decide",
            strategy = %shared.config.strategy,
            symbol,
            request_id = tracing::field::Empty,
            source = tracing::field::Empty,
            reason = tracing::field::Empty,
        );
        let recorded = span.clone();
        async move {
            let decision = shared.decide(call, symbol, bars, position).await;
            if let Some(request_id) = &decision.request_id {
                recorded.record("request_id", request_id.as_str());
            }
            recorded.record("source", source_word(decision.source));
            recorded.record("reason", decision.reason.map_or("none", Reason::word));
            if decision.source == Source::Model {
                tracing::debug!(
                    target_position = decision.target.sign(),
                    version = decision.version,
                    "the model decided"
                );
            } else {
                tracing::warn!(
                    target_position = decision.target.sign(),
                    reason = decision.reason.map_or("none", Reason::word),
                    detail = decision.detail.as_deref().unwrap_or_default(),
                    "no signal"
                );
            }
            decision
        }
        .instrument(span)
        .await
    }

    /// What the client knows now.
    #[must_use]
    pub fn state(&self) -> State {
        self.shared.state()
    }

    /// Looks at the service now, as the background does every `health.poll_ms`.
    pub async fn poll_now(&self) -> Health {
        health::poll(&self.shared).await
    }

    /// Sends a heartbeat now; says whether it was taken.
    pub async fn heartbeat_now(&self) -> bool {
        health::beat(&self.shared).await
    }

    /// What the service last said of the strategy. Asks when nothing is known yet.
    pub async fn model(&self) -> Option<Served> {
        if self.shared.memory().served.is_none() {
            health::poll(&self.shared).await;
        }
        self.shared.memory().served.clone()
    }

    /// The client's own metrics, as Prometheus reads them.
    #[must_use]
    pub fn metrics_text(&self) -> String {
        self.shared.metrics.text()
    }

    /// Sends a last heartbeat, ends what runs in the background, and writes out all decisions.
    pub async fn close(self) {
        if self.shared.config.heartbeat.every_ms > 0 {
            health::beat(&self.shared).await;
        }
        self.shared.stop();
        let shared = self.shared;
        // The disk may be slow, and other tasks of this thread need not wait for it.
        let _ = tokio::task::spawn_blocking(move || shared.journal.as_ref().map(Journal::flush)).await;
    }
}

pub(crate) fn source_word(source: Source) -> &'static str {
    match source {
        Source::Model => "model",
        Source::Fallback => "fallback",
        Source::Halt => "halt",
    }
}
