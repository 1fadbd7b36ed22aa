//! One decision's requests: the model's description where it is needed, the prediction with its retries, and the judgement.

use std::time::{Duration, Instant};

use tracing::Instrument;

use crate::bars::Bars;
use crate::breaker::Permit;
use crate::decision::Reason;
use crate::judging::{Judged, Judgement, Named, Question, judge, unfit};
use crate::messages::{Item, LoadedModel, PredictRequest, Served};
use crate::miss::{Miss, Wanted};
use crate::policy::{Position, Side};
use crate::retry::{LEAST, pause};
use crate::series::{Sent, to_send, whole};
use crate::shared::Shared;
use crate::transport::{Reply, route_of};

const MODEL: &str = "/v1/model";
const NO_MODEL: &str = "the service has no model of the strategy";
/// Enough for any service to take, and more than a halt needs.
const MOST_BARS_TO_HALT: usize = 1000;
const UNFIT: u16 = 422;
const PREDICT: &str = "/v1/predict";

/// A question that may be asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) symbol: &'a str,
    pub(crate) bars: &'a Bars,
    pub(crate) position: &'a Position,
    pub(crate) closed_at: i64,
    pub(crate) close: f64,
}

/// What a decision rests on.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Outcome {
    Signal { target: Side, probability: f64 },
    Halted { detail: String },
    None { reason: Reason, detail: String },
}

impl Outcome {
    pub(crate) fn none(reason: Reason, detail: String) -> Self {
        Self::None { reason, detail }
    }
}

/// How far an exchange came; it outlives one that is cut off by the deadline.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    pub(crate) attempts: u32,
    pub(crate) request_id: Option<String>,
    pub(crate) named: Named,
}

pub(crate) struct Exchange<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) asked: &'a Asked<'a>,
    pub(crate) permit: Permit,
    pub(crate) deadline: Instant,
}

impl Exchange<'_> {
    /// Runs to an outcome. Whoever runs it keeps the deadline; nothing here begins what has no time left.
    pub(crate) async fn run(&self, progress: &mut Progress) -> Outcome {
        self.ask(progress).await.unwrap_or_else(Miss::outcome)
    }

    async fn ask(&self, progress: &mut Progress) -> Result<Outcome, Miss> {
        let (mut served, mut sent) = self.first_question().await?;
        let mut resent = false;
        let mut retries = 0;
        loop {
            self.require_time()?;
            let miss = match self.attempt(&served, &sent, progress).await {
                Ok(judgement) => return self.concluded(judgement),
                Err(miss) => miss,
            };
            if let Miss::Window { why, .. } = miss {
                if resent || self.left() <= LEAST {
                    return Err(miss);
                }
                resent = true;
                match why {
                    Wanted::TooShort => served = self.described().await?,
                    // An answer by another version may have led to a newer description meanwhile.
                    Wanted::Conflict | Wanted::Other => served = self.shared.memory().served.clone().unwrap_or(served),
                }
                sent = whole(self.asked.bars, self.lookback(&served)?);
                self.shared.metrics.resent();
                continue;
            }
            retries += 1;
            self.wait_for_retry(miss, retries).await?;
            self.shared.metrics.retried();
        }
    }

    /// Waits before the k-th retry, k from 1; gives the miss back where there is none: it is final, or out of attempts or time.
    async fn wait_for_retry(&self, miss: Miss, retry: u32) -> Result<(), Miss> {
        let jitter = pause(&self.shared.config.retry, retry, fastrand::f64());
        let wait = match &miss {
            Miss::Passing { .. } => jitter,
            Miss::Wait { seconds, .. } => jitter.max(Duration::from_secs_f64(*seconds)),
            Miss::Window { .. } | Miss::Final { .. } => return Err(miss),
        };
        if retry >= self.most_attempts() || wait + LEAST >= self.left() {
            return Err(miss);
        }
        tokio::time::sleep(wait).await;
        Ok(())
    }

    fn require_time(&self) -> Result<(), Miss> {
        if self.left() > LEAST {
            return Ok(());
        }
        Err(Miss::Final {
            reason: Reason::Timeout,
            detail: "the deadline leaves no time for a request".to_owned(),
        })
    }

    /// The description to judge by and the bars to send. A description that does not fit the bot any more may be an old one.
    async fn first_question(&self) -> Result<(Served, Sent), Miss> {
        let (mut served, is_new) = match self.known() {
            Some(served) => (served, false),
            None => (self.described().await?, true),
        };
        let mut lookback = self.lookback(&served);
        if lookback.is_err() && !is_new {
            served = self.described().await?;
            lookback = self.lookback(&served);
        }
        let lookback = lookback?;
        let memory = self.shared.memory();
        let sent = to_send(self.asked.bars, memory.windows.get(self.asked.symbol), lookback);
        drop(memory);
        Ok((served, sent))
    }

    /// What the service said last, where it named a model in production and nothing speaks against it since.
    fn known(&self) -> Option<Served> {
        let memory = self.shared.memory();
        memory
            .served
            .clone()
            .filter(|served| served.production.is_some() && !memory.look_again)
    }

    fn most_attempts(&self) -> u32 {
        match self.permit {
            Permit::Whole => self.shared.config.retry.attempts,
            Permit::Probe => 1,
        }
    }

    fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Time for one request.
    fn limit(&self) -> Duration {
        self.left()
            .min(Duration::from_millis(self.shared.config.deadline.attempt_ms))
    }

    /// Bars of a whole window; also checks that the model is made for this bot.
    fn lookback(&self, served: &Served) -> Result<usize, Miss> {
        let count = self.asked.bars.len();
        let final_miss = |reason, detail| Err(Miss::Final { reason, detail });
        let model = served.answering().next();
        let detail = model.and_then(|model| unfit(model, &self.shared.config.interval.to_string(), self.asked.symbol));
        let speaks_against = detail.is_some() || model.is_none_or(|model| count < model.lookback);
        if served.halted.is_some() && (served.production.is_none() || speaks_against) {
            // The answer is the halt, and nobody looks at the bars: a position must not be held on because they are too few.
            return Ok(count.min(MOST_BARS_TO_HALT));
        }
        let Some(model) = model else {
            return final_miss(Reason::ServerError, NO_MODEL.to_owned());
        };
        if let Some(detail) = detail {
            return final_miss(Reason::UnexpectedVersion, detail);
        }
        if count < model.lookback {
            let detail = format!("{count} bars were given, v{} needs {}", model.version, model.lookback);
            return final_miss(Reason::WindowRefused, detail);
        }
        Ok(model.lookback)
    }

    fn route(&self) -> String {
        route_of(&self.shared.config.strategy, self.asked.symbol)
    }

    /// Asks what the service says of the strategy.
    async fn described(&self) -> Result<Served, Miss> {
        let mut retries = 0;
        loop {
            self.require_time()?;
            let miss = match look(self.shared, Some(&self.route()), self.limit()).await {
                Ok(served) if served.answering().next().is_some() || served.halted.is_some() => return Ok(served),
                Ok(_) => Miss::Passing {
                    reason: Reason::ServerError,
                    detail: NO_MODEL.to_owned(),
                },
                Err(miss) => miss,
            };
            retries += 1;
            self.wait_for_retry(miss, retries).await?;
        }
    }

    /// One request for a prediction, judged.
    async fn attempt(&self, served: &Served, sent: &Sent, progress: &mut Progress) -> Result<Judgement, Miss> {
        progress.attempts += 1;
        let request_id = self.shared.request_id();
        progress.request_id = Some(request_id.clone());
        let span = tracing::info_span!(
            "attempt",
            number = progress.attempts,
            request_id,
            bars = sent.bars.len(),
            status = tracing::field::Empty,
            elapsed_ms = tracing::field::Empty,
        );
        let started = Instant::now();
        let found = self
            .exchanged(served, sent, &request_id, progress)
            .instrument(span.clone())
            .await;
        let seconds = started.elapsed().as_secs_f64();
        span.record("elapsed_ms", seconds * 1000.0);
        let outcome = match &found {
            Ok(Judgement {
                judged: Judged::Refused { reason, .. },
                ..
            }) => reason.word(),
            Ok(_) => "answered",
            Err(miss) => miss.outcome_word(),
        };
        self.shared.metrics.requested(PREDICT, outcome, seconds);
        if let Err(Miss::Wait { seconds, .. }) = &found {
            self.shared.wait(*seconds);
        }
        found
    }

    async fn exchanged(
        &self,
        served: &Served,
        sent: &Sent,
        request_id: &str,
        progress: &mut Progress,
    ) -> Result<Judgement, Miss> {
        let shared = self.shared;
        let message = PredictRequest {
            items: vec![Item {
                symbol: self.asked.symbol.to_owned(),
                bars: sent.bars.clone(),
                after: sent.after,
                position: Some(self.position_to_send()),
            }],
            strategy: Some(shared.config.strategy.clone()),
            request_id: Some(request_id.to_owned()),
        };
        let reply = shared
            .transport
            .post(PREDICT, &message, request_id, Some(&self.route()), self.limit())
            .await
            .map_err(|failure| Miss::Passing {
                reason: failure.reason,
                detail: failure.detail,
            })?;
        tracing::Span::current().record("status", reply.status);
        if reply.status == UNFIT {
            // Another model may know this symbol, or want other bars.
            shared.memory().look_again = true;
        }
        if reply.status != 200 {
            return Err(Miss::of_reply(&reply));
        }
        let judgement = self.judged(&reply.body, request_id, served);
        // Said also where the deadline ends the exchange before it is concluded.
        progress.named = judgement.named.clone();
        let judgement = match &judgement.judged {
            Judged::Refused {
                reason: Reason::UnexpectedVersion,
                ..
            } if !served.answering().any(|model| judgement.named.is(model)) => {
                self.looked_again(judgement, &reply, request_id).await
            }
            _ => judgement,
        };
        match &judgement.judged {
            Judged::Problem { status, name, detail } => Err(Miss::of(*status, name, detail, reply.retry_after_s)),
            Judged::Refused {
                reason: Reason::WrongWindow,
                detail,
            } => Err(Miss::Window {
                why: Wanted::Other,
                detail: detail.clone(),
            }),
            // What is no answer at all may come better the next time; an answer that is wrong will not.
            Judged::Refused {
                reason: Reason::BadAnswer,
                detail,
            } if judgement.named == Named::default() => Err(Miss::Passing {
                reason: Reason::BadAnswer,
                detail: detail.clone(),
            }),
            _ => Ok(judgement),
        }
    }

    fn judged(&self, body: &[u8], request_id: &str, served: &Served) -> Judgement {
        let config = &self.shared.config;
        let question = Question {
            request_id,
            strategy: &config.strategy,
            symbol: self.asked.symbol,
            closed_at: self.asked.closed_at,
            close: self.asked.close,
            bars: self.asked.bars,
            interval: &config.interval,
            position: self.asked.position,
        };
        judge(
            body,
            &question,
            served,
            &config.answers,
            self.shared.clock.at(self.asked.closed_at),
        )
    }

    /// An answer of a version that is not known: the service may just have changed it.
    async fn looked_again(&self, judgement: Judgement, reply: &Reply, request_id: &str) -> Judgement {
        if self.left() <= LEAST {
            return judgement;
        }
        match look(self.shared, Some(&self.route()), self.limit()).await {
            Ok(served) => self.judged(&reply.body, request_id, &served),
            Err(_) => judgement,
        }
    }

    /// Turns a judgement into an outcome, and remembers what the service has seen.
    fn concluded(&self, judgement: Judgement) -> Result<Outcome, Miss> {
        if let Some(skew_ms) = judgement.skew_ms {
            self.shared.skewed(skew_ms);
        }
        match judgement.judged {
            Judged::Signal {
                target, probability, ..
            } => {
                self.remember_window();
                Ok(Outcome::Signal { target, probability })
            }
            Judged::Halted { detail } => Ok(Outcome::Halted { detail }),
            Judged::Refused { reason, detail } => {
                // Whose window an unknown model judged, nobody can tell.
                let known = |served: &Served| served.answering().any(|model| judgement.named.is(model));
                let is_known = self.shared.memory().served.as_ref().is_some_and(known);
                if reason == Reason::Abstained && is_known {
                    self.remember_window();
                }
                Err(Miss::Final { reason, detail })
            }
            Judged::Problem { status, name, detail } => Err(Miss::of(status, &name, &detail, None)),
        }
    }

    /// A flat position's other fields are not looked at, and what is no number must not spoil the request.
    fn position_to_send(&self) -> Position {
        match self.asked.position.side {
            Side::Flat => Position::FLAT,
            Side::Short | Side::Long => *self.asked.position,
        }
    }

    fn remember_window(&self) {
        let mut memory = self.shared.memory();
        let lookback = memory
            .served
            .as_ref()
            .and_then(|served| served.answering().map(|model| model.lookback).max());
        let kept = self.asked.bars.newest(lookback.unwrap_or(self.asked.bars.len()));
        memory.windows.insert(self.asked.symbol.to_owned(), kept);
    }
}

/// Asks the service what it says of the strategy, and keeps it.
async fn look(shared: &Shared, route: Option<&str>, limit: Duration) -> Result<Served, Miss> {
    let started = Instant::now();
    let found = looked(shared, route, limit).await;
    let outcome = found.as_ref().map_or_else(Miss::outcome_word, |_| "answered");
    shared
        .metrics
        .requested(MODEL, outcome, started.elapsed().as_secs_f64());
    match &found {
        Ok(served) => shared.describe(served.clone()),
        Err(Miss::Wait { seconds, .. }) => shared.wait(*seconds),
        Err(_) => {}
    }
    found
}

async fn looked(shared: &Shared, route: Option<&str>, limit: Duration) -> Result<Served, Miss> {
    let reply = shared
        .transport
        .get(MODEL, route, limit)
        .await
        .map_err(|failure| Miss::Passing {
            reason: failure.reason,
            detail: failure.detail,
        })?;
    if reply.status != 200 {
        return Err(Miss::of_reply(&reply));
    }
    let all: Vec<Served> = serde_json::from_slice(&reply.body).map_err(|error| Miss::Passing {
        reason: Reason::BadAnswer,
        detail: format!("{MODEL}: {error}"),
    })?;
    let strategy = &shared.config.strategy;
    all.into_iter()
        .find(|served| &served.strategy == strategy)
        .ok_or_else(|| Miss::Final {
            reason: Reason::Refused,
            detail: format!("the service does not serve {strategy}"),
        })
        .and_then(sane)
}

/// The description, if each model that may answer is one: nothing may be judged by a policy that is none.
fn sane(served: Served) -> Result<Served, Miss> {
    let objection = |model: &LoadedModel| {
        let lookback = (model.lookback < 1).then_some("lookback: at least 1");
        let expected = model.policy.objection().or(lookback)?;
        Some(format!(
            "{MODEL}: v{} is no model: {expected} is expected",
            model.version
        ))
    };
    let found = served.answering().find_map(objection);
    match found {
        None => Ok(served),
        Some(detail) => Err(Miss::Passing {
            reason: Reason::BadAnswer,
            detail,
        }),
    }
}

/// The same in the background, where only success matters.
pub(crate) async fn refresh(shared: &Shared, limit: Duration) -> bool {
    look(shared, None, limit).await.is_ok()
}
