//! What a decision says, and what never reaches the service.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};
use tidegate_client::{ApiKey, BreakerState, Client, Decision, Fallback, FallbackUsed, Position, Reason, Side, Source};

use crate::service::{Act, CLOSED_AT, HOUR, SOUND, Service, bars, decide, model, problem_body};

fn held(side: Side, entry_price: f64) -> Position {
    Position {
        side,
        entry_price,
        bars_held: 2,
    }
}

#[tokio::test]
async fn a_signal_is_taken_and_told_whole() {
    let service = Service::start().await;
    let client = service.client("").await;
    let decision = decide(&client).await;
    let expected = Decision {
        decided_at: CLOSED_AT,
        bot: "bot-1".to_owned(),
        strategy: "trend".to_owned(),
        symbol: "EUR/USD".to_owned(),
        bar_closed_at: Some(CLOSED_AT),
        target: Side::Long,
        source: Source::Model,
        reason: None,
        detail: None,
        version: Some(12),
        bundle_digest: Some("a".repeat(64)),
        probability: Some(0.7),
        fallback: None,
        attempts: 1,
        elapsed_ms: decision.elapsed_ms,
        breaker: BreakerState::Closed,
        dry_run: false,
        request_id: decision.request_id.clone(),
    };
    assert_eq!(decision, expected);
    let request = &service.predictions()[0];
    assert_eq!(request.body["strategy"], "trend");
    assert_eq!(request.body["request_id"], json!(decision.request_id));
    assert!(
        request
            .head
            .contains(&format!("x-request-id: {}", decision.request_id.unwrap()))
    );
    let state = client.state();
    assert_eq!(
        (state.version, state.clock_skew_ms, state.halted),
        (Some(12), Some(0), false)
    );
    assert_eq!(state.decisions, [("model".to_owned(), 1)].into());
}

#[tokio::test]
async fn every_request_has_a_name_of_its_own_and_a_sound_one() {
    let service = Service::start().await;
    let client = service.client("").await;
    for _ in 0..3 {
        decide(&client).await;
    }
    let mut names: Vec<String> = service
        .predictions()
        .iter()
        .map(|seen| seen.body["request_id"].as_str().unwrap().to_owned())
        .collect();
    names.dedup();
    assert_eq!(names.len(), 3);
    let sound = |name: &String| {
        name.len() <= 64
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    };
    assert!(names.iter().all(sound), "{names:?}");
}

#[tokio::test]
async fn the_key_is_sent_and_shown_nowhere() {
    let service = Service::start().await;
    let mut config = tidegate_client::Config::parse(
        &format!(
            "url = \"http://{}\"\nstrategy = \"trend\"\ninterval = \"1h\"\nbot = \"b\"\nclock = \"bars\"\nhealth.poll_ms = 0",
            service.address
        ),
        &std::collections::HashMap::new(),
    )
    .unwrap();
    config.api_key = Some(ApiKey::new("tg_secret"));
    assert!(!format!("{:?}", Client::builder(config.clone())).contains("secret"));
    let client = Client::connect(config).await.unwrap();
    decide(&client).await;
    assert!(
        service.seen("/v1/model")[0]
            .head
            .contains("authorization: Bearer tg_secret")
    );
    assert!(!format!("{client:?}{:?}{}", client.state(), client.metrics_text()).contains("secret"));
}

#[tokio::test]
async fn what_is_not_usable_never_reaches_the_service() {
    let service = Service::start().await;
    let client = service.client("breaker.failures = 1").await;
    let mut wrong = vec![bars(0), bars(6), bars(6), bars(6), bars(6), bars(6)];
    wrong[1].close[3] = f64::NAN;
    wrong[2].volume.pop();
    wrong[3].opened_at[2] = wrong[3].opened_at[1];
    wrong[4].high[5] = wrong[4].low[5];
    wrong[5].open[0] = 0.0;
    for bars in &wrong {
        let decision = client.decide("EUR/USD", bars, &Position::FLAT).await;
        assert_eq!(
            (decision.reason, decision.bar_closed_at),
            (Some(Reason::WindowRefused), None)
        );
    }
    for position in [
        held(Side::Long, 0.0),
        held(Side::Short, f64::NAN),
        Position {
            bars_held: 0,
            ..held(Side::Long, 1.0)
        },
    ] {
        let decision = client.decide("EUR/USD", &bars(6), &position).await;
        assert_eq!(
            (decision.reason, decision.bar_closed_at),
            (Some(Reason::PositionRefused), Some(CLOSED_AT))
        );
    }
    assert!(service.seen("/v1/model").is_empty() && service.predictions().is_empty());
    assert_eq!(client.state().breaker, BreakerState::Closed);
}

#[tokio::test]
async fn bars_have_their_time() {
    let service = Service::start().await;
    let (builder, clock) = service.builder("");
    let client = builder.connect().await.unwrap();
    for (now, expected) in [
        (CLOSED_AT - 2001, Some(Reason::BarNotClosed)),
        (CLOSED_AT + HOUR + 1, Some(Reason::StaleBars)),
        (CLOSED_AT - 2000, None),
    ] {
        clock.0.store(now, Ordering::Relaxed);
        let asked_before = service.predictions().len();
        let decision = decide(&client).await;
        assert_eq!(decision.reason, expected);
        assert_eq!(
            service.predictions().len() - asked_before,
            usize::from(expected.is_none())
        );
    }
}

#[tokio::test]
async fn a_halt_is_a_decision_whatever_else_the_answer_says() {
    let service = Service::start().await;
    let client = service.client("fallback.strategy = \"hold\"").await;
    let halted =
        |answer: &mut Value| answer["answers"][0]["abstain"] = json!({"reason": "halted", "detail": "by hand"});
    service.script([Act::Signal(halted)]);
    let decision = client.decide("EUR/USD", &bars(6), &held(Side::Long, 100.0)).await;
    assert_eq!(
        (decision.source, decision.target, decision.reason),
        (Source::Halt, Side::Flat, Some(Reason::Halted))
    );
    assert_eq!((decision.detail.as_deref(), decision.fallback), (Some("by hand"), None));
    assert!(client.state().halted);
    decide(&client).await;
    assert!(!client.state().halted);
}

#[tokio::test]
async fn a_halted_strategy_without_a_model_is_asked_for_its_halt() {
    let service = Service::start().await;
    service.serve(|served| {
        served["halted"] = json!("by hand");
        served["production"] = Value::Null;
        // It would not do for this bot, and must not stand between the bot and the halt.
        served["before"]["symbols"] = json!([]);
    });
    service.always(Act::Signal(|answer| {
        let answer = &mut answer["answers"][0];
        for field in [
            "version",
            "bundle_digest",
            "bar_closed_at",
            "valid_until",
            "data_age_ms",
            "probability",
        ] {
            answer[field] = Value::Null;
        }
        answer["abstain"] = json!({"reason": "halted", "detail": "by hand"});
    }));
    let client = service.client("").await;
    assert_eq!(decide(&client).await.source, Source::Halt);
}

#[tokio::test]
async fn no_model_is_no_signal() {
    let service = Service::start().await;
    service.serve(|served| {
        served["production"] = Value::Null;
        served["before"] = Value::Null;
    });
    let client = service.client("").await;
    let decision = decide(&client).await;
    assert_eq!((decision.reason, decision.attempts), (Some(Reason::ServerError), 0));
    service.serve(|served| served["production"] = model(12, "a"));
    assert_eq!(decide(&client).await.source, Source::Model);
}

#[tokio::test]
async fn a_model_of_other_bars_or_symbols_is_not_asked_and_the_next_one_is() {
    let service = Service::start().await;
    let client = service.client("").await;
    for change in [("interval", json!("5m")), ("symbols", json!(["USD/JPY"]))] {
        service.serve(|served| served["production"][change.0] = change.1);
        let client = service.client("").await;
        let decision = decide(&client).await;
        assert_eq!(
            (decision.reason, decision.attempts),
            (Some(Reason::UnexpectedVersion), 0)
        );
        service.serve(|served| served["production"] = model(12, "a"));
        assert_eq!(
            decide(&client).await.source,
            Source::Model,
            "an old description is not kept for ever"
        );
    }
    let few = client.decide("EUR/USD", &bars(6).newest(3), &Position::FLAT).await;
    assert_eq!((few.reason, few.attempts), (Some(Reason::WindowRefused), 0));
}

#[tokio::test]
async fn a_strategy_that_is_not_served_is_refused() {
    let service = Service::start().await;
    service.serve(|served| served["strategy"] = json!("another"));
    let client = service.client("").await;
    let decision = decide(&client).await;
    assert_eq!((decision.reason, decision.attempts), (Some(Reason::Refused), 0));
}

#[tokio::test]
async fn hold_holds_for_its_bars_and_leaves_where_the_policy_does() {
    let service = Service::start().await;
    let (builder, clock) = service.builder("fallback.strategy = \"hold\"\nfallback.hold_bars = 2\nretry.attempts = 1");
    let client = builder.connect().await.unwrap();
    decide(&client).await;
    service.always(Act::HangUp);
    let mut told = Vec::new();
    for count in [7, 7, 8, 9] {
        clock.0.store(CLOSED_AT + (count - 6) * HOUR, Ordering::Relaxed);
        let decision = client.decide("EUR/USD", &bars(count), &held(Side::Long, 100.0)).await;
        told.push((decision.target, decision.fallback.unwrap()));
    }
    let holds = (Side::Long, FallbackUsed::Hold);
    assert_eq!(
        told,
        [holds, holds, holds, (Side::Flat, FallbackUsed::Flat)],
        "one bar asked about twice counts once"
    );
    service.always(SOUND);
    client.decide("EUR/USD", &bars(9), &held(Side::Long, 100.0)).await;
    service.always(Act::HangUp);
    let stopped = client.decide("EUR/USD", &bars(9), &held(Side::Long, 102.0)).await;
    assert_eq!(
        (stopped.target, stopped.fallback),
        (Side::Flat, Some(FallbackUsed::Exit)),
        "a loss of over a hundredth"
    );
}

#[tokio::test]
async fn the_last_policy_outlives_its_model() {
    let service = Service::start().await;
    let client = service.client("fallback.strategy = \"hold\"").await;
    decide(&client).await;
    service.serve(|served| {
        served["production"] = Value::Null;
        served["before"] = Value::Null;
    });
    client.poll_now().await;
    let decision = client.decide("EUR/USD", &bars(6), &held(Side::Long, 102.0)).await;
    assert_eq!(
        (decision.reason, decision.fallback),
        (Some(Reason::ServerError), Some(FallbackUsed::Exit))
    );
}

#[tokio::test]
async fn a_closure_knows_the_situation_and_may_fail() {
    let service = Service::start().await;
    service.always(Act::HangUp);
    let (builder, _) = service.builder("retry.attempts = 1");
    let rule: tidegate_client::Closure = std::sync::Arc::new(|situation| {
        assert_eq!(situation.reason, Reason::Unreachable, "fails from the second time on");
        assert_eq!(
            (situation.bars_without_signal, situation.position.side),
            (1, Side::Short)
        );
        assert!(situation.policy.is_some() && situation.close.is_some());
        situation.position.side
    });
    let client = builder.fallback(Fallback::Closure(rule)).connect().await.unwrap();
    let decision = client.decide("EUR/USD", &bars(6), &held(Side::Short, 100.0)).await;
    assert_eq!(
        (decision.target, decision.fallback),
        (Side::Short, Some(FallbackUsed::Closure))
    );
    service.always(Act::Say(500, "", String::new()));
    let decision = client.decide("EUR/USD", &bars(6), &held(Side::Short, 100.0)).await;
    assert_eq!(
        (decision.target, decision.fallback),
        (Side::Flat, Some(FallbackUsed::Closure))
    );
}

#[tokio::test]
async fn a_flat_position_is_sent_as_one_whatever_else_it_holds() {
    let service = Service::start().await;
    let client = service.client("").await;
    let odd = Position {
        side: Side::Flat,
        entry_price: f64::NAN,
        bars_held: 9,
    };
    assert_eq!(client.decide("EUR/USD", &bars(6), &odd).await.source, Source::Model);
    let sent = &service.predictions()[0].body["items"][0]["position"];
    assert_eq!(sent, &json!({"side": 0, "entry_price": 0.0, "bars_held": 0}));
}

#[tokio::test]
async fn a_dry_run_decides_and_acts_on_nothing() {
    let service = Service::start().await;
    let (builder, _) = service.builder("");
    let live = builder.connect().await.unwrap();
    assert_eq!(decide(&live).await.target_to_act_on(), Some(Side::Long));
    let settings = format!(
        "url = \"http://{}\"\nstrategy = \"trend\"\ninterval = \"1h\"\nbot = \"b\"\nclock = \"bars\"",
        service.address
    );
    let config = tidegate_client::Config::parse(&settings, &std::collections::HashMap::new()).unwrap();
    let dry = Client::connect(config).await.unwrap();
    let decision = decide(&dry).await;
    assert_eq!(
        (decision.source, decision.target, decision.target_to_act_on()),
        (Source::Model, Side::Long, None)
    );
    dry.close().await;
}

#[tokio::test]
async fn symbols_are_decided_side_by_side() {
    let service = Service::start().await;
    service.always(Act::Late(100));
    let client = service.client("").await;
    let (bars, flat) = (bars(6), Position::FLAT);
    let (one, other) = tokio::join!(
        client.decide("EUR/USD", &bars, &flat),
        client.decide("GBP/USD", &bars, &flat)
    );
    assert_eq!((one.source, other.source), (Source::Model, Source::Model));
    assert_eq!((one.symbol.as_str(), other.symbol.as_str()), ("EUR/USD", "GBP/USD"));
}

#[tokio::test]
async fn a_problem_of_the_symbol_is_as_one_of_the_whole_answer() {
    let service = Service::start().await;
    let client = service.client("").await;
    let with = |status: u16, name: &str| {
        let answer = json!({"request_id": "@", "instance": "i", "strategy": "trend", "answered_at": 1, "logged": true, "answers": [{
            "symbol": "EUR/USD", "version": null, "bundle_digest": null, "bar_closed_at": null, "valid_until": null, "data_age_ms": null,
            "probability": null, "signal": null, "target_position": null, "out_of_distribution": null, "abstain": null,
            "problem": problem_body(status, name), "input_digest": null}]});
        answer.to_string()
    };
    // Its request id is another one, so it is no answer to this question.
    service.script(vec![Act::Say(200, "", with(422, "bars_refused")); 3]);
    assert_eq!(decide(&client).await.reason, Some(Reason::BadAnswer));
    let refuse = |answer: &mut Value| answer["answers"][0]["problem"] = problem_body(422, "bars_refused");
    let fail = |answer: &mut Value| answer["answers"][0]["problem"] = problem_body(503, "model_failed");
    service.script([
        Act::Signal(refuse),
        Act::Signal(fail),
        Act::Signal(fail),
        Act::Signal(fail),
    ]);
    let refused = decide(&client).await;
    assert_eq!((refused.reason, refused.attempts), (Some(Reason::Refused), 1));
    let failed = decide(&client).await;
    assert_eq!((failed.reason, failed.attempts), (Some(Reason::ServerError), 3));
}
