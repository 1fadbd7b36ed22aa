//! Answers that came whole and are no signal all the same: each line of the contract's table, in its order.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};
use tidegate_client::{BreakerState, Position, Reason, Side, Source};

use crate::service::{Act, CLOSED_AT, HOUR, Service, bars, decide, model};

/// Changes a sound answer's only symbol.
macro_rules! changed {
    ($($field:literal: $value:expr),+) => {
        Act::Signal(|answer| { $( answer["answers"][0][$field] = json!($value); )+ })
    };
}

#[tokio::test]
async fn an_answer_that_is_no_signal_says_the_first_reason() {
    let service = Service::start().await;
    let client = service.client("breaker.failures = 1000\nretry.attempts = 1").await;
    for (act, reason) in [
        (
            Act::Signal(|answer| answer["request_id"] = json!("another")),
            Reason::BadAnswer,
        ),
        (
            Act::Signal(|answer| answer["strategy"] = json!("another")),
            Reason::BadAnswer,
        ),
        (changed!("symbol": "GBP/USD"), Reason::BadAnswer),
        (Act::Signal(|answer| answer["answers"] = json!([])), Reason::BadAnswer),
        (
            Act::Signal(|answer| answer["answers"] = json!([answer["answers"][0], answer["answers"][0]])),
            Reason::BadAnswer,
        ),
        (
            Act::Signal(|answer| {
                answer["answers"][0].as_object_mut().unwrap().remove("problem");
            }),
            Reason::BadAnswer,
        ),
        (changed!("target_position": 2), Reason::BadAnswer),
        (changed!("signal": "buy"), Reason::BadAnswer),
        (changed!("version": "12"), Reason::BadAnswer),
        (changed!("probability": 1.01), Reason::BadAnswer),
        (changed!("probability": -0.01), Reason::BadAnswer),
        (
            changed!("abstain": json!({"reason": "stale_data", "detail": "late"}), "bar_closed_at": 1),
            Reason::Abstained,
        ),
        (
            changed!("bar_closed_at": CLOSED_AT - HOUR, "valid_until": 1),
            Reason::WrongBar,
        ),
        (changed!("data_age_ms": 2001, "valid_until": 1), Reason::ClockSkew),
        (changed!("data_age_ms": -2001), Reason::ClockSkew),
        (changed!("data_age_ms": i64::MAX), Reason::ClockSkew),
        (
            Act::Signal(|answer| {
                answer["logged"] = json!(false);
                answer["answers"][0]["valid_until"] = json!(CLOSED_AT);
            }),
            Reason::TooOld,
        ),
        (
            Act::Signal(|answer| {
                answer["logged"] = json!(false);
                answer["answers"][0]["version"] = json!(99);
            }),
            Reason::NotLogged,
        ),
        (changed!("version": 99, "target_position": 0), Reason::UnexpectedVersion),
        (changed!("bundle_digest": "e".repeat(64)), Reason::UnexpectedVersion),
        (
            changed!("version": 13, "bundle_digest": "c".repeat(64)),
            Reason::UnexpectedVersion,
        ),
        (changed!("target_position": 0), Reason::BadAnswer),
        (changed!("target_position": -1), Reason::BadAnswer),
        (changed!("signal": "flat"), Reason::BadAnswer),
        (changed!("probability": 0.5), Reason::BadAnswer),
    ] {
        service.script([act]);
        let decision = decide(&client).await;
        assert_eq!(decision.reason, Some(reason), "{:?}", decision.detail);
        assert_eq!(
            (decision.source, decision.target, decision.probability),
            (Source::Fallback, Side::Flat, None)
        );
    }
    for field in [
        "version",
        "bundle_digest",
        "bar_closed_at",
        "valid_until",
        "data_age_ms",
        "probability",
        "signal",
        "target_position",
    ] {
        let mut sound = sound_body();
        sound["answers"][0][field] = Value::Null;
        assert_eq!(told(&service, &sound).await, Some(Reason::BadAnswer), "{field}");
    }
}

/// A sound answer, but for its request id.
fn sound_body() -> Value {
    json!({"request_id": "@", "instance": "i", "strategy": "trend", "answered_at": 1, "logged": true, "answers": [{
        "symbol": "EUR/USD", "version": 12, "bundle_digest": "a".repeat(64), "bar_closed_at": CLOSED_AT,
        "valid_until": CLOSED_AT + HOUR, "data_age_ms": 0, "probability": 0.7, "signal": "long", "target_position": 1,
        "out_of_distribution": 0.0, "abstain": null, "problem": null, "input_digest": null}]})
}

async fn told(service: &Service, body: &Value) -> Option<Reason> {
    let client = service.client("retry.attempts = 1").await;
    service.script([Act::Say(200, "", body.to_string())]);
    decide(&client).await.reason
}

#[tokio::test]
async fn the_model_before_may_answer_and_its_own_policy_judges() {
    let service = Service::start().await;
    service.serve(|served| served["before"]["policy"]["long_at"] = json!(0.9));
    let client = service.client("").await;
    service.script([
        changed!("version": 11, "bundle_digest": "b".repeat(64)),
        changed!("version": 11, "bundle_digest": "b".repeat(64), "signal": "flat", "target_position": 0),
    ]);
    let decision = decide(&client).await;
    assert_eq!((decision.reason, decision.version), (Some(Reason::BadAnswer), Some(11)));
    let decision = decide(&client).await;
    assert_eq!(
        (decision.source, decision.target, decision.version),
        (Source::Model, Side::Flat, Some(11))
    );
}

#[tokio::test]
async fn a_version_that_is_new_is_looked_up_within_the_decision() {
    let service = Service::start().await;
    let client = service.client("").await;
    decide(&client).await;
    service.serve(|served| {
        served["before"] = served["production"].clone();
        served["production"] = model(14, "e");
    });
    let decision = decide(&client).await;
    assert_eq!(
        (decision.source, decision.version, decision.attempts),
        (Source::Model, Some(14), 1)
    );
    assert_eq!(service.seen("/v1/model").len(), 2);
    decide(&client).await;
    assert_eq!(service.seen("/v1/model").len(), 2, "what is known is not asked again");
}

#[tokio::test]
async fn settings_and_time_can_forbid_a_model() {
    let service = Service::start().await;
    let digest = "a".repeat(64);
    for (settings, expected) in [
        ("answers.versions = [11]".to_owned(), Some(Reason::UnexpectedVersion)),
        ("answers.versions = [12]".to_owned(), None),
        (
            format!("answers.bundle_digests = [\"{}\"]", "b".repeat(64)),
            Some(Reason::UnexpectedVersion),
        ),
        (format!("answers.bundle_digests = [\"{digest}\"]"), None),
    ] {
        let decision = decide(&service.client(&settings).await).await;
        assert_eq!((decision.reason, decision.version), (expected, Some(12)), "{settings}");
    }
    service.serve(|served| served["production"]["expires_at"] = json!(CLOSED_AT));
    let decision = decide(&service.client("").await).await;
    assert_eq!(
        (decision.reason, decision.version),
        (Some(Reason::UnexpectedVersion), Some(12))
    );
}

#[tokio::test]
async fn what_the_service_said_of_itself_is_no_failure_and_a_lie_is() {
    let service = Service::start().await;
    for (act, state) in [
        (
            changed!("abstain": json!({"reason": "out_of_distribution", "detail": "far"})),
            BreakerState::Closed,
        ),
        (changed!("data_age_ms": 5000), BreakerState::Closed),
        (
            Act::Signal(|answer| answer["logged"] = json!(false)),
            BreakerState::Closed,
        ),
        (changed!("version": 99), BreakerState::Closed),
        (changed!("bar_closed_at": 1), BreakerState::Open),
        (changed!("valid_until": 1), BreakerState::Open),
        (changed!("target_position": 0), BreakerState::Open),
    ] {
        let client = service.client("breaker.failures = 1").await;
        service.script([act]);
        let decision = decide(&client).await;
        assert_eq!(decision.breaker, state, "{:?}", decision.reason);
    }
}

#[tokio::test]
async fn an_abstention_begins_with_its_reason() {
    let service = Service::start().await;
    let client = service.client("").await;
    service.script([changed!("abstain": json!({"reason": "out_of_distribution", "detail": "far off"}))]);
    let decision = decide(&client).await;
    assert_eq!(decision.detail.as_deref(), Some("out_of_distribution: far off"));
    assert_eq!(decision.version, Some(12));
}

#[tokio::test]
async fn unlogged_answers_are_signals_where_settings_say_so() {
    let service = Service::start().await;
    let client = service.client("answers.require_logged = false").await;
    service.script([Act::Signal(|answer| answer["logged"] = json!(false))]);
    assert_eq!(decide(&client).await.source, Source::Model);
}

#[tokio::test]
async fn the_target_is_judged_by_what_is_held() {
    let service = Service::start().await;
    let client = service.client("").await;
    let held = Position {
        side: Side::Long,
        entry_price: 100.0,
        bars_held: 2,
    };
    service.script([
        changed!("probability": 0.5, "signal": "flat", "target_position": 1),
        changed!("probability": 0.5, "signal": "flat", "target_position": 0),
    ]);
    let decision = client.decide("EUR/USD", &bars(6), &held).await;
    assert_eq!(
        (decision.source, decision.target),
        (Source::Model, Side::Long),
        "held on between the thresholds"
    );
    let decision = client.decide("EUR/USD", &bars(6), &held).await;
    assert_eq!(decision.reason, Some(Reason::BadAnswer));
}

#[tokio::test]
async fn the_skew_is_told_also_of_an_answer_that_is_refused_for_it() {
    let service = Service::start().await;
    let (builder, clock) = service.builder("");
    let client = builder.connect().await.unwrap();
    clock.0.store(CLOSED_AT + 60_000, Ordering::Relaxed);
    assert_eq!(decide(&client).await.reason, Some(Reason::ClockSkew));
    assert_eq!(client.state().clock_skew_ms, Some(-60_000));
    assert!(client.metrics_text().contains("tidegate_client_clock_skew_seconds -60"));
}
