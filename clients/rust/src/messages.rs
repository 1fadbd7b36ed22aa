//! What goes over HTTP, as the service's file `openapi.json` says; a test holds the two together.
//!
//! Answers are read strictly where it matters (a missing or mistyped field is refused) and leniently where it does not (a field that is
//! not known here is left alone), so that a newer service may say more.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

pub use crate::bars::Bars as BarColumns;
pub use crate::policy::{Policy, Position, Side};

/// A nullable field that must be there: `null` is an answer, a missing field is none.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    Option::deserialize(deserializer)
}

/// Questions about one strategy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PredictRequest {
    /// One question a symbol.
    pub items: Vec<Item>,
    /// Whose signals.
    pub strategy: Option<String>,
    /// Name of the request in logs.
    pub request_id: Option<String>,
}

/// One symbol's question.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Item {
    /// Of what.
    pub symbol: String,
    /// A whole window, or with `after` only the new bars.
    pub bars: BarColumns,
    /// Opening time of the bar before `bars`, UTC ms.
    pub after: Option<i64>,
    /// What is held at the newest bar's close.
    pub position: Option<Position>,
}

/// A signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signal {
    /// Buy.
    Long,
    /// Sell.
    Short,
    /// Neither.
    Flat,
}

impl Signal {
    /// The side that the signal asks for.
    #[must_use]
    pub fn side(self) -> Side {
        match self {
            Self::Long => Side::Long,
            Self::Short => Side::Short,
            Self::Flat => Side::Flat,
        }
    }
}

/// Why no signal is given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Abstain {
    /// The word for it, such as `stale_data`.
    pub reason: String,
    /// More about it.
    pub detail: String,
}

/// What is wrong with one field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldError {
    /// Which.
    pub field: String,
    /// What it breaks.
    pub constraint: String,
    /// More about it.
    pub detail: String,
    /// The first rows where, counted from 0.
    #[serde(default)]
    pub rows: Option<Vec<i64>>,
}

/// An error, as RFC 9457 describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProblemBody {
    /// `urn:tidegate:problem:` and a name.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it means.
    pub title: String,
    /// Of HTTP.
    pub status: u16,
    /// What to do about it.
    pub detail: String,
    /// Of the request.
    #[serde(default)]
    pub request_id: Option<String>,
    /// Field by field.
    #[serde(default)]
    pub errors: Option<Vec<FieldError>>,
}

impl ProblemBody {
    /// The name alone, such as `window_unknown`.
    #[must_use]
    pub fn name(&self) -> &str {
        self.kind.rsplit(':').next().unwrap_or_default()
    }
}

/// One symbol's answer: a signal, an abstention or a problem.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// Of what.
    pub symbol: String,
    /// The version that answered.
    #[serde(deserialize_with = "present")]
    pub version: Option<u64>,
    /// Its bundle.
    #[serde(deserialize_with = "present")]
    pub bundle_digest: Option<String>,
    /// Close of the newest bar, UTC ms.
    #[serde(deserialize_with = "present")]
    pub bar_closed_at: Option<i64>,
    /// Until when the answer may be acted on, UTC ms.
    #[serde(deserialize_with = "present")]
    pub valid_until: Option<i64>,
    /// The service's now less the close.
    #[serde(deserialize_with = "present")]
    pub data_age_ms: Option<i64>,
    /// Calibrated, that a long entry would win.
    #[serde(deserialize_with = "present")]
    pub probability: Option<f64>,
    /// What the probability alone asks for.
    #[serde(deserialize_with = "present")]
    pub signal: Option<Signal>,
    /// What to hold next.
    #[serde(deserialize_with = "present")]
    pub target_position: Option<Side>,
    /// Share of features outside the training range.
    #[serde(deserialize_with = "present")]
    pub out_of_distribution: Option<f64>,
    /// Why there is no signal.
    #[serde(deserialize_with = "present")]
    pub abstain: Option<Abstain>,
    /// What is wrong with this symbol's question.
    #[serde(deserialize_with = "present")]
    pub problem: Option<ProblemBody>,
    /// Digest of the window.
    #[serde(deserialize_with = "present")]
    pub input_digest: Option<String>,
}

/// Answers in the order of the questions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PredictAnswer {
    /// Of the request.
    pub request_id: String,
    /// The process that answered.
    pub instance: String,
    /// Whose signals.
    pub strategy: String,
    /// By the service's machine, UTC ms.
    pub answered_at: i64,
    /// Whether the answers are durable in the prediction log.
    pub logged: bool,
    /// One a question.
    pub answers: Vec<Answer>,
}

/// A model in the service's memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoadedModel {
    /// In the registry.
    pub version: u64,
    /// Of its files.
    pub bundle_digest: String,
    /// `real` or `simulated`.
    pub kind: String,
    /// What it knows.
    pub symbols: Vec<String>,
    /// Of its bars.
    pub interval: String,
    /// The least bars of a whole window.
    pub lookback: usize,
    /// How many.
    pub features: u64,
    /// From probabilities to positions.
    pub policy: Policy,
    /// UTC ms.
    pub created_at: i64,
    /// UTC ms.
    pub expires_at: i64,
    /// UTC ms.
    pub loaded_at: i64,
    /// The key that signed it.
    #[serde(deserialize_with = "present")]
    pub signed_by: Option<String>,
    /// The registry, or the disk.
    pub origin: String,
}

/// One strategy, as the service serves it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Served {
    /// Its name.
    pub strategy: String,
    /// Why nothing may be held.
    #[serde(deserialize_with = "present")]
    pub halted: Option<String>,
    /// Why the version that the registry names is not served.
    #[serde(deserialize_with = "present")]
    pub refused: Option<String>,
    /// What else is worth telling, by subject.
    pub notes: BTreeMap<String, String>,
    /// UTC ms.
    #[serde(deserialize_with = "present")]
    pub registry_reached_at: Option<i64>,
    /// Who answers.
    #[serde(deserialize_with = "present")]
    pub production: Option<LoadedModel>,
    /// Who answers where production fails.
    #[serde(deserialize_with = "present")]
    pub before: Option<LoadedModel>,
    /// Who is tried beside it.
    #[serde(deserialize_with = "present")]
    pub challenger: Option<LoadedModel>,
}

impl Served {
    /// The models that may answer, the one in production first.
    pub fn answering(&self) -> impl Iterator<Item = &LoadedModel> {
        self.production.iter().chain(&self.before)
    }
}

/// Whether requests should be sent to a process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// Whether.
    pub ready: bool,
    /// What stands against it.
    pub reasons: Vec<String>,
    /// What does not.
    pub notes: Vec<String>,
}

/// A bot's sign of life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// Its name.
    pub bot: String,
    /// Whose signals.
    pub strategy: String,
    /// The last version that gave a signal.
    #[serde(deserialize_with = "present")]
    pub last_version: Option<u64>,
    /// Its bundle.
    #[serde(deserialize_with = "present")]
    pub last_bundle_digest: Option<String>,
    /// `closed`, `half_open` or `open`.
    pub breaker: crate::breaker::BreakerState,
    /// Decisions by source since the start.
    pub decisions: BTreeMap<String, u64>,
    /// Whether decisions are not acted on.
    pub dry_run: bool,
    /// UTC ms.
    pub sent_at: i64,
}
