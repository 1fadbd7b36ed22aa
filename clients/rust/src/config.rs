//! Settings of the client, from TOML and the environment; every key and bound stands in `docs/contracts/client.md`.

mod bounds;
mod known;
mod reading;

use std::collections::HashMap;
use std::fmt;
use std::fmt::Display;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::interval::Interval;

/// Which clock tells now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClockKind {
    /// This machine's.
    #[default]
    System,
    /// The newest bar's close, for replays.
    Bars,
}

/// Which fallback decides without a signal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FallbackKind {
    /// Hold nothing.
    #[default]
    Flat,
    /// Hold on for some bars.
    Hold,
}

macro_rules! table {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident : $kind:ty = $default:expr),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct $name { $($(#[$field_doc])* pub $field: $kind),* }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default),* }
            }
        }
    };
}

table! {
    /// How long things may take, ms.
    Deadline {
        /// All of one decision.
        decide_ms: u64 = 1000,
        /// One request with its answer.
        attempt_ms: u64 = 400,
        /// Its connection.
        connect_ms: u64 = 200,
    }
}

table! {
    /// How a failed request is repeated.
    Retry {
        /// Requests of one decision at most.
        attempts: u32 = 3,
        /// First pause, ms.
        backoff_ms: u64 = 25,
        /// Longest pause, ms.
        backoff_max_ms: u64 = 250,
    }
}

table! {
    /// When requests stop, and for how long.
    Breaker {
        /// Failed exchanges in a row that open it.
        failures: u32 = 5,
        /// First time it stays open, ms.
        open_ms: u64 = 2000,
        /// Longest time it stays open, ms.
        open_max_ms: u64 = 60_000,
    }
}

table! {
    /// Looks at the service in the background.
    HealthConfig {
        /// Pause between two, ms; 0: none.
        poll_ms: u64 = 5000,
        /// Of one look, ms.
        timeout_ms: u64 = 1000,
    }
}

table! {
    /// Signs of life.
    HeartbeatConfig {
        /// Pause between two, ms; 0: none.
        every_ms: u64 = 10_000,
    }
}

table! {
    /// Which answers are signals.
    Answers {
        /// Versions that may answer; empty: those that the service describes.
        versions: Vec<u64> = Vec::new(),
        /// Bundles that may answer; empty: those that the service describes.
        bundle_digests: Vec<String> = Vec::new(),
        /// How far the service's clock may differ, ms.
        max_clock_skew_ms: u64 = 2000,
        /// Whether an answer must be in the prediction log.
        require_logged: bool = true,
    }
}

table! {
    /// What decides without a signal.
    FallbackConfig {
        /// Which one.
        strategy: FallbackKind = FallbackKind::Flat,
        /// For how many bars `hold` holds.
        hold_bars: u32 = 3,
        /// Whether the policy's exits still apply then.
        exits: bool = true,
    }
}

table! {
    /// The client's own metrics.
    MetricsConfig {
        /// `host:port` where they are served.
        address: Option<String> = None,
    }
}

table! {
    /// The record of decisions.
    DecisionsConfig {
        /// File of JSON lines, appended.
        file: Option<PathBuf> = None,
    }
}

/// All settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The service.
    pub url: String,
    /// Whose signals.
    pub strategy: String,
    /// Of the bot's bars.
    pub interval: Interval,
    /// The bot's name.
    pub bot: String,
    /// File of the API key.
    #[serde(default)]
    pub api_key_file: Option<PathBuf>,
    /// File of further certificate authorities.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Whether plain HTTP to another host is allowed.
    #[serde(default)]
    pub allow_http: bool,
    /// Whether decisions must not be acted on.
    #[serde(default = "yes")]
    pub dry_run: bool,
    /// Which clock tells now.
    #[serde(default)]
    pub clock: ClockKind,
    /// How long things may take.
    #[serde(default)]
    pub deadline: Deadline,
    /// How a failed request is repeated.
    #[serde(default)]
    pub retry: Retry,
    /// When requests stop.
    #[serde(default)]
    pub breaker: Breaker,
    /// Looks in the background.
    #[serde(default)]
    pub health: HealthConfig,
    /// Signs of life.
    #[serde(default)]
    pub heartbeat: HeartbeatConfig,
    /// Which answers are signals.
    #[serde(default)]
    pub answers: Answers,
    /// What decides without a signal.
    #[serde(default)]
    pub fallback: FallbackConfig,
    /// The client's own metrics.
    #[serde(default)]
    pub metrics: MetricsConfig,
    /// The record of decisions.
    #[serde(default)]
    pub decisions: DecisionsConfig,
    /// The API key itself; read from the environment or the file, never from TOML, never shown.
    #[serde(skip)]
    pub api_key: Option<ApiKey>,
}

fn yes() -> bool {
    true
}

/// An API key that no log shows.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

impl ApiKey {
    /// Wraps a key.
    #[must_use]
    pub fn new(key: impl Into<String>) -> Self {
        Self(key.into())
    }

    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }

    /// The message does not name the path: who wrote the key itself there would read it in a log.
    fn in_file(path: &Path) -> Result<Self, ConfigError> {
        std::fs::read_to_string(path).map(Self).map_err(|error| {
            refuse(
                "api_key_file",
                format!("the file cannot be read: {error}; a relative path begins where the bot was started"),
            )
        })
    }

    /// Without the white space around it, if it can be sent at all.
    fn usable(self, setting: &str) -> Result<Self, ConfigError> {
        let key = self.0.trim();
        if key.is_empty() {
            return Err(refuse(
                setting,
                "the API key is empty; make one with `tidegate keys api new`",
            ));
        }
        if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(refuse(
                setting,
                "the API key holds white space or other signs that no key has; copy it again",
            ));
        }
        Ok(Self(key.to_owned()))
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ApiKey(..)")
    }
}

/// A setting that is not usable: which one, what was expected, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The key, such as `deadline.attempt_ms`.
    pub setting: String,
    /// What is wrong, what was expected, and the next step.
    pub message: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.setting, self.message)
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// Settings from a TOML file, overridden by this process's environment, checked, with the API key read.
    ///
    /// # Errors
    ///
    /// The first setting that is not usable.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| refuse("file", format!("{} cannot be read: {error}", path.display())))?;
        Self::parse(&text, &reading::environment(std::env::vars_os())?)
    }

    /// The same from a text and a given environment.
    ///
    /// # Errors
    ///
    /// The first setting that is not usable.
    pub fn parse(toml: &str, environment: &HashMap<String, String>) -> Result<Self, ConfigError> {
        reading::read(toml, environment)?.checked()
    }

    /// Checks bounds and reads the API key's file; for settings that were made in code. A key that is there already is kept.
    ///
    /// # Errors
    ///
    /// The first setting that is not usable.
    pub fn checked(mut self) -> Result<Self, ConfigError> {
        bounds::check(&self)?;
        self.url.truncate(self.url.trim_end_matches('/').len());
        self.api_key = match (self.api_key.take(), &self.api_key_file) {
            (Some(key), _) => Some(key.usable("api_key")?),
            (None, Some(path)) => Some(ApiKey::in_file(path)?.usable("api_key_file")?),
            (None, None) => None,
        };
        Ok(self)
    }
}

pub(crate) fn refuse(setting: &str, message: impl Display) -> ConfigError {
    ConfigError {
        setting: setting.to_owned(),
        message: message.to_string(),
    }
}
