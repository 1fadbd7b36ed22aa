//! Which bars are sent.

use std::sync::atomic::Ordering;

use serde_json::json;
use tidegate_client::{BreakerState, Client, Decision, Position, Reason, Source};

use crate::service::{Act, CLOSED_AT, HOUR, LOOKBACK, Service, Stopped, bars, problem};

/// Decides on the newest of so many bars.
async fn on(client: &Client, clock: &Stopped, count: i64) -> Decision {
    clock.0.store(CLOSED_AT + (count - 6) * HOUR, Ordering::Relaxed);
    client.decide("EUR/USD", &bars(count), &Position::FLAT).await
}

/// How many bars each request carried, and whether it named the bar before them.
fn sent(service: &Service) -> Vec<(usize, bool)> {
    let all = service.predictions();
    for seen in &all {
        if let Some(after) = seen.after() {
            assert_eq!(after, seen.opened_at()[0] - HOUR, "the bar before the first one sent");
        }
    }
    all.iter()
        .map(|seen| (seen.opened_at().len(), seen.after().is_some()))
        .collect()
}

const WHOLE: (usize, bool) = (LOOKBACK, false);

#[tokio::test]
async fn the_whole_window_once_and_then_the_new_bars() {
    let service = Service::start().await;
    let (builder, clock) = service.builder("");
    let client = builder.connect().await.unwrap();
    for count in [6, 7, 7, 9, 14] {
        assert_eq!(on(&client, &clock, count).await.source, Source::Model);
    }
    assert_eq!(sent(&service), [WHOLE, (1, true), (1, true), (2, true), WHOLE]);
    let known = service.predictions();
    assert_eq!(
        known[2].body["items"][0]["bars"], known[1].body["items"][0]["bars"],
        "the newest bar again"
    );
}

#[tokio::test]
async fn what_was_not_understood_is_not_known() {
    let service = Service::start().await;
    let (builder, clock) = service.builder("retry.attempts = 1");
    let client = builder.connect().await.unwrap();
    on(&client, &clock, 6).await;
    service.script([
        Act::Truncate,
        Act::Signal(|answer| answer["answers"][0]["data_age_ms"] = json!(9999)),
    ]);
    for count in [7, 8, 9] {
        on(&client, &clock, count).await;
    }
    service.script([Act::Signal(|answer| {
        answer["answers"][0]["abstain"] = json!({"reason": "stale_data", "detail": "late"});
    })]);
    for count in [10, 11] {
        on(&client, &clock, count).await;
    }
    let new = |bars| (bars, true);
    assert_eq!(
        sent(&service),
        [WHOLE, new(1), new(2), new(3), new(1), new(1)],
        "an abstention is understood"
    );
}

#[tokio::test]
async fn symbols_have_windows_of_their_own() {
    let service = Service::start().await;
    let client = service.client("").await;
    for symbol in ["EUR/USD", "GBP/USD", "EUR/USD"] {
        client.decide(symbol, &bars(6), &Position::FLAT).await;
    }
    assert_eq!(sent(&service), [WHOLE, WHOLE, (1, true)]);
}

#[tokio::test]
async fn a_409_is_answered_once_with_the_whole_window() {
    let service = Service::start().await;
    for name in ["window_unknown", "window_gapped", "window_conflict"] {
        let (builder, clock) = service.builder("breaker.failures = 1\nretry.attempts = 1");
        let client = builder.connect().await.unwrap();
        on(&client, &clock, 6).await;
        service.script([problem(409, name)]);
        let decision = on(&client, &clock, 7).await;
        assert_eq!((decision.source, decision.attempts), (Source::Model, 2), "{name}");
        let all = service.predictions();
        let last = all.last().unwrap();
        assert_eq!(
            (last.after(), last.opened_at()),
            (None, bars(7).newest(LOOKBACK).opened_at)
        );
        service.script([problem(409, name), problem(409, name)]);
        let decision = on(&client, &clock, 8).await;
        assert_eq!(
            (decision.reason, decision.attempts),
            (Some(Reason::WindowUnaccepted), 2),
            "{name}"
        );
        assert_eq!(client.state().breaker, BreakerState::Closed, "no failure");
    }
}

#[tokio::test]
async fn two_bots_with_one_key_decide_each_by_its_own_bars() {
    let service = Service::start().await;
    let (builder, clock) = service.builder("");
    let (one, other) = (builder.connect().await.unwrap(), service.client("").await);
    let theirs = |count| {
        let mut bars = bars(count);
        bars.volume.iter_mut().for_each(|volume| *volume += 1.0);
        bars
    };
    on(&one, &clock, 6).await;
    other.decide("EUR/USD", &theirs(6), &Position::FLAT).await;
    // The service keeps the other one's window under the same key: what is sent behind it is judged with that.
    let decision = on(&one, &clock, 7).await;
    assert_eq!((decision.source, decision.attempts), (Source::Model, 2));
    assert_eq!(sent(&service), [WHOLE, WHOLE, (1, true), WHOLE]);
    let text = one.metrics_text();
    assert!(
        text.contains("requests_total{route=\"/v1/predict\",outcome=\"wrong_window\"} 1"),
        "{text}"
    );
}

#[tokio::test]
async fn other_bars_to_the_end_are_no_signal_and_a_failure() {
    let service = Service::start().await;
    let client = service.client("breaker.failures = 1\nretry.attempts = 1").await;
    service.always(Act::Signal(|answer| {
        answer["answers"][0]["input_digest"] = json!("d".repeat(64));
    }));
    let decision = client.decide("EUR/USD", &bars(6), &Position::FLAT).await;
    assert_eq!(
        (decision.reason, decision.attempts, decision.breaker),
        (Some(Reason::WrongWindow), 2, BreakerState::Open)
    );
    assert_eq!((sent(&service), decision.version), (vec![WHOLE, WHOLE], Some(12)));
}

#[tokio::test]
async fn a_model_that_looks_further_back_gets_the_whole_window() {
    let service = Service::start().await;
    let (builder, clock) = service.builder("");
    let client = builder.connect().await.unwrap();
    on(&client, &clock, 9).await;
    service.serve(|served| served["production"]["lookback"] = json!(6));
    client.poll_now().await;
    for count in [10, 11] {
        assert_eq!(on(&client, &clock, count).await.source, Source::Model);
    }
    assert_eq!(sent(&service), [WHOLE, (6, false), (1, true)]);
}

#[tokio::test]
async fn a_window_that_is_too_short_for_a_new_model_is_sent_longer() {
    let service = Service::start().await;
    let client = service.client("").await;
    client.decide("EUR/USD", &bars(6), &Position::FLAT).await;
    service.serve(|served| served["production"]["lookback"] = json!(6));
    service.script([problem(422, "window_too_short")]);
    let decision = client.decide("EUR/USD", &bars(6), &Position::FLAT).await;
    assert_eq!((decision.source, decision.attempts), (Source::Model, 2));
    assert_eq!(sent(&service).last(), Some(&(6, false)));
}

#[tokio::test]
async fn a_bar_that_changed_sends_the_whole_window() {
    let service = Service::start().await;
    let (builder, clock) = service.builder("");
    let client = builder.connect().await.unwrap();
    on(&client, &clock, 6).await;
    let mut mended = bars(7);
    mended.volume[4] += 1.0;
    clock.0.store(CLOSED_AT + HOUR, Ordering::Relaxed);
    client.decide("EUR/USD", &mended, &Position::FLAT).await;
    assert_eq!(sent(&service), [WHOLE, WHOLE]);
}
