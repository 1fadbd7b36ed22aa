//! The client: one decision for each closed bar, within its deadline, whatever happens to the service.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tracing::Instrument;

use crate::bars::Bars;
use crate::breaker::{Breaker, BreakerState, Permit};
use crate::clock::{BarsClock, Clock, SystemClock};
use crate::config::{ClockKind, Config, ConfigError};
use crate::decision::{Decision, FallbackUsed, Reason, Source};
use crate::exchange::{Asked, Exchange, Outcome, Progress};
use crate::fallback::{Fallback, Situation};
use crate::journal::Journal;
use crate::judging::{Named, unusable};
use crate::messages::Served;
use crate::metrics::Metrics;
use crate::policy::{Position, Side};
use crate::transport::Transport;
use crate::{health, heartbeat};

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

/// What all clones and the background share.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) transport: Transport,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Arc<Metrics>,
    /// Told when a heartbeat is due at once.
    pub(crate) beat: Arc<Notify>,
    fallback: Fallback,
    journal: Option<Journal>,
    memory: Mutex<Memory>,
    start: u64,
    asked: AtomicU64,
    background: Mutex<Vec<AbortHandle>>,
}

/// What changes. The lock is held for moments, never across an await.
pub(crate) struct Memory {
    pub(crate) breaker: Breaker,
    pub(crate) served: Option<Served>,
    pub(crate) windows: HashMap<String, Bars>,
    pub(crate) not_before: Option<Instant>,
    health: Health,
    named: Named,
    decisions: BTreeMap<String, u64>,
    skew_ms: Option<i64>,
    halted: bool,
    silent: HashMap<String, Silence>,
}

/// Bars in a row without a signal.
#[derive(Debug, Clone, Copy)]
struct Silence {
    last: Option<i64>,
    bars: u32,
}

/// Builds a [`Client`] with a clock or a fallback of your own.
pub struct ClientBuilder {
    config: Config,
    clock: Option<Arc<dyn Clock>>,
    pub(crate) fallback: Option<Fallback>,
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
        let metrics = Arc::new(Metrics::new(&config.strategy, config.dry_run));
        let mut background = Vec::new();
        if let Some(address) = &config.metrics.address {
            background.push(crate::metrics::serve(address, Arc::clone(&metrics)).await?);
        }
        let clock = self.clock.unwrap_or_else(|| match config.clock {
            ClockKind::System => Arc::new(SystemClock),
            ClockKind::Bars => Arc::new(BarsClock::default()),
        });
        let shared = Arc::new(Shared {
            transport: Transport::new(&config)?,
            fallback: self.fallback.unwrap_or_else(|| Fallback::from(&config.fallback)),
            journal: config.decisions.file.as_deref().map(Journal::open).transpose()?,
            memory: Mutex::new(Memory::new(&config)),
            clock,
            metrics,
            beat: Arc::new(Notify::new()),
            start: fastrand::u64(..),
            asked: AtomicU64::new(0),
            background: Mutex::new(background),
            config,
        });
        let started = health::start(&shared);
        shared
            .background
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(started);
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
            let decision = shared.decide(symbol, bars, position).await;
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
        if let Some(journal) = &self.shared.journal {
            journal.flush();
        }
    }
}

impl Shared {
    pub(crate) fn memory(&self) -> MutexGuard<'_, Memory> {
        // What a panic left behind is still what was last known; a bot that cannot decide would be worse.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A name for a request: the bot's, this client's, and a number.
    pub(crate) fn request_id(&self) -> String {
        let bot: String = self.config.bot.chars().take(40).collect();
        let number = self.asked.fetch_add(1, Ordering::Relaxed) & 0xFFFF_FFFF;
        format!("{bot}-{:08x}-{number}", self.start & 0xFFFF_FFFF)
    }

    fn stop(&self) {
        for task in self.background.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            task.abort();
        }
    }

    async fn decide(&self, symbol: &str, bars: &Bars, position: &Position) -> Decision {
        let started = Instant::now();
        let mut progress = Progress::default();
        let asked = self.asked(symbol, bars, position);
        let outcome = match &asked {
            Err(outcome) => outcome.clone(),
            Ok(asked) => self.within_deadline(asked, started, &mut progress).await,
        };
        let closed_at = asked
            .as_ref()
            .map_or_else(|_| self.closed_at(bars), |asked| Some(asked.closed_at));
        let decision = self.decision(symbol, bars, position, closed_at, outcome, &progress, started);
        self.metrics.decided(&decision);
        if let Some(journal) = &self.journal {
            journal.write(&decision);
        }
        decision
    }

    /// The fallback's decision where the exchange's thread does not come back.
    #[cfg(feature = "blocking")]
    pub(crate) fn decide_alone(&self, symbol: &str, bars: &Bars, position: &Position, started: Instant) -> Decision {
        let outcome = Outcome::none(
            Reason::Timeout,
            "the client's thread did not answer within the deadline".to_owned(),
        );
        let decision = self.decision(
            symbol,
            bars,
            position,
            self.closed_at(bars),
            outcome,
            &Progress::default(),
            started,
        );
        self.metrics.decided(&decision);
        if let Some(journal) = &self.journal {
            journal.write(&decision);
        }
        decision
    }

    /// Close of the newest bar where the bars are usable.
    fn closed_at(&self, bars: &Bars) -> Option<i64> {
        if unusable(bars).is_some() {
            return None;
        }
        bars.opened_at.last()?.checked_add(self.config.interval.milliseconds())
    }

    /// The question, or why there is none to ask.
    fn asked<'a>(&self, symbol: &'a str, bars: &'a Bars, position: &'a Position) -> Result<Asked<'a>, Outcome> {
        let none = |reason, detail| Err(Outcome::none(reason, detail));
        if let Some(detail) = unusable(bars) {
            return none(Reason::WindowRefused, detail);
        }
        let (Some(closed_at), Some(close)) = (self.closed_at(bars), bars.close.last().copied()) else {
            return none(
                Reason::WindowRefused,
                "the newest bar closes beyond all time".to_owned(),
            );
        };
        if !position.is_usable() {
            return none(
                Reason::PositionRefused,
                "a held position has an entry price above 0 and has been held for a bar at least".to_owned(),
            );
        }
        let now = self.clock.at(closed_at);
        let ahead = closed_at.saturating_sub(now);
        if ahead > i64::try_from(self.config.answers.max_clock_skew_ms).unwrap_or(i64::MAX) {
            return none(Reason::BarNotClosed, format!("the newest bar closes in {ahead} ms"));
        }
        if now > closed_at.saturating_add(self.config.interval.milliseconds()) {
            return none(
                Reason::StaleBars,
                format!("the newest bar closed {} ms ago, the next one is due", -ahead),
            );
        }
        Ok(Asked {
            symbol,
            bars,
            position,
            closed_at,
            close,
        })
    }

    async fn within_deadline(&self, asked: &Asked<'_>, started: Instant, progress: &mut Progress) -> Outcome {
        let Some(permit) = self.permit(started) else {
            let waiting = self.memory().not_before.is_some_and(|until| started < until);
            return if waiting {
                Outcome::none(Reason::RateLimited, "the service asked to wait".to_owned())
            } else {
                Outcome::none(Reason::BreakerOpen, "the breaker lets no request through".to_owned())
            };
        };
        let pass = Pass {
            shared: self,
            permit,
            settled: false,
        };
        let deadline = started + Duration::from_millis(self.config.deadline.decide_ms);
        let exchange = Exchange {
            shared: self,
            asked,
            permit,
            deadline,
        };
        let outcome = tokio::time::timeout_at(deadline.into(), exchange.run(progress))
            .await
            .unwrap_or_else(|_| {
                Outcome::none(
                    Reason::Timeout,
                    format!("nothing was decided in {} ms", self.config.deadline.decide_ms),
                )
            });
        pass.settle(&outcome);
        outcome
    }

    fn permit(&self, now: Instant) -> Option<Permit> {
        let mut memory = self.memory();
        if memory.not_before.is_some_and(|until| now < until) {
            return None;
        }
        let permit = memory.breaker.permit(now);
        self.metrics.set_breaker(memory.breaker.state(now));
        permit
    }

    /// Settles what an exchange means for the breaker.
    pub(crate) fn settle(&self, permit: Permit, failed: bool) {
        let now = Instant::now();
        let mut memory = self.memory();
        let opened = if failed {
            memory.breaker.failed(permit, now, 0.8 + 0.4 * fastrand::f64())
        } else {
            memory.breaker.understood(permit);
            false
        };
        self.metrics.set_breaker(memory.breaker.state(now));
        drop(memory);
        if opened {
            self.metrics.breaker_opened();
            tracing::warn!("the circuit breaker is open");
        }
    }

    /// Keeps what the service says of the strategy.
    pub(crate) fn describe(&self, served: Served) {
        self.memory().served = Some(served);
    }

    pub(crate) fn healthy(&self, health: Health) {
        let mut memory = self.memory();
        memory.health = health;
        if health == Health::Ready {
            memory.breaker.ready();
        }
        self.metrics.set_breaker(memory.breaker.state(Instant::now()));
        drop(memory);
        self.metrics.set_health(health);
    }

    pub(crate) fn skewed(&self, skew_ms: i64) {
        self.memory().skew_ms = Some(skew_ms);
        self.metrics.set_skew(skew_ms);
    }

    pub(crate) fn state(&self) -> State {
        let memory = self.memory();
        State {
            breaker: memory.breaker.state(Instant::now()),
            health: memory.health,
            version: memory.named.version,
            bundle_digest: memory.named.bundle_digest.clone(),
            decisions: memory.decisions.clone(),
            clock_skew_ms: memory.skew_ms,
            halted: memory.halted,
        }
    }

    #[allow(clippy::too_many_arguments)] // one call, and each is a part of the decision
    fn decision(
        &self,
        symbol: &str,
        bars: &Bars,
        position: &Position,
        closed_at: Option<i64>,
        outcome: Outcome,
        progress: &Progress,
        started: Instant,
    ) -> Decision {
        let (source, reason, detail, probability, taken) = match outcome {
            Outcome::Signal {
                target, probability, ..
            } => (Source::Model, None, None, Some(probability), Some((target, None))),
            Outcome::Halted { detail } => (
                Source::Halt,
                Some(Reason::Halted),
                Some(detail),
                None,
                Some((Side::Flat, None)),
            ),
            Outcome::None { reason, detail } => (Source::Fallback, Some(reason), Some(detail), None, None),
        };
        let decided_at = closed_at.map_or_else(|| self.clock.now(), |closed_at| self.clock.at(closed_at));
        let bars_without_signal = self.remember(symbol, closed_at, source, progress, decided_at);
        let (target, fallback): (Side, Option<FallbackUsed>) = taken.unwrap_or_else(|| {
            let situation = Situation {
                strategy: self.config.strategy.clone(),
                symbol: symbol.to_owned(),
                reason: reason.unwrap_or(Reason::Timeout),
                bars_without_signal,
                close: closed_at.and_then(|_| bars.close.last().copied()),
                position: *position,
                policy: self
                    .memory()
                    .served
                    .as_ref()
                    .and_then(|served| served.answering().next())
                    .map(|model| model.policy),
            };
            let (side, used) = self.fallback.decide(&situation);
            (side, Some(used))
        });
        Decision {
            decided_at,
            bot: self.config.bot.clone(),
            strategy: self.config.strategy.clone(),
            symbol: symbol.to_owned(),
            bar_closed_at: closed_at,
            target,
            source,
            reason,
            detail,
            version: progress.named.version,
            bundle_digest: progress.named.bundle_digest.clone(),
            probability,
            fallback,
            attempts: progress.attempts,
            elapsed_ms: started.elapsed().as_secs_f64() * 1000.0,
            breaker: self.memory().breaker.state(Instant::now()),
            dry_run: self.config.dry_run,
            request_id: progress.request_id.clone(),
        }
    }

    /// Counts a decision; gives the bars in a row without a signal, this one among them.
    fn remember(
        &self,
        symbol: &str,
        closed_at: Option<i64>,
        source: Source,
        progress: &Progress,
        decided_at: i64,
    ) -> u32 {
        let mut memory = self.memory();
        *memory.decisions.entry(source_word(source).to_owned()).or_default() += 1;
        if source == Source::Model {
            memory.halted = false;
            memory.silent.remove(symbol);
            let another = memory.named != progress.named;
            memory.named = progress.named.clone();
            drop(memory);
            if let Some(version) = progress.named.version {
                self.metrics.signalled(version, decided_at);
            }
            if another {
                self.beat.notify_one();
            }
            return 0;
        }
        memory.halted = source == Source::Halt || memory.halted;
        let silence = memory
            .silent
            .entry(symbol.to_owned())
            .or_insert(Silence { last: None, bars: 0 });
        if silence.bars == 0 || closed_at.is_none() || silence.last != closed_at {
            *silence = Silence {
                last: closed_at,
                bars: silence.bars.saturating_add(1),
            };
        }
        silence.bars
    }
}

impl Memory {
    fn new(config: &Config) -> Self {
        Self {
            breaker: Breaker::new(config.breaker.clone()),
            served: None,
            windows: HashMap::new(),
            not_before: None,
            health: Health::Unknown,
            named: Named::default(),
            decisions: BTreeMap::new(),
            skew_ms: None,
            halted: false,
            silent: HashMap::new(),
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A permit that is given back whatever happens, also when the caller drops the decision half way.
struct Pass<'a> {
    shared: &'a Shared,
    permit: Permit,
    settled: bool,
}

impl Pass<'_> {
    fn settle(mut self, outcome: &Outcome) {
        self.settled = true;
        self.shared.settle(
            self.permit,
            matches!(outcome, Outcome::None { reason, .. } if reason.is_failure()),
        );
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if !self.settled {
            self.shared.memory().breaker.abandoned(self.permit);
        }
    }
}

pub(crate) fn source_word(source: Source) -> &'static str {
    match source {
        Source::Model => "model",
        Source::Fallback => "fallback",
        Source::Halt => "halt",
    }
}

/// The heartbeat's message at this moment.
pub(crate) fn sign_of_life(shared: &Shared) -> crate::messages::Heartbeat {
    heartbeat::message(&shared.config, &shared.state(), SystemClock.now())
}
