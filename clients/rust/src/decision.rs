//! What the client decided, who decided, and why.

use serde::{Deserialize, Serialize};

use crate::breaker::BreakerState;
use crate::policy::Side;

/// Who decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The model's answer was taken.
    Model,
    /// There was no signal.
    Fallback,
    /// The service says that nothing may be held.
    Halt,
}

/// Why there is no signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The bot's bars are not usable, or fewer than the model's lookback.
    WindowRefused,
    /// The position is not usable.
    PositionRefused,
    /// The newest bar closes in the future.
    BarNotClosed,
    /// The newest bar is older than one interval.
    StaleBars,
    /// A 429 asked to wait.
    RateLimited,
    /// The breaker lets no request through.
    BreakerOpen,
    /// No connection, or one that ended early.
    Unreachable,
    /// An attempt or the deadline ran out.
    Timeout,
    /// A status of 500 and above, or 408.
    ServerError,
    /// The service refuses the question.
    Refused,
    /// The whole window was asked for twice.
    WindowUnaccepted,
    /// What came is no answer to the question.
    BadAnswer,
    /// The answer is about another bar.
    WrongBar,
    /// The answer's time is over.
    TooOld,
    /// The model judged other bars than the bot's.
    WrongWindow,
    /// The service's clock is another one.
    ClockSkew,
    /// The model gives no signal.
    Abstained,
    /// The answer is not in the prediction log.
    NotLogged,
    /// A model answered that should not.
    UnexpectedVersion,
    /// The strategy is halted.
    Halted,
}

impl Reason {
    /// The word of the contract, such as `breaker_open`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::WindowRefused => "window_refused",
            Self::PositionRefused => "position_refused",
            Self::BarNotClosed => "bar_not_closed",
            Self::StaleBars => "stale_bars",
            Self::RateLimited => "rate_limited",
            Self::BreakerOpen => "breaker_open",
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::ServerError => "server_error",
            Self::Refused => "refused",
            Self::WindowUnaccepted => "window_unaccepted",
            Self::BadAnswer => "bad_answer",
            Self::WrongBar => "wrong_bar",
            Self::TooOld => "too_old",
            Self::WrongWindow => "wrong_window",
            Self::ClockSkew => "clock_skew",
            Self::Abstained => "abstained",
            Self::NotLogged => "not_logged",
            Self::UnexpectedVersion => "unexpected_version",
            Self::Halted => "halted",
        }
    }

    /// Whether it counts as a failed exchange for the breaker.
    #[must_use]
    pub fn is_failure(self) -> bool {
        matches!(
            self,
            Self::Unreachable
                | Self::Timeout
                | Self::ServerError
                | Self::BadAnswer
                | Self::WrongBar
                | Self::TooOld
                | Self::WrongWindow
        )
    }
}

const LONGEST_DETAIL: usize = 300;

/// A detail as it is told: a service's words may be as long as its answer, and must not fill logs and journals.
pub(crate) fn shortened(detail: String) -> String {
    match detail.char_indices().nth(LONGEST_DETAIL) {
        None => detail,
        Some(_) => detail.chars().take(LONGEST_DETAIL - 1).chain(['…']).collect(),
    }
}

/// Which fallback spoke.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FallbackUsed {
    /// Nothing is held.
    Flat,
    /// What was held is held on.
    Hold,
    /// It would have been held on, and an exit of the policy applied.
    Exit,
    /// The bot's own closure.
    Closure,
}

/// What to hold from the next bar's open on, and where that comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// When, UTC ms by the client's clock.
    pub decided_at: i64,
    /// The bot's name.
    pub bot: String,
    /// Whose signals.
    pub strategy: String,
    /// Of what.
    pub symbol: String,
    /// Close of the newest bar, UTC ms; `None` where the bars are not usable.
    pub bar_closed_at: Option<i64>,
    /// What to hold.
    pub target: Side,
    /// Who decided.
    pub source: Source,
    /// Why there is no signal, `None` for the model's.
    pub reason: Option<Reason>,
    /// More about it, for people.
    pub detail: Option<String>,
    /// Of the model that answered, also where its answer was refused.
    pub version: Option<u64>,
    /// Of the model that answered.
    pub bundle_digest: Option<String>,
    /// Of an answer that was taken.
    pub probability: Option<f64>,
    /// Which fallback spoke.
    pub fallback: Option<FallbackUsed>,
    /// Requests for a prediction that were sent.
    pub attempts: u32,
    /// From the call to the decision, ms by a monotonic clock.
    pub elapsed_ms: f64,
    /// The breaker after the decision.
    pub breaker: BreakerState,
    /// Whether it must not be acted on.
    pub dry_run: bool,
    /// Of the last request.
    pub request_id: Option<String>,
}

impl Decision {
    /// What to hold, `None` in a dry run: then nothing is done.
    #[must_use]
    pub fn target_to_act_on(&self) -> Option<Side> {
        (!self.dry_run).then_some(self.target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_detail_is_cut_to_so_many_letters() {
        for (given, count) in [("", 0), ("ü", 299), ("ü", 300), ("ü", 301), ("ü", 100_000)] {
            let told = shortened(given.repeat(count));
            assert_eq!(told.chars().count(), count.min(LONGEST_DETAIL) * given.chars().count());
            assert_eq!(told.ends_with('…'), count > LONGEST_DETAIL);
        }
    }
}
