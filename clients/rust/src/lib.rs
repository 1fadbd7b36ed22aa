//! Keeps a trading bot trading.
//!
//! One [`Client`] asks a tidegate service for the signal of a strategy. [`Client::decide`] always returns a [`Decision`], within its deadline:
//! what is not a signal beyond doubt becomes a fallback, and says why.
//!
//! What it does in each case is a contract that clients in other languages share: `docs/contracts/client.md`.

mod bars;
mod breaker;
mod check;
mod client;
mod clock;
mod config;
mod deciding;
mod decision;
mod exchange;
mod fallback;
#[cfg(feature = "blocking")]
mod handover;
mod health;
mod heartbeat;
mod interval;
mod journal;
mod judging;
pub mod messages;
mod metrics;
mod miss;
mod policy;
mod retry;
mod series;
mod shared;
mod transport;

#[cfg(feature = "blocking")]
pub mod blocking;

pub use bars::{Bar, Bars};
pub use breaker::BreakerState;
pub use check::{Check, Checked, check};
pub use client::{Client, ClientBuilder, Health, State};
pub use clock::{BarsClock, Clock, SystemClock};
pub use config::{
    Answers, ApiKey, Breaker, ClockKind, Config, ConfigError, Deadline, DecisionsConfig, FallbackConfig, FallbackKind,
    HealthConfig, HeartbeatConfig, MetricsConfig, Retry,
};
pub use decision::{Decision, FallbackUsed, Reason, Source};
pub use fallback::{Closure, Fallback, Situation};
pub use interval::Interval;
pub use policy::{Policy, PolicyError, Position, Side, exit_side, target_position};

/// The README's code is compiled with the tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
