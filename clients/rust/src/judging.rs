//! Whether an answer is a signal. Pure: the answer, the question, what the service says of its models, and now.

use crate::bars::Bars;
use crate::config::Answers;
use crate::decision::Reason;
use crate::interval::Interval;
use crate::messages::{Answer, LoadedModel, PredictAnswer, Served};
use crate::policy::{Position, Side, is_price, target_position};

/// What was asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Question<'a> {
    pub(crate) request_id: &'a str,
    pub(crate) strategy: &'a str,
    pub(crate) symbol: &'a str,
    /// Close of the newest bar, UTC ms.
    pub(crate) closed_at: i64,
    /// Its last price.
    pub(crate) close: f64,
    /// The bot's own bars, all of them.
    pub(crate) bars: &'a Bars,
    /// Theirs.
    pub(crate) interval: &'a Interval,
    pub(crate) position: &'a Position,
}

/// The model that an answer names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) version: Option<u64>,
    pub(crate) bundle_digest: Option<String>,
}

impl Named {
    /// The one that an answer names.
    pub(crate) fn of(answer: &Answer) -> Self {
        Self {
            version: answer.version,
            bundle_digest: answer.bundle_digest.clone(),
        }
    }

    /// Whether it is this one.
    pub(crate) fn is(&self, model: &LoadedModel) -> bool {
        self.version == Some(model.version) && self.bundle_digest.as_ref() == Some(&model.bundle_digest)
    }
}

/// What an answer comes to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Judged {
    /// To be acted on.
    Signal {
        target: Side,
        version: u64,
        bundle_digest: String,
        probability: f64,
    },
    /// Nothing may be held.
    Halted { detail: String },
    /// No signal, and why.
    Refused { reason: Reason, detail: String },
    /// The symbol's own problem: its status, its name and its words.
    Problem { status: u16, name: String, detail: String },
}

/// A judged answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Judgement {
    pub(crate) judged: Judged,
    pub(crate) named: Named,
    /// The service's clock less the client's, ms; `None` where the answer does not tell.
    pub(crate) skew_ms: Option<i64>,
}

/// What is wrong with the bot's own bars, `None` when nothing is.
pub(crate) fn unusable(bars: &Bars) -> Option<String> {
    let count = bars.len();
    if count == 0 {
        return Some("there are no bars".to_owned());
    }
    let columns = [
        bars.open.len(),
        bars.high.len(),
        bars.low.len(),
        bars.close.len(),
        bars.volume.len(),
    ];
    if columns.iter().any(|length| *length != count) {
        return Some(format!(
            "six columns of one length are expected, were {count} and {columns:?}"
        ));
    }
    let mut before = None;
    for bar in (0..count).filter_map(|row| bars.get(row)) {
        if before.is_some_and(|before| bar.opened_at <= before) || bar.opened_at < 0 {
            return Some(format!(
                "opening times ascend and are not negative; {} does not",
                bar.opened_at
            ));
        }
        before = Some(bar.opened_at);
        let prices = [bar.open, bar.high, bar.low, bar.close];
        let spanned = prices
            .iter()
            .all(|price| is_price(*price) && bar.low <= *price && *price <= bar.high);
        if !spanned || !bar.volume.is_finite() || bar.volume < 0.0 {
            return Some(format!(
                "the bar opened at {}: prices above 0 between low and high, and a volume not under 0 are expected",
                bar.opened_at
            ));
        }
    }
    None
}

/// What is wrong with what the service says of the strategy, for this bot; `None` when nothing is.
pub(crate) fn unfit(model: &LoadedModel, interval: &str, symbol: &str) -> Option<String> {
    if model.interval != interval {
        return Some(format!(
            "v{} is made for bars of {}, the bot has bars of {interval}",
            model.version, model.interval
        ));
    }
    if !model.symbols.iter().any(|known| known == symbol) {
        return Some(format!("v{} does not know {symbol}", model.version));
    }
    None
}

/// Judges a body that came with status 200.
pub(crate) fn judge(body: &[u8], question: &Question<'_>, served: &Served, settings: &Answers, now: i64) -> Judgement {
    match understood(body, question) {
        Err(detail) => Judgement {
            judged: Judged::Refused {
                reason: Reason::BadAnswer,
                detail,
            },
            named: Named::default(),
            skew_ms: None,
        },
        Ok((whole, answer)) => {
            let named = Named::of(&answer);
            let skew_ms = skew(&answer, question, now);
            let judged =
                judge_answer(&whole, &answer, question, served, settings, now).unwrap_or_else(|refusal| refusal);
            Judgement { judged, named, skew_ms }
        }
    }
}

fn understood(body: &[u8], question: &Question<'_>) -> Result<(PredictAnswer, Answer), String> {
    let mut whole: PredictAnswer =
        serde_json::from_slice(body).map_err(|error| format!("the body is no answer: {error}"))?;
    let said = [
        ("request_id", whole.request_id.as_str(), question.request_id),
        ("strategy", whole.strategy.as_str(), question.strategy),
    ];
    for (field, was, expected) in said {
        if was != expected {
            return Err(format!("{field}: {expected:?} is expected, was {was:?}"));
        }
    }
    if whole.answers.len() != 1 {
        return Err(format!("one answer is expected, were {}", whole.answers.len()));
    }
    let answer = whole.answers.pop().ok_or("one answer is expected")?;
    if answer.symbol != question.symbol {
        return Err(format!(
            "symbol: {:?} is expected, was {:?}",
            question.symbol, answer.symbol
        ));
    }
    Ok((whole, answer))
}

fn skew(answer: &Answer, question: &Question<'_>, now: i64) -> Option<i64> {
    let service_now = answer.bar_closed_at?.checked_add(answer.data_age_ms?)?;
    (answer.bar_closed_at == Some(question.closed_at)).then(|| service_now.saturating_sub(now))
}

fn judge_answer(
    whole: &PredictAnswer,
    answer: &Answer,
    question: &Question<'_>,
    served: &Served,
    settings: &Answers,
    now: i64,
) -> Result<Judged, Judged> {
    if let Some(problem) = &answer.problem {
        let detail = problem.detail.clone();
        return Ok(Judged::Problem {
            status: problem.status,
            name: problem.name().to_owned(),
            detail,
        });
    }
    if let Some(abstain) = &answer.abstain {
        if abstain.reason == "halted" {
            return Ok(Judged::Halted {
                detail: abstain.detail.clone(),
            });
        }
        if let Some(model) = served.answering().find(|model| Named::of(answer).is(model)) {
            own_window(answer, model, question)?;
        }
        return Err(refused(
            Reason::Abstained,
            format!("{}: {}", abstain.reason, abstain.detail),
        ));
    }
    let signal = Complete::of(answer).ok_or_else(|| {
        refused(
            Reason::BadAnswer,
            "a signal lacks fields or its probability is none".to_owned(),
        )
    })?;
    in_time(&signal, question, settings, now)?;
    if settings.require_logged && !whole.logged {
        return Err(refused(
            Reason::NotLogged,
            "the answer is not in the prediction log".to_owned(),
        ));
    }
    let model = expected_model(&signal, served, settings, now)?;
    own_window(answer, model, question)?;
    consistent(&signal, model, question)?;
    Ok(Judged::Signal {
        target: signal.target,
        version: signal.version,
        bundle_digest: signal.bundle_digest.to_owned(),
        probability: signal.probability,
    })
}

/// A signal with all that belongs to one.
struct Complete<'a> {
    version: u64,
    bundle_digest: &'a str,
    closed_at: i64,
    valid_until: i64,
    data_age_ms: i64,
    probability: f64,
    signal: Side,
    target: Side,
}

impl<'a> Complete<'a> {
    fn of(answer: &'a Answer) -> Option<Self> {
        let probability = answer.probability.filter(|value| (0.0..=1.0).contains(value))?;
        Some(Self {
            version: answer.version?,
            bundle_digest: answer.bundle_digest.as_deref()?,
            closed_at: answer.bar_closed_at?,
            valid_until: answer.valid_until?,
            data_age_ms: answer.data_age_ms?,
            probability,
            signal: answer.signal?.side(),
            target: answer.target_position?,
        })
    }
}

fn in_time(signal: &Complete<'_>, question: &Question<'_>, settings: &Answers, now: i64) -> Result<(), Judged> {
    if signal.closed_at != question.closed_at {
        return Err(refused(
            Reason::WrongBar,
            format!(
                "the bar closed at {}, the answer is about {}",
                question.closed_at, signal.closed_at
            ),
        ));
    }
    let skew = signal.closed_at.saturating_add(signal.data_age_ms).saturating_sub(now);
    if skew.unsigned_abs() > settings.max_clock_skew_ms {
        return Err(refused(
            Reason::ClockSkew,
            format!("the service's clock is {skew} ms off this one"),
        ));
    }
    if now >= signal.valid_until {
        return Err(refused(
            Reason::TooOld,
            format!("it was valid until {}, it is {now}", signal.valid_until),
        ));
    }
    Ok(())
}

fn expected_model<'a>(
    signal: &Complete<'_>,
    served: &'a Served,
    settings: &Answers,
    now: i64,
) -> Result<&'a LoadedModel, Judged> {
    let unexpected = |detail| refused(Reason::UnexpectedVersion, detail);
    let model = served
        .answering()
        .find(|model| model.version == signal.version && model.bundle_digest == signal.bundle_digest)
        .ok_or_else(|| {
            unexpected(format!(
                "v{} answered, which the service does not describe",
                signal.version
            ))
        })?;
    if !settings.versions.is_empty() && !settings.versions.contains(&signal.version) {
        return Err(unexpected(format!(
            "answers.versions does not allow v{}",
            signal.version
        )));
    }
    if !settings.bundle_digests.is_empty() && !settings.bundle_digests.iter().any(|one| one == signal.bundle_digest) {
        return Err(unexpected(format!(
            "answers.bundle_digests does not allow v{}",
            signal.version
        )));
    }
    if now >= model.expires_at {
        return Err(unexpected(format!(
            "v{} expired at {}",
            signal.version, model.expires_at
        )));
    }
    Ok(model)
}

/// Whether the model judged the bot's own bars: a service keeps windows by API key, and another bot may use the same one.
fn own_window(answer: &Answer, model: &LoadedModel, question: &Question<'_>) -> Result<(), Judged> {
    let own = question
        .bars
        .digest_of_newest(model.lookback, question.symbol, question.interval);
    let detail = match own {
        None => format!(
            "v{} judged {} bars, the bot has {}",
            model.version,
            model.lookback,
            question.bars.len()
        ),
        Some(own) if answer.input_digest.as_ref() == Some(&own) => return Ok(()),
        Some(_) => format!(
            "v{} judged other bars than the bot's; does another bot use its API key?",
            model.version
        ),
    };
    Err(refused(Reason::WrongWindow, detail))
}

fn consistent(signal: &Complete<'_>, model: &LoadedModel, question: &Question<'_>) -> Result<(), Judged> {
    let asked = model.policy.entry_side(signal.probability);
    let target = target_position(signal.probability, question.close, question.position, &model.policy);
    if signal.signal == asked && target.as_ref() == Ok(&signal.target) {
        return Ok(());
    }
    Err(refused(
        Reason::BadAnswer,
        format!(
            "probability {} asks for {} and the policy for {}, the answer says {} and {}",
            signal.probability,
            asked.sign(),
            target.map_or_else(|error| error.to_string(), |side| side.sign().to_string()),
            signal.signal.sign(),
            signal.target.sign(),
        ),
    ))
}

fn refused(reason: Reason, detail: String) -> Judged {
    Judged::Refused { reason, detail }
}
