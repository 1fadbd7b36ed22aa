//! What runs in the background: looks at the service, and signs of life.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tokio::task::AbortHandle;

use crate::client::Health;
use crate::clock::{Clock, SystemClock};
use crate::shared::Shared;
use crate::{exchange, heartbeat};

/// Starts the tasks that the settings ask for. They end with the client.
pub(crate) fn start(shared: &Arc<Shared>) -> Vec<AbortHandle> {
    let config = &shared.config;
    let mut tasks = Vec::new();
    if config.health.poll_ms > 0 {
        tasks.push(
            tokio::spawn(poll_on(
                Arc::downgrade(shared),
                Duration::from_millis(config.health.poll_ms),
            ))
            .abort_handle(),
        );
    }
    if config.heartbeat.every_ms > 0 {
        tasks.push(
            tokio::spawn(beat_on(
                Arc::downgrade(shared),
                Duration::from_millis(config.heartbeat.every_ms),
            ))
            .abort_handle(),
        );
    }
    tasks
}

async fn poll_on(shared: Weak<Shared>, every: Duration) {
    while let Some(strong) = shared.upgrade() {
        poll(&strong).await;
        drop(strong);
        tokio::time::sleep(every).await;
    }
}

async fn beat_on(shared: Weak<Shared>, every: Duration) {
    while let Some(strong) = shared.upgrade() {
        beat(&strong).await;
        let notice = Arc::clone(&strong.beat);
        drop(strong);
        // A notice that came meanwhile is kept, so a change of version is never told late.
        let _ = tokio::time::timeout(every, notice.notified()).await;
    }
}

/// One look: whether the service is ready, and what it says of the strategy.
pub(crate) async fn poll(shared: &Shared) -> Health {
    let limit = Duration::from_millis(shared.config.health.timeout_ms);
    let started = Instant::now();
    let found = shared.transport.get("/readyz", None, limit).await;
    let (health, outcome) = match &found {
        Ok(reply) if reply.status == 200 => (Health::Ready, "answered"),
        Ok(_) => (Health::NotReady, "answered"),
        Err(failure) => (Health::Unreachable, failure.reason.word()),
    };
    shared
        .metrics
        .requested("/readyz", outcome, started.elapsed().as_secs_f64());
    shared.healthy(health);
    if health != Health::Unreachable && !shared.is_waiting(Instant::now()) {
        exchange::refresh(shared, limit).await;
    }
    health
}

/// One sign of life.
pub(crate) async fn beat(shared: &Shared) -> bool {
    let limit = Duration::from_millis(shared.config.health.timeout_ms);
    // By this machine's clock also in a replay: the service tells by it how old the bot's last sign of life is.
    let message = heartbeat::message(&shared.config, &shared.state(), SystemClock.now());
    let started = Instant::now();
    let outcome = heartbeat::send(&shared.transport, &message, &shared.request_id(), limit).await;
    shared
        .metrics
        .requested(heartbeat::PATH, outcome, started.elapsed().as_secs_f64());
    let taken = outcome == heartbeat::TAKEN;
    shared.metrics.heartbeat(taken);
    taken
}
