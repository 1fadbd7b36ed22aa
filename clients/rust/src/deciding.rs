//! One decision: from the bot's bars to a target, with an exchange in between where one is allowed.

use std::time::{Duration, Instant};

use crate::bars::Bars;
use crate::client::source_word;
use crate::decision::{Decision, Reason, Source, shortened};
use crate::exchange::{Asked, Exchange, Outcome, Progress};
use crate::fallback::Situation;
use crate::judging::unusable;
use crate::policy::{Position, Side};
use crate::shared::{Pass, Shared, Silence};

/// Kept back from the deadline, so that what is done after the exchange is still within it.
const RESERVE: Duration = Duration::from_millis(2);

/// When a decision was asked for, and whether somebody else may decide in its place.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    started: Instant,
    reserve: Duration,
    #[cfg(feature = "blocking")]
    handover: Option<std::sync::Arc<crate::handover::Handover>>,
}

impl Call {
    pub(crate) fn now() -> Self {
        Self {
            started: Instant::now(),
            reserve: RESERVE,
            #[cfg(feature = "blocking")]
            handover: None,
        }
    }

    /// One whose caller waits on another thread, and decides by itself where nothing comes in time. `reserve` is for the way back.
    #[cfg(feature = "blocking")]
    pub(crate) fn handed_over(
        started: Instant,
        reserve: Duration,
        handover: std::sync::Arc<crate::handover::Handover>,
    ) -> Self {
        Self {
            started,
            reserve,
            handover: Some(handover),
        }
    }

    /// Whether the decision stands; false where the caller has decided by itself meanwhile.
    #[cfg(feature = "blocking")]
    fn stands(&self) -> bool {
        self.handover.as_ref().is_none_or(|handover| handover.settle())
    }

    #[cfg(not(feature = "blocking"))]
    #[allow(clippy::unused_self)] // as with the feature
    fn stands(&self) -> bool {
        true
    }
}

impl Shared {
    pub(crate) async fn decide(&self, call: &Call, symbol: &str, bars: &Bars, position: &Position) -> Decision {
        let mut progress = Progress::default();
        let asked = self.asked(symbol, bars, position);
        let outcome = match &asked {
            Err(outcome) => outcome.clone(),
            Ok(asked) => self.within_deadline(asked, call, &mut progress).await,
        };
        let concerned = Concerned {
            symbol,
            bars,
            position,
            closed_at: asked
                .as_ref()
                .map_or_else(|_| self.closed_at(bars), |asked| Some(asked.closed_at)),
        };
        let (decision, silence) = self.decided(&concerned, outcome, &progress, call.started);
        // What comes too late is neither counted nor written: the caller was told something else, and that was.
        if call.stands() {
            self.record(&decision, &concerned, &progress, silence);
        }
        decision
    }

    /// The fallback's decision where the exchange's thread does not come back. Not counted where that thread has counted one.
    #[cfg(feature = "blocking")]
    pub(crate) fn decide_alone(
        &self,
        symbol: &str,
        bars: &Bars,
        position: &Position,
        started: Instant,
        counts: bool,
    ) -> Decision {
        let detail = "the client's thread did not answer within the deadline".to_owned();
        let concerned = Concerned {
            symbol,
            bars,
            position,
            closed_at: self.closed_at(bars),
        };
        let progress = Progress::default();
        let (decision, silence) = self.decided(&concerned, Outcome::none(Reason::Timeout, detail), &progress, started);
        if counts {
            self.record(&decision, &concerned, &progress, silence);
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
            let detail = "the newest bar closes beyond all time".to_owned();
            return none(Reason::WindowRefused, detail);
        };
        if !position.is_usable() {
            let detail = "a held position has an entry price above 0 and has been held for a bar at least".to_owned();
            return none(Reason::PositionRefused, detail);
        }
        let now = self.clock.at(closed_at);
        let ahead = closed_at.saturating_sub(now);
        if ahead > i64::try_from(self.config.answers.max_clock_skew_ms).unwrap_or(i64::MAX) {
            return none(Reason::BarNotClosed, format!("the newest bar closes in {ahead} ms"));
        }
        if now > closed_at.saturating_add(self.config.interval.milliseconds()) {
            let age = now.saturating_sub(closed_at);
            let detail = format!("the newest bar closed {age} ms ago, the next one is due");
            return none(Reason::StaleBars, detail);
        }
        Ok(Asked {
            symbol,
            bars,
            position,
            closed_at,
            close,
        })
    }

    async fn within_deadline(&self, asked: &Asked<'_>, call: &Call, progress: &mut Progress) -> Outcome {
        let started = call.started;
        if self.is_waiting(started) {
            return Outcome::none(Reason::RateLimited, "the service asked to wait".to_owned());
        }
        let Some(permit) = self.permit(started) else {
            return Outcome::none(Reason::BreakerOpen, "the breaker lets no request through".to_owned());
        };
        let pass = Pass::new(self, permit);
        let deadline = started + Duration::from_millis(self.config.deadline.decide_ms).saturating_sub(call.reserve);
        let exchange = Exchange {
            shared: self,
            asked,
            permit,
            deadline,
        };
        // Nothing inside can overrun it: not a name that is looked up, not a handshake, not a body that drips.
        let outcome = tokio::time::timeout_at(deadline.into(), exchange.run(progress))
            .await
            .unwrap_or_else(|_| {
                let detail = format!("nothing was decided in {} ms", self.config.deadline.decide_ms);
                Outcome::none(Reason::Timeout, detail)
            });
        pass.settle(matches!(&outcome, Outcome::None { reason, .. } if reason.is_failure()));
        outcome
    }

    /// The decision, and the row of bars without a signal that it goes on with. Nothing is remembered yet.
    fn decided(
        &self,
        concerned: &Concerned<'_>,
        outcome: Outcome,
        progress: &Progress,
        started: Instant,
    ) -> (Decision, Silence) {
        let decided_at = concerned
            .closed_at
            .map_or_else(|| self.clock.now(), |closed_at| self.clock.at(closed_at));
        let decision = Decision {
            decided_at,
            bot: self.config.bot.clone(),
            strategy: self.config.strategy.clone(),
            symbol: concerned.symbol.to_owned(),
            bar_closed_at: concerned.closed_at,
            target: Side::Flat,
            source: Source::Fallback,
            reason: None,
            detail: None,
            version: progress.named.version,
            bundle_digest: progress.named.bundle_digest.clone(),
            probability: None,
            fallback: None,
            attempts: progress.attempts,
            elapsed_ms: 0.0,
            breaker: self.memory().breaker.state(Instant::now()),
            dry_run: self.config.dry_run,
            request_id: progress.request_id.clone(),
        };
        let silence = self.silence(concerned);
        let decision = self.settled(decision, outcome, concerned, silence);
        let elapsed_ms = started.elapsed().as_secs_f64() * 1000.0;
        (Decision { elapsed_ms, ..decision }, silence)
    }

    /// Remembers, counts and writes a decision.
    fn record(&self, decision: &Decision, concerned: &Concerned<'_>, progress: &Progress, silence: Silence) {
        if decision.source == Source::Model {
            self.remember_signal(concerned.symbol, progress, decision.decided_at);
        } else {
            self.remember_silence(concerned.symbol, decision.source, progress, silence);
        }
        self.metrics.decided(decision);
        if let Some(journal) = &self.journal {
            journal.write(decision);
        }
    }

    /// The same with its target, and where that comes from.
    fn settled(&self, decision: Decision, outcome: Outcome, concerned: &Concerned<'_>, silence: Silence) -> Decision {
        match outcome {
            Outcome::Signal { target, probability } => Decision {
                target,
                source: Source::Model,
                probability: Some(probability),
                ..decision
            },
            Outcome::Halted { detail } => Decision {
                source: Source::Halt,
                reason: Some(Reason::Halted),
                detail: Some(shortened(detail)),
                ..decision
            },
            Outcome::None { reason, detail } => {
                let (target, used) = self.fallback.decide(&self.situation(concerned, reason, silence.bars));
                Decision {
                    target,
                    reason: Some(reason),
                    detail: Some(shortened(detail)),
                    fallback: Some(used),
                    ..decision
                }
            }
        }
    }

    fn situation(&self, concerned: &Concerned<'_>, reason: Reason, bars_without_signal: u32) -> Situation {
        Situation {
            strategy: self.config.strategy.clone(),
            symbol: concerned.symbol.to_owned(),
            reason,
            bars_without_signal,
            close: concerned.closed_at.and_then(|_| concerned.bars.close.last().copied()),
            position: *concerned.position,
            policy: self.memory().policy,
        }
    }

    fn remember_signal(&self, symbol: &str, progress: &Progress, decided_at: i64) {
        let mut memory = self.memory();
        memory.count(Source::Model);
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
    }

    /// The bars in a row without a signal, this one among them, if it has none.
    fn silence(&self, concerned: &Concerned<'_>) -> Silence {
        let mut silence = self.memory().silent.get(concerned.symbol).copied().unwrap_or_default();
        if silence.bars == 0 || concerned.closed_at.is_none() || silence.last != concerned.closed_at {
            silence.last = concerned.closed_at;
            silence.bars = silence.bars.saturating_add(1);
        }
        silence
    }

    fn remember_silence(&self, symbol: &str, source: Source, progress: &Progress, silence: Silence) {
        let mut memory = self.memory();
        memory.count(source);
        if source == Source::Halt {
            memory.halted = true;
        } else if progress.named.version.is_some() {
            // A model that answers, even without a signal, is not halted.
            memory.halted = false;
        }
        memory.silent.insert(symbol.to_owned(), silence);
    }
}

/// What a decision is about.
struct Concerned<'a> {
    symbol: &'a str,
    bars: &'a Bars,
    position: &'a Position,
    /// Close of the newest bar where the bars are usable.
    closed_at: Option<i64>,
}

impl crate::shared::Memory {
    fn count(&mut self, source: Source) {
        *self.decisions.entry(source_word(source).to_owned()).or_default() += 1;
    }
}
