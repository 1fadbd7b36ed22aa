//! Signs of life, so that a deployment or a rollback can wait until this bot has seen the version.

use std::time::Duration;

use crate::client::State;
use crate::config::Config;
use crate::messages::Heartbeat;
use crate::miss::Miss;
use crate::transport::Transport;

pub(crate) const PATH: &str = "/v1/bots/heartbeat";
/// The outcome's word in the metrics where it was taken.
pub(crate) const TAKEN: &str = "answered";

pub(crate) fn message(config: &Config, state: &State, sent_at: i64) -> Heartbeat {
    Heartbeat {
        bot: config.bot.clone(),
        strategy: config.strategy.clone(),
        last_version: state.version,
        last_bundle_digest: state.bundle_digest.clone(),
        breaker: state.breaker,
        decisions: state.decisions.clone(),
        dry_run: config.dry_run,
        // The service takes no time before 1970, and a clock that says one has an alarm of its own.
        sent_at: sent_at.max(0),
    }
}

/// Sends one; says what came of it, in the metrics' words. One that fails is dropped: the next one says the same and more.
pub(crate) async fn send(
    transport: &Transport,
    heartbeat: &Heartbeat,
    request_id: &str,
    timeout: Duration,
) -> &'static str {
    let outcome = match transport.post(PATH, heartbeat, request_id, None, timeout).await {
        Ok(reply) if reply.status == 204 => return TAKEN,
        Ok(reply) => Miss::of_reply(&reply).outcome_word(),
        Err(failure) => failure.reason.word(),
    };
    tracing::debug!(outcome, "a heartbeat was not taken");
    outcome
}

/// Sends one; says why it was not taken.
pub(crate) async fn post(
    transport: &Transport,
    heartbeat: &Heartbeat,
    request_id: &str,
    timeout: Duration,
) -> Result<(), String> {
    match transport.post(PATH, heartbeat, request_id, None, timeout).await {
        Ok(reply) if reply.status == 204 => Ok(()),
        Ok(reply) => Err(format!("{PATH} answers {}", reply.status)),
        Err(failure) => Err(failure.detail),
    }
}
