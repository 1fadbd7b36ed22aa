//! `check`: what it looks at, and what one thing that is wrong does to it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // also outside of the tests' own functions

mod answering;

use std::collections::HashMap;
use std::process::Command;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tidegate_client::{ApiKey, Check, Checked, ClockKind, Config, check};

use answering::{DIGEST, Script, answering, config, served};

const ALL: [&str; 9] = [
    "settings",
    "network",
    "ready",
    "key",
    "model",
    "interval",
    "version",
    "clock",
    "heartbeat",
];

fn names(found: &Check) -> Vec<&str> {
    found.checked.iter().map(|one| one.name.as_str()).collect()
}

fn failed(found: &Check) -> Vec<&Checked> {
    found.checked.iter().filter(|one| !one.passed).collect()
}

async fn looked(script: Script, change: impl FnOnce(&mut Config)) -> Check {
    let service = answering(script).await;
    let mut config = config(&service.url);
    change(&mut config);
    check(Ok(config)).await
}

#[tokio::test]
async fn a_service_that_is_as_it_should_be_passes_everything() {
    let service = answering(Script::good()).await;
    let mut config = config(&service.url);
    config.api_key = Some(ApiKey::new("hidden"));
    let found = check(Ok(config)).await;
    assert!(found.passed, "{found:?}");
    assert_eq!(names(&found), ALL);
    assert!(!serde_json::to_string(&found).unwrap().contains("hidden"));
    let asked = service.asked.lock().unwrap();
    let heartbeat = asked
        .iter()
        .find(|text| text.starts_with("POST /v1/bots/heartbeat"))
        .unwrap();
    let body: Value = serde_json::from_str(heartbeat.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    assert_eq!(
        (&body["bot"], &body["last_version"], &body["dry_run"]),
        (&json!("bot-1"), &Value::Null, &json!(true))
    );
}

type Case = (
    &'static str,
    fn(&mut Script),
    fn(&mut Config),
    &'static str,
    &'static str,
);

fn nothing<T>(_: &mut T) {}

fn with_model(script: &mut Script, pointer: &str, value: Value) {
    let mut served = served();
    *served.pointer_mut(pointer).unwrap() = value;
    script.say("/v1/model", 200, &json!([served]));
}

/// What is wrong, in the service and in the settings; what is told of it, and what the next step names.
const CASES: [Case; 16] = [
    (
        "network",
        |script| script.say("/healthz", 404, &Value::Null),
        nothing,
        "404",
        "url",
    ),
    (
        "ready",
        |script| {
            script.say(
                "/readyz",
                503,
                &json!({"ready": false, "reasons": ["no model"], "notes": []}),
            );
        },
        nothing,
        "no model",
        "wait",
    ),
    (
        "key",
        |script| {
            let problem =
                json!({"type": "urn:tidegate:problem:unauthorised", "title": "t", "status": 401, "detail": "no key"});
            script.say("/v1/model", 401, &problem);
        },
        nothing,
        "unauthorised, no key",
        "api_key_file",
    ),
    (
        "key",
        |script| script.say("/v1/model", 500, &Value::Null),
        nothing,
        "500",
        "log",
    ),
    (
        "model",
        |script| script.say("/v1/model", 200, &json!([])),
        nothing,
        "served are none",
        "strategy",
    ),
    (
        "model",
        |script| script.say("/v1/model", 200, &json!([{"strategy": "eurusd"}])),
        nothing,
        "should",
        "version",
    ),
    (
        "model",
        nothing,
        |config| "other".clone_into(&mut config.strategy),
        "served are eurusd",
        "strategy",
    ),
    (
        "model",
        |script| with_model(script, "/halted", json!("drift")),
        nothing,
        "halted: drift",
        "resume",
    ),
    (
        "model",
        |script| with_model(script, "/production", Value::Null),
        nothing,
        "no model",
        "promote",
    ),
    (
        "model",
        |script| with_model(script, "/production/expires_at", json!(1000)),
        nothing,
        "expired",
        "retrain",
    ),
    (
        "interval",
        |script| with_model(script, "/production/interval", json!("5m")),
        nothing,
        "5m",
        "interval",
    ),
    (
        "version",
        nothing,
        |config| config.answers.versions = vec![6],
        "v7",
        "answers.versions",
    ),
    (
        "version",
        nothing,
        |config| config.answers.bundle_digests = vec!["cd".repeat(32)],
        DIGEST,
        "digests",
    ),
    (
        "clock",
        |script| script.date = Some(SystemTime::now() + Duration::from_secs(10)),
        nothing,
        "from the service's",
        "time synchronisation",
    ),
    ("clock", |script| script.date = None, nothing, "no date", "proxy"),
    (
        "heartbeat",
        |script| script.say("/v1/bots/heartbeat", 422, &Value::Null),
        nothing,
        "422",
        "scope",
    ),
];

#[tokio::test]
async fn one_thing_that_is_wrong_fails_it_and_says_what_to_do() {
    for (name, script_change, config_change, detail, step) in CASES {
        let mut script = Script::good();
        script_change(&mut script);
        let found = looked(script, config_change).await;
        assert!(!found.passed);
        let wrong = failed(&found);
        assert_eq!(wrong.len(), 1, "{name}: {wrong:?}");
        assert_eq!(wrong[0].name, name);
        assert!(wrong[0].detail.contains(detail), "{wrong:?}");
        assert!(wrong[0].next_step.as_ref().unwrap().contains(step), "{wrong:?}");
    }
}

#[tokio::test]
async fn clocks_may_differ_by_the_allowed_skew_and_a_second_and_a_slow_answer_is_none() {
    for (shift_s, passes) in [(-60, false), (-4, false), (0, true), (5, false)] {
        let mut script = Script::good();
        let shift = Duration::from_secs(u64::try_from(i64::abs(shift_s)).unwrap());
        let now = SystemTime::now();
        script.date = Some(if shift_s < 0 { now - shift } else { now + shift });
        assert_eq!(looked(script, nothing).await.passed, passes, "{shift_s}");
    }
    let mut slow = Script::good();
    slow.delay = Duration::from_millis(1200);
    let patient = |config: &mut Config| {
        config.health.timeout_ms = 5000;
        config.answers.max_clock_skew_ms = 100;
    };
    assert!(looked(slow, patient).await.passed);
    let mut replay = Script::good();
    replay.date = None;
    let found = looked(replay, |config| config.clock = ClockKind::Bars).await;
    assert!(found.passed && !names(&found).contains(&"clock"), "{found:?}");
}

#[tokio::test]
async fn what_cannot_be_looked_at_is_left_out_and_nothing_passes_for_it() {
    let refused = check(Config::parse("", &HashMap::new())).await;
    assert_eq!((refused.passed, names(&refused)), (false, vec!["settings"]));
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let unreachable = check(Ok(config(&format!("http://{closed}")))).await;
    assert_eq!(
        (unreachable.passed, names(&unreachable)),
        (false, vec!["settings", "network"])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_prints_what_it_found_and_its_exit_code_says_it() {
    let service = answering(Script::good()).await;
    let folder = std::env::temp_dir().join(format!("tidegate-check-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("bot.toml");
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_tidegate-client"))
            .args(arguments)
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let path = file.display().to_string();
    let (_, settings) = run(&["settings"]);
    for (url, code) in [
        (service.url.as_str(), Some(0)),
        ("http://127.0.0.1:1", Some(1)),
        ("ftp://x", Some(1)),
    ] {
        let text = settings
            .replace("http://127.0.0.1:8080", url)
            .replace("my-strategy", "eurusd");
        std::fs::write(&file, text).unwrap();
        let (exit, text) = run(&["check", "--config", &path]);
        assert_eq!(exit, code, "{text}");
        assert_eq!(text.contains("FAIL"), code != Some(0), "{text}");
        let (exit, text) = run(&["check", "--json", "--config", &path]);
        assert_eq!(exit, code);
        assert_eq!(serde_json::from_str::<Check>(&text).unwrap().passed, code == Some(0));
    }
    assert_eq!(run(&["check", "--config", "/none/bot.toml"]).0, Some(1));
    assert_eq!(run(&["check"]).0, Some(2));
    assert_eq!(run(&["--help"]).0, Some(0));
    std::fs::remove_dir_all(folder).unwrap();
}
