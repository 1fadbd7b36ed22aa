//! Each way in which a service or a network fails: the bot decides in time, says why, and recovers by itself.

use std::time::{Duration, Instant};

use tidegate_client::{BreakerState, Client, Decision, Reason, Source};

use crate::service::{Act, SOUND, Service, bars, decide, problem};

/// For a busy machine.
const SLACK_MS: f64 = 250.0;
const DECIDE_MS: f64 = 400.0;
const SETTINGS: &str =
    "deadline.decide_ms = 400\ndeadline.attempt_ms = 120\ndeadline.connect_ms = 100\nbreaker.failures = 1000";

async fn in_time(client: &Client) -> Decision {
    let started = Instant::now();
    let decision = decide(client).await;
    let elapsed_ms = started.elapsed().as_secs_f64() * 1000.0;
    assert!(elapsed_ms < DECIDE_MS + SLACK_MS, "{elapsed_ms} ms");
    assert!(decision.elapsed_ms <= elapsed_ms);
    decision
}

#[tokio::test]
async fn every_fault_is_asked_again_named_and_got_over() {
    let service = Service::start().await;
    let client = service.client(SETTINGS).await;
    assert_eq!(in_time(&client).await.source, Source::Model);
    let faults = [
        ("reset", Act::Reset, Reason::Unreachable),
        ("hang up", Act::HangUp, Reason::Unreachable),
        (
            "half a head",
            Act::Raw(b"HTTP/1.1 200 OK\r\ncontent-le".to_vec()),
            Reason::Unreachable,
        ),
        ("black hole", Act::Silence, Reason::Timeout),
        ("drips", Act::Drip(5), Reason::Timeout),
        ("late", Act::Late(300), Reason::Timeout),
        ("truncated", Act::Truncate, Reason::BadAnswer),
        (
            "no HTTP",
            Act::Raw(b"SSH-2.0-OpenSSH_9.6\r\n\r\n".to_vec()),
            Reason::BadAnswer,
        ),
        ("no JSON", Act::Say(200, "", "<html>".to_owned()), Reason::BadAnswer),
        (
            "other JSON",
            Act::Say(200, "", "{\"answers\": []}".to_owned()),
            Reason::BadAnswer,
        ),
        ("no body", Act::Say(200, "", String::new()), Reason::BadAnswer),
        (
            "a large body",
            Act::Say(200, "", format!("\"{}\"", "x".repeat(1 << 20))),
            Reason::BadAnswer,
        ),
        ("500", problem(500, "internal"), Reason::ServerError),
        (
            "502 of a proxy",
            Act::Say(502, "", "<html>bad gateway</html>".to_owned()),
            Reason::ServerError,
        ),
        ("503", problem(503, "not_ready"), Reason::ServerError),
        ("504", Act::Say(504, "", String::new()), Reason::ServerError),
        ("408", problem(408, "request_timeout"), Reason::ServerError),
    ];
    for (name, fault, reason) in faults {
        let most = if reason == Reason::Timeout { 4 } else { 3 };
        service.always(fault.clone());
        let decision = in_time(&client).await;
        assert_eq!(
            (decision.source, decision.reason),
            (Source::Fallback, Some(reason)),
            "{name}: {:?}",
            decision.detail
        );
        assert!(
            (2..=most).contains(&decision.attempts),
            "{name}: {} attempts",
            decision.attempts
        );
        assert!(decision.probability.is_none() && decision.version.is_none(), "{name}");
        service.always(SOUND);
        service.script([fault]);
        let decision = in_time(&client).await;
        assert_eq!(
            (decision.source, decision.attempts),
            (Source::Model, 2),
            "{name}: {:?}",
            decision.detail
        );
    }
}

#[tokio::test]
async fn what_would_not_come_better_is_not_asked_again() {
    let service = Service::start().await;
    let client = service.client(SETTINGS).await;
    for (act, reason) in [
        (problem(400, "malformed"), Reason::Refused),
        (problem(401, "unauthorised"), Reason::Refused),
        (Act::Say(404, "", "nothing here".to_owned()), Reason::Refused),
        (problem(422, "bars_refused"), Reason::Refused),
        (problem(501, "none"), Reason::ServerError),
        (
            Act::Say(302, "location: http://127.0.0.1:1/\r\n", String::new()),
            Reason::BadAnswer,
        ),
        (Act::Say(201, "", String::new()), Reason::BadAnswer),
    ] {
        service.script([act]);
        let decision = in_time(&client).await;
        assert_eq!(
            (decision.reason, decision.attempts),
            (Some(reason), 1),
            "{:?}",
            decision.detail
        );
    }
}

#[tokio::test]
async fn a_refusal_names_the_problem() {
    let service = Service::start().await;
    let client = service.client(SETTINGS).await;
    service.script([problem(401, "unauthorised")]);
    assert_eq!(
        in_time(&client).await.detail.as_deref(),
        Some("401 unauthorised: what to do")
    );
}

#[tokio::test]
async fn nobody_there_is_unreachable() {
    let service = Service::start().await;
    let client = service.client(SETTINGS).await;
    in_time(&client).await;
    drop(service);
    let decision = in_time(&client).await;
    assert_eq!(
        (decision.reason, decision.attempts),
        (Some(Reason::Unreachable), 3),
        "{:?}",
        decision.detail
    );
}

#[tokio::test]
async fn a_description_that_fails_is_told_as_the_failure() {
    let service = Service::start().await;
    for (act, reason) in [
        (Act::Silence, Reason::Timeout),
        (Act::HangUp, Reason::Unreachable),
        (problem(503, "not_ready"), Reason::ServerError),
        (
            Act::Say(200, "", "[{\"strategy\": \"trend\"}]".to_owned()),
            Reason::BadAnswer,
        ),
        (problem(403, "forbidden"), Reason::Refused),
        (Act::Say(429, "retry-after: 30\r\n", String::new()), Reason::RateLimited),
    ] {
        service.model(Some(act));
        let client = service.client(SETTINGS).await;
        let decision = in_time(&client).await;
        assert_eq!(
            (decision.reason, decision.attempts, decision.request_id),
            (Some(reason), 0, None)
        );
    }
    assert!(service.predictions().is_empty());
}

#[tokio::test]
async fn a_429_pauses_every_request_and_is_no_failure() {
    let service = Service::start().await;
    let client = service.client("breaker.failures = 1").await;
    service.script([Act::Say(429, "retry-after: 30\r\n", String::new())]);
    let decision = decide(&client).await;
    assert_eq!((decision.reason, decision.attempts), (Some(Reason::RateLimited), 1));
    for symbol in ["EUR/USD", "GBP/USD"] {
        let decision = client.decide(symbol, &bars(6), &tidegate_client::Position::FLAT).await;
        assert_eq!((decision.reason, decision.attempts), (Some(Reason::RateLimited), 0));
    }
    assert_eq!(client.state().breaker, BreakerState::Closed);
    assert_eq!(service.predictions().len(), 1);
}

#[tokio::test]
async fn a_429_that_ends_before_the_deadline_is_waited_for() {
    let service = Service::start().await;
    let client = service.client("").await;
    service.script([Act::Say(429, "retry-after: 0\r\n", String::new())]);
    let decision = decide(&client).await;
    assert_eq!((decision.source, decision.attempts), (Source::Model, 2));
}

#[tokio::test]
async fn a_dead_connection_is_not_tried_twice() {
    let service = Service::start().await;
    let client = service.client(SETTINGS).await;
    // Two connections are kept from here on.
    service.script([Act::Late(20), Act::Late(20)]);
    let flat = tidegate_client::Position::FLAT;
    let window = bars(6);
    tokio::join!(
        client.decide("EUR/USD", &window, &flat),
        client.decide("GBP/USD", &window, &flat)
    );
    let known: Vec<u64> = service.predictions().iter().map(|seen| seen.connection).collect();
    service.script([Act::Silence]);
    assert_eq!(in_time(&client).await.source, Source::Model);
    let last = service.predictions().last().unwrap().connection;
    assert!(!known.contains(&last), "connection {last} of {known:?}");
}

#[tokio::test]
async fn a_connection_that_the_service_closed_meanwhile_costs_no_decision() {
    let service = Service::start().await;
    let client = service.client(SETTINGS).await;
    service.always(Act::Say(503, "connection: close\r\n", String::new()));
    in_time(&client).await;
    service.always(SOUND);
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(in_time(&client).await.source, Source::Model);
}

#[tokio::test]
async fn a_short_deadline_is_kept_too() {
    let service = Service::start().await;
    let client = service
        .client("deadline.decide_ms = 10\ndeadline.attempt_ms = 10\ndeadline.connect_ms = 10")
        .await;
    service.model(Some(Act::Silence));
    let decision = decide(&client).await;
    assert_eq!(decision.reason, Some(Reason::Timeout));
    assert!(decision.elapsed_ms < 10.0 + SLACK_MS);
}
