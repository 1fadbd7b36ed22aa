//! Why an attempt gave nothing, and whether asking again may help.

use crate::decision::Reason;
use crate::exchange::Outcome;
use crate::messages::ProblemBody;
use crate::transport::Reply;

const LONGEST_WAIT_S: f64 = 60.0;

/// Why the whole window is to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// The service asks for it: a 409.
    Conflict,
    /// More of it is needed than was sent.
    TooShort,
    /// Other bars were judged.
    Other,
}

impl Wanted {
    /// The reason where sending it once did not help.
    fn reason(self) -> Reason {
        match self {
            Self::Conflict => Reason::WindowUnaccepted,
            Self::TooShort => Reason::Refused,
            Self::Other => Reason::WrongWindow,
        }
    }
}

/// Why an attempt gave nothing.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Miss {
    /// May be asked again.
    Passing { reason: Reason, detail: String },
    /// Asked to wait.
    Wait { seconds: f64, detail: String },
    /// The whole window is to be sent, and why.
    Window { why: Wanted, detail: String },
    /// Asking again would not help.
    Final { reason: Reason, detail: String },
}

impl Miss {
    pub(crate) fn outcome(self) -> Outcome {
        match self {
            Self::Passing { reason, detail } | Self::Final { reason, detail } => Outcome::None { reason, detail },
            Self::Wait { detail, .. } => Outcome::none(Reason::RateLimited, detail),
            Self::Window { why, detail } => Outcome::none(why.reason(), detail),
        }
    }

    /// A miss by a status and the name of its problem.
    pub(crate) fn of(status: u16, name: &str, detail: &str, retry_after_s: Option<f64>) -> Self {
        let detail = format!("{status} {name}: {detail}");
        match status {
            409 => Self::Window {
                why: Wanted::Conflict,
                detail,
            },
            422 if name == "window_too_short" => Self::Window {
                why: Wanted::TooShort,
                detail,
            },
            429 => Self::Wait {
                seconds: retry_after_s.unwrap_or(1.0).min(LONGEST_WAIT_S),
                detail,
            },
            408 | 500 | 502..=504 => Self::Passing {
                reason: Reason::ServerError,
                detail,
            },
            501 | 505.. => Self::Final {
                reason: Reason::ServerError,
                detail,
            },
            400..=499 => Self::Final {
                reason: Reason::Refused,
                detail,
            },
            _ => Self::Final {
                reason: Reason::BadAnswer,
                detail,
            },
        }
    }

    pub(crate) fn of_reply(reply: &Reply) -> Self {
        match serde_json::from_slice::<ProblemBody>(&reply.body) {
            Ok(problem) => Self::of(reply.status, problem.name(), &problem.detail, reply.retry_after_s),
            Err(_) => Self::of(reply.status, "", "without a problem's description", reply.retry_after_s),
        }
    }

    pub(crate) fn outcome_word(&self) -> &'static str {
        match self {
            Self::Passing { reason, .. } | Self::Final { reason, .. } => reason.word(),
            Self::Wait { .. } => Reason::RateLimited.word(),
            Self::Window {
                why: Wanted::Conflict, ..
            } => "window",
            Self::Window { why, .. } => why.reason().word(),
        }
    }
}
