//! What all clones of a client and its background share: what never changes, and behind one lock what does.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::bars::Bars;
use crate::breaker::{Breaker, Permit};
use crate::client::{Health, State};
use crate::clock::Clock;
use crate::config::Config;
use crate::fallback::Fallback;
use crate::journal::Journal;
use crate::judging::Named;
use crate::messages::Served;
use crate::metrics::Metrics;
use crate::policy::Policy;
use crate::transport::Transport;

/// What a client is made of.
pub(crate) struct Parts {
    pub(crate) config: Config,
    pub(crate) transport: Transport,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) fallback: Fallback,
    pub(crate) journal: Option<Journal>,
}

pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) transport: Transport,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) fallback: Fallback,
    pub(crate) journal: Option<Journal>,
    /// Told when a heartbeat is due at once.
    pub(crate) beat: Arc<Notify>,
    memory: Mutex<Memory>,
    start: u32,
    asked: AtomicU64,
    background: Mutex<Vec<AbortHandle>>,
}

/// What changes. The lock is held for moments, never across an await.
pub(crate) struct Memory {
    pub(crate) breaker: Breaker,
    /// What the service said of the strategy last.
    pub(crate) served: Option<Served>,
    /// Whether it may be out of date: the service refused what it led to.
    pub(crate) look_again: bool,
    /// Of the last model that was described, also when there is none any more.
    pub(crate) policy: Option<Policy>,
    /// By symbol, the window whose answer was understood last.
    pub(crate) windows: HashMap<String, Bars>,
    /// By symbol, the bars in a row without a signal.
    pub(crate) silent: HashMap<String, Silence>,
    /// The last model that gave a signal.
    pub(crate) named: Named,
    /// By source.
    pub(crate) decisions: BTreeMap<String, u64>,
    pub(crate) halted: bool,
    not_before: Option<Instant>,
    health: Health,
    skew_ms: Option<i64>,
}

/// Bars in a row without a signal.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Silence {
    pub(crate) last: Option<i64>,
    pub(crate) bars: u32,
}

impl Shared {
    pub(crate) fn new(parts: Parts) -> Self {
        let memory = Memory::new(&parts.config);
        Self {
            config: parts.config,
            transport: parts.transport,
            clock: parts.clock,
            metrics: parts.metrics,
            fallback: parts.fallback,
            journal: parts.journal,
            beat: Arc::new(Notify::new()),
            memory: Mutex::new(memory),
            start: fastrand::u32(..),
            asked: AtomicU64::new(0),
            background: Mutex::new(Vec::new()),
        }
    }

    pub(crate) fn memory(&self) -> MutexGuard<'_, Memory> {
        // What a panic left behind is still what was last known; a bot that cannot decide would be worse.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A name for a request: the bot's, this client's, and a number; at most 64 characters.
    pub(crate) fn request_id(&self) -> String {
        let bot: String = self.config.bot.chars().take(40).collect();
        let number = self.asked.fetch_add(1, Ordering::Relaxed) % 10_000_000_000_000;
        format!("{bot}-{:08x}-{number}", self.start)
    }

    /// Ends these with the client.
    pub(crate) fn keep(&self, tasks: Vec<AbortHandle>) {
        self.background
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(tasks);
    }

    pub(crate) fn stop(&self) {
        for task in self.background.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            task.abort();
        }
    }

    /// Whether the service asked to wait, and the time is not over.
    pub(crate) fn is_waiting(&self, now: Instant) -> bool {
        self.memory().not_before.is_some_and(|until| now < until)
    }

    /// The service asked to wait.
    pub(crate) fn wait(&self, seconds: f64) {
        let until = Instant::now() + Duration::from_secs_f64(seconds);
        let mut memory = self.memory();
        memory.not_before = memory.not_before.max(Some(until));
    }

    /// Leave for one decision's requests, `None` where the breaker gives none.
    pub(crate) fn permit(&self, now: Instant) -> Option<Permit> {
        let mut memory = self.memory();
        let permit = memory.breaker.permit(now);
        self.metrics.set_breaker(memory.breaker.state(now));
        permit
    }

    /// Settles what an exchange means for the breaker.
    pub(crate) fn settle(&self, permit: Permit, failed: bool) {
        let now = Instant::now();
        let mut memory = self.memory();
        let opened = if failed {
            memory.breaker.failed(permit, now, spread())
        } else {
            memory.breaker.understood(permit);
            false
        };
        self.metrics.set_breaker(memory.breaker.state(now));
        drop(memory);
        if opened {
            self.opened();
        }
    }

    fn opened(&self) {
        self.metrics.breaker_opened();
        tracing::warn!("the circuit breaker is open");
    }

    /// Keeps what the service says of the strategy.
    pub(crate) fn describe(&self, served: Served) {
        let mut memory = self.memory();
        memory.policy = served.answering().next().map(|model| model.policy).or(memory.policy);
        memory.served = Some(served);
        memory.look_again = false;
    }

    pub(crate) fn healthy(&self, health: Health) {
        let now = Instant::now();
        let mut memory = self.memory();
        memory.health = health;
        let opened = if health == Health::Unreachable {
            memory.breaker.missed_look(now, spread())
        } else {
            memory.breaker.answered_look();
            false
        };
        if health == Health::Ready {
            memory.breaker.ready();
        }
        self.metrics.set_breaker(memory.breaker.state(now));
        drop(memory);
        self.metrics.set_health(health);
        if opened {
            self.opened();
        }
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
}

/// The random factor of the time that the breaker stays open.
fn spread() -> f64 {
    0.8 + 0.4 * fastrand::f64()
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Memory {
    fn new(config: &Config) -> Self {
        Self {
            breaker: Breaker::new(config.breaker.clone()),
            served: None,
            look_again: false,
            policy: None,
            windows: HashMap::new(),
            silent: HashMap::new(),
            named: Named::default(),
            decisions: BTreeMap::new(),
            halted: false,
            not_before: None,
            health: Health::Unknown,
            skew_ms: None,
        }
    }
}

/// A permit that is given back whatever happens, also when the caller drops the decision half way.
pub(crate) struct Pass<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) permit: Permit,
    settled: bool,
}

impl<'a> Pass<'a> {
    pub(crate) fn new(shared: &'a Shared, permit: Permit) -> Self {
        Self {
            shared,
            permit,
            settled: false,
        }
    }

    pub(crate) fn settle(mut self, failed: bool) {
        self.settled = true;
        self.shared.settle(self.permit, failed);
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if !self.settled {
            self.shared.memory().breaker.abandoned(self.permit);
        }
    }
}
