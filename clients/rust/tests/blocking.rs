//! The blocking client: the same decisions from any thread, and within the deadline whatever its own thread does.

#![cfg(feature = "blocking")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // also outside of the tests' own functions

mod answering;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use answering::{DIGEST, NEVER, Script, answering, config};
use serde_json::{Value, json};
use tidegate_client::{
    Bar, Bars, Client as Waiting, ClockKind, Config, Fallback, FallbackUsed, Health, Position, Reason, Side, Source,
    blocking::Client,
};

/// A busy machine may take that much longer than a deadline.
const SLACK: Duration = Duration::from_millis(250);

fn bars(count: i64) -> Bars {
    let bar = |row| Bar {
        opened_at: row * 3_600_000,
        open: 1.0,
        high: 1.2,
        low: 0.9,
        close: 1.1,
        volume: 5.0,
    };
    (0..count).map(bar).collect()
}

/// Says 0.7 for every bar: go long.
fn long(asked: &Value) -> Value {
    let closed_at = asked["items"][0]["bars"]["opened_at"]
        .as_array()
        .unwrap()
        .last()
        .unwrap()
        .as_i64()
        .unwrap()
        + 3_600_000;
    let judged: Bars = serde_json::from_value(asked["items"][0]["bars"].clone()).unwrap();
    let digest = judged.digest(asked["items"][0]["symbol"].as_str().unwrap(), &"1h".parse().unwrap());
    json!({
        "request_id": asked["request_id"], "instance": "one", "strategy": asked["strategy"], "answered_at": closed_at,
        "logged": true,
        "answers": [{
            "symbol": asked["items"][0]["symbol"], "version": 7, "bundle_digest": DIGEST, "bar_closed_at": closed_at,
            "valid_until": NEVER, "data_age_ms": 0, "probability": 0.7, "signal": "long", "target_position": 1,
            "out_of_distribution": 0.0, "abstain": null, "problem": null, "input_digest": digest,
        }],
    })
}

fn service(runtime: &tokio::runtime::Runtime) -> (answering::Answering, Config) {
    let mut script = Script::good();
    script.predict = Some(long);
    let service = runtime.block_on(answering(script));
    let mut config = config(&service.url);
    config.clock = ClockKind::Bars;
    (service, config)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
}

fn unreachable() -> Config {
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let mut config = config(&format!("http://{closed}"));
    config.clock = ClockKind::Bars;
    config.deadline.decide_ms = 300;
    config.deadline.attempt_ms = 100;
    config.deadline.connect_ms = 50;
    config.retry.attempts = 1;
    config
}

#[test]
fn the_model_decides_and_everything_else_answers_too() {
    let there = runtime();
    let (service, config) = service(&there);
    let client = Client::connect(config).unwrap();
    assert_eq!(client.poll_now(), Health::Ready);
    assert!(client.heartbeat_now());
    assert_eq!(client.model().unwrap().production.unwrap().version, 7);
    let decision = client.decide("EUR/USD", &bars(60), &Position::FLAT);
    assert_eq!(
        (decision.source, decision.target, decision.version),
        (Source::Model, Side::Long, Some(7)),
        "{decision:?}"
    );
    assert_eq!(client.state().decisions.get("model"), Some(&1));
    assert!(client.metrics_text().contains("source=\"model\",reason=\"none\"} 1"));
    let before = service.asked.lock().unwrap().len();
    client.close();
    assert_eq!(service.asked.lock().unwrap().len(), before);
}

#[test]
fn it_works_inside_of_a_runtime_and_may_be_dropped_there() {
    let there = runtime();
    let (_service, config) = service(&there);
    let here = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let target = here.block_on(async {
        let client = Client::connect(config).unwrap();
        client.decide("EUR/USD", &bars(60), &Position::FLAT).target
    });
    assert_eq!(target, Side::Long);
}

#[test]
fn many_threads_may_decide_at_once() {
    let there = runtime();
    let (_service, config) = service(&there);
    let client = Client::connect(config).unwrap();
    std::thread::scope(|scope| {
        for symbol in ["EUR/USD", "EUR/USD", "GBP/USD"] {
            let client = &client;
            scope.spawn(move || {
                let decision = client.decide(symbol, &bars(60), &Position::FLAT);
                let known = symbol == "EUR/USD";
                assert_eq!(decision.source == Source::Model, known, "{decision:?}");
            });
        }
    });
}

#[test]
fn a_thread_that_is_stuck_holds_no_decision_up() {
    let mut config = unreachable();
    let journal = std::env::temp_dir().join(format!("tidegate-blocking-{}.jsonl", std::process::id()));
    config.decisions.file = Some(journal.clone());
    let deadline = Duration::from_millis(config.deadline.decide_ms);
    let (calls, silent) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicU32::new(0)));
    let (counted, heard) = (Arc::clone(&calls), Arc::clone(&silent));
    let stuck = Fallback::Closure(Arc::new(move |situation| {
        heard.store(situation.bars_without_signal, Ordering::SeqCst);
        if counted.fetch_add(1, Ordering::SeqCst) == 0 {
            std::thread::sleep(Duration::from_millis(1500));
        }
        Side::Long
    }));
    let client = Client::build(Waiting::builder(config).fallback(stuck)).unwrap();
    let began = Instant::now();
    for number in 1..=2 {
        let asked = Instant::now();
        let decision = client.decide("EUR/USD", &bars(60), &Position::FLAT);
        assert!(asked.elapsed() < deadline + SLACK, "{number}: {:?}", asked.elapsed());
        assert_eq!(
            (decision.target, decision.reason, decision.fallback),
            (Side::Flat, Some(Reason::Timeout), Some(FallbackUsed::Closure))
        );
    }
    assert_eq!(
        calls.load(Ordering::SeqCst),
        1,
        "a closure that is stuck is asked by nobody else"
    );
    // What it says at last is too late, and the thread is well again.
    std::thread::sleep(Duration::from_millis(1700).saturating_sub(began.elapsed()));
    let decision = client.decide("EUR/USD", &bars(61), &Position::FLAT);
    assert_eq!(
        (decision.target, decision.reason),
        (Side::Long, Some(Reason::Unreachable))
    );
    // Each decision was counted and written once, by whoever made it.
    assert_eq!(silent.load(Ordering::SeqCst), 2);
    assert_eq!(client.state().decisions.get("fallback"), Some(&3));
    let text = client.metrics_text();
    for (reason, count) in [("timeout", 2), ("unreachable", 1)] {
        let line = format!("source=\"fallback\",reason=\"{reason}\"}} {count}\n");
        assert!(text.contains(&line), "{text}");
    }
    client.close();
    let written = std::fs::read_to_string(&journal).unwrap();
    assert_eq!(written.lines().count(), 3, "{written}");
    std::fs::remove_file(journal).unwrap();
}

#[test]
fn a_service_that_is_silent_costs_the_deadline_and_its_own_reason() {
    let there = runtime();
    let listener = there.block_on(async { tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap() });
    let mut config = config(&format!("http://{}", listener.local_addr().unwrap()));
    config.clock = ClockKind::Bars;
    config.deadline.decide_ms = 300;
    config.deadline.attempt_ms = 300;
    config.deadline.connect_ms = 300;
    let client = Client::connect(config).unwrap();
    let decision = client.decide("EUR/USD", &bars(60), &Position::FLAT);
    assert_eq!(decision.reason, Some(Reason::Timeout));
    assert_eq!(client.state().decisions.get("fallback"), Some(&1));
}

#[test]
fn settings_that_are_not_usable_are_told() {
    let mut config = unreachable();
    config.retry.attempts = 0;
    assert_eq!(Client::connect(config).unwrap_err().setting, "retry.attempts");
}
