//! One decision: from the bot's bars to a target, with an exchange in between where one is allowed.

use std::time::{Duration, Instant};

use crate::bars::Bars;
use crate::client::source_word;
use crate::decision::{Decision, Reason, Source, shortened};
use crate::exchange::{Asked, Exchange, Outcome, Progress};
use crate::fallback::Situation;
use crate::judging::unusable;
use crate::policy::{Position, Side};
use crate::shared::{Pass, Shared};

/// Kept back from the deadline, so that what is done after the exchange is still within it.
const RESERVE: Duration = Duration::from_millis(2);

impl Shared {
    pub(crate) async fn decide(&self, symbol: &str, bars: &Bars, position: &Position) -> Decision {
        let started = Instant::now();
        let mut progress = Progress::default();
        let asked = self.asked(symbol, bars, position);
        let outcome = match &asked {
            Err(outcome) => outcome.clone(),
            Ok(asked) => self.within_deadline(asked, started, &mut progress).await,
        };
        let concerned = Concerned {
            symbol,
            bars,
            position,
            closed_at: asked
                .as_ref()
                .map_or_else(|_| self.closed_at(bars), |asked| Some(asked.closed_at)),
        };
        self.decision(&concerned, outcome, &progress, started)
    }

    /// The fallback's decision where the exchange's thread does not come back.
    #[cfg(feature = "blocking")]
    pub(crate) fn decide_alone(&self, symbol: &str, bars: &Bars, position: &Position, started: Instant) -> Decision {
        let detail = "the client's thread did not answer within the deadline".to_owned();
        let concerned = Concerned {
            symbol,
            bars,
            position,
            closed_at: self.closed_at(bars),
        };
        self.decision(
            &concerned,
            Outcome::none(Reason::Timeout, detail),
            &Progress::default(),
            started,
        )
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

    async fn within_deadline(&self, asked: &Asked<'_>, started: Instant, progress: &mut Progress) -> Outcome {
        if self.is_waiting(started) {
            return Outcome::none(Reason::RateLimited, "the service asked to wait".to_owned());
        }
        let Some(permit) = self.permit(started) else {
            return Outcome::none(Reason::BreakerOpen, "the breaker lets no request through".to_owned());
        };
        let pass = Pass::new(self, permit);
        let deadline = started + Duration::from_millis(self.config.deadline.decide_ms).saturating_sub(RESERVE);
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

    fn decision(&self, concerned: &Concerned<'_>, outcome: Outcome, progress: &Progress, started: Instant) -> Decision {
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
        let decision = self.settled(decision, outcome, concerned, progress, started);
        self.metrics.decided(&decision);
        if let Some(journal) = &self.journal {
            journal.write(&decision);
        }
        decision
    }

    /// The same with its target, and where that comes from.
    fn settled(
        &self,
        decision: Decision,
        outcome: Outcome,
        concerned: &Concerned<'_>,
        progress: &Progress,
        started: Instant,
    ) -> Decision {
        let decision = match outcome {
            Outcome::Signal { target, probability } => {
                self.remember_signal(concerned.symbol, progress, decision.decided_at);
                Decision {
                    target,
                    source: Source::Model,
                    probability: Some(probability),
                    ..decision
                }
            }
            Outcome::Halted { detail } => {
                self.remember_silence(concerned, Source::Halt, progress);
                Decision {
                    source: Source::Halt,
                    reason: Some(Reason::Halted),
                    detail: Some(shortened(detail)),
                    ..decision
                }
            }
            Outcome::None { reason, detail } => {
                let bars_without_signal = self.remember_silence(concerned, Source::Fallback, progress);
                let (target, used) = self
                    .fallback
                    .decide(&self.situation(concerned, reason, bars_without_signal));
                Decision {
                    target,
                    reason: Some(reason),
                    detail: Some(shortened(detail)),
                    fallback: Some(used),
                    ..decision
                }
            }
        };
        Decision {
            elapsed_ms: started.elapsed().as_secs_f64() * 1000.0,
            ..decision
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

    /// Counts a decision without a signal; gives the bars in a row that had none, this one among them.
    fn remember_silence(&self, concerned: &Concerned<'_>, source: Source, progress: &Progress) -> u32 {
        let mut memory = self.memory();
        memory.count(source);
        if source == Source::Halt {
            memory.halted = true;
        } else if progress.named.version.is_some() {
            // A model that answers, even without a signal, is not halted.
            memory.halted = false;
        }
        let silence = memory.silent.entry(concerned.symbol.to_owned()).or_default();
        if silence.bars == 0 || concerned.closed_at.is_none() || silence.last != concerned.closed_at {
            silence.last = concerned.closed_at;
            silence.bars = silence.bars.saturating_add(1);
        }
        silence.bars
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
