//! The breaker, seen from outside: no request while it is open, one attempt while it is half open.

use std::time::Duration;

use tidegate_client::{BreakerState, Health, Position, Reason, Source};

use crate::service::{Act, SOUND, Service, bars, decide, problem};

const SETTINGS: &str = "breaker.failures = 2\nbreaker.open_ms = 100\nbreaker.open_max_ms = 200\nretry.attempts = 3";

/// Longer than the first time open, with its random factor.
async fn wait_until_half_open() {
    tokio::time::sleep(Duration::from_millis(130)).await;
}

#[tokio::test]
async fn it_opens_probes_once_and_closes() {
    let service = Service::start().await;
    let client = service.client(SETTINGS).await;
    service.always(problem(500, "internal"));
    let told = [decide(&client).await, decide(&client).await, decide(&client).await];
    let told: Vec<_> = told
        .iter()
        .map(|one| (one.reason.unwrap(), one.attempts, one.breaker))
        .collect();
    assert_eq!(
        told,
        [
            (Reason::ServerError, 3, BreakerState::Closed),
            (Reason::ServerError, 3, BreakerState::Open),
            (Reason::BreakerOpen, 0, BreakerState::Open),
        ]
    );
    wait_until_half_open().await;
    assert_eq!(client.state().breaker, BreakerState::HalfOpen);
    let probe = decide(&client).await;
    assert_eq!((probe.attempts, probe.breaker), (1, BreakerState::Open));
    service.always(SOUND);
    tokio::time::sleep(Duration::from_millis(250)).await;
    let probe = decide(&client).await;
    assert_eq!((probe.source, probe.breaker), (Source::Model, BreakerState::Closed));
    assert!(client.metrics_text().contains("tidegate_client_breaker_opened_total 2"));
}

#[tokio::test]
async fn one_exchange_at_a_time_while_it_is_half_open_and_one_given_up_frees_its_place() {
    let service = Service::start().await;
    let client = service.client(SETTINGS).await;
    service.always(Act::HangUp);
    for _ in 0..2 {
        decide(&client).await;
    }
    wait_until_half_open().await;
    service.always(Act::Late(150));
    let (window, flat) = (bars(6), Position::FLAT);
    let other = async {
        tokio::time::sleep(Duration::from_millis(30)).await;
        client.decide("GBP/USD", &window, &flat).await
    };
    let given_up = tokio::time::timeout(Duration::from_millis(60), client.decide("EUR/USD", &window, &flat));
    let (given_up, other) = tokio::join!(given_up, other);
    assert!(given_up.is_err());
    assert_eq!((other.reason, other.attempts), (Some(Reason::BreakerOpen), 0));
    let decision = decide(&client).await;
    assert_eq!(
        (decision.source, decision.breaker),
        (Source::Model, BreakerState::Closed)
    );
}

#[tokio::test]
async fn a_service_that_is_ready_ends_the_wait_and_one_that_is_gone_opens_it() {
    let service = Service::start().await;
    let client = service.client("breaker.failures = 2\nbreaker.open_ms = 60000").await;
    assert_eq!(client.state().health, Health::Unknown);
    service.ready(Some(Act::HangUp));
    for expected in [BreakerState::Closed, BreakerState::Open, BreakerState::Open] {
        assert_eq!(client.poll_now().await, Health::Unreachable);
        assert_eq!(client.state().breaker, expected);
    }
    service.ready(Some(problem(503, "not_ready")));
    assert_eq!(client.poll_now().await, Health::NotReady);
    assert_eq!(client.state().breaker, BreakerState::Open);
    service.ready(None);
    assert_eq!(client.poll_now().await, Health::Ready);
    assert_eq!(client.state().breaker, BreakerState::HalfOpen);
    assert_eq!(decide(&client).await.breaker, BreakerState::Closed);
}

#[tokio::test]
async fn an_exchange_that_is_understood_starts_the_count_anew() {
    let service = Service::start().await;
    let client = service.client("breaker.failures = 2\nretry.attempts = 1").await;
    for act in [
        Act::HangUp,
        problem(422, "bars_refused"),
        Act::HangUp,
        problem(409, "window_unknown"),
    ] {
        service.script([act]);
        assert_eq!(decide(&client).await.breaker, BreakerState::Closed);
    }
}
