//! Signs of life, so that a deployment or a rollback can wait until this bot has seen the version.

use std::time::Duration;

use crate::client::State;
use crate::config::Config;
use crate::messages::Heartbeat;
use crate::transport::Transport;

const PATH: &str = "/v1/bots/heartbeat";

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

/// Sends one; says whether it was taken. One that fails is dropped: the next one says the same and more.
pub(crate) async fn send(transport: &Transport, heartbeat: &Heartbeat, request_id: &str, timeout: Duration) -> bool {
    match post(transport, heartbeat, request_id, timeout).await {
        Ok(()) => true,
        Err(why) => {
            tracing::debug!(why, "a heartbeat was not taken");
            false
        }
    }
}

/// Sends one; says why it was not taken.
pub(crate) async fn post(
    transport: &Transport,
    heartbeat: &Heartbeat,
    request_id: &str,
    timeout: Duration,
) -> Result<(), String> {
    match transport.post(PATH, heartbeat, request_id, timeout).await {
        Ok(reply) if reply.status == 204 => Ok(()),
        Ok(reply) => Err(format!("{PATH} answers {}", reply.status)),
        Err(failure) => Err(failure.detail),
    }
}
