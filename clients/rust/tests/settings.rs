//! Settings: every key, default and bound of `docs/contracts/client.md`, and what is refused, with the name of what is to be mended.

#![allow(clippy::unwrap_used)] // also outside of the tests' own functions

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tidegate_client::{ApiKey, ClockKind, Config, ConfigError, FallbackKind};

const LEAST: &str = "url = \"http://127.0.0.1:8080\"\nstrategy = \"eurusd\"\ninterval = \"1h\"\nbot = \"bot-1\"\n";
const PREFIX: &str = "TIDEGATE_CLIENT__";

fn with(pairs: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let environment = pairs
        .iter()
        .map(|(name, value)| (format!("{PREFIX}{name}"), (*value).to_owned()))
        .collect();
    Config::parse(LEAST, &environment)
}

fn of(toml: &str) -> Result<Config, ConfigError> {
    Config::parse(toml, &HashMap::new())
}

/// The least settings and one more in whatever table it belongs to.
fn and(key: &str, value: &str) -> Result<Config, ConfigError> {
    key.split_once('.').map_or_else(
        || of(&format!("{}{key} = {value}\n", without(key))),
        |(table, inner)| of(&format!("{LEAST}[{table}]\n{inner} = {value}\n")),
    )
}

fn without(key: &str) -> String {
    let rest: Vec<&str> = LEAST.lines().filter(|line| !line.starts_with(key)).collect();
    rest.join("\n") + "\n"
}

fn refused<T: std::fmt::Debug>(result: Result<T, ConfigError>) -> (String, String) {
    let error = result.unwrap_err();
    (error.setting, error.message)
}

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("tidegate-settings-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

#[test]
fn the_least_settings_are_enough_and_nothing_is_acted_on() {
    let config = of(LEAST).unwrap();
    assert!(config.dry_run);
    assert_eq!(
        (config.clock, config.fallback.strategy),
        (ClockKind::System, FallbackKind::Flat)
    );
    assert_eq!(config.api_key, None);
}

#[test]
fn numbers_are_taken_from_the_least_to_the_most_and_not_beyond() {
    // A wide room for the settings that another one bounds, so that each row is about one setting.
    let table = [
        ("deadline.decide_ms", 10, 60_000, "attempt_ms = 5\nconnect_ms = 5"),
        ("deadline.attempt_ms", 5, 60_000, "decide_ms = 60000\nconnect_ms = 5"),
        (
            "deadline.connect_ms",
            5,
            60_000,
            "decide_ms = 60000\nattempt_ms = 60000",
        ),
        ("retry.attempts", 1, 10, ""),
        ("retry.backoff_ms", 1, 10_000, "backoff_max_ms = 60000"),
        ("retry.backoff_max_ms", 1, 60_000, "backoff_ms = 1"),
        ("breaker.failures", 1, 1000, ""),
        ("breaker.open_ms", 10, 600_000, "open_max_ms = 3600000"),
        ("breaker.open_max_ms", 10, 3_600_000, "open_ms = 10"),
        ("health.poll_ms", 50, 600_000, ""),
        ("health.timeout_ms", 10, 60_000, ""),
        ("heartbeat.every_ms", 100, 600_000, ""),
        ("answers.max_clock_skew_ms", 0, 600_000, ""),
        ("fallback.hold_bars", 1, 10_000, ""),
    ];
    for (key, least, most, room) in table {
        let (outer, inner) = key.split_once('.').unwrap();
        let read = |value: i64| of(&format!("{LEAST}[{outer}]\n{inner} = {value}\n{room}\n"));
        for good in [least, most] {
            assert!(read(good).is_ok(), "{key} = {good}: {:?}", read(good));
        }
        for bad in [least - 1, most + 1, -1, i64::MAX] {
            let zero_is_off = bad == 0 && ["health.poll_ms", "heartbeat.every_ms"].contains(&key);
            assert!(zero_is_off || refused(read(bad)).0 == key, "{key} = {bad}");
        }
        assert_eq!(refused(and(key, "1.5")).0, key);
        assert_eq!(refused(and(key, "\"7\"")).0, key);
    }
    assert_eq!(and("health.poll_ms", "0").unwrap().health.poll_ms, 0);
    assert_eq!(and("heartbeat.every_ms", "0").unwrap().heartbeat.every_ms, 0);
}

#[test]
fn a_number_that_another_one_bounds_is_refused_with_both_names() {
    for (key, value, other) in [
        ("deadline.attempt_ms", "1001", "deadline.decide_ms (1000)"),
        ("deadline.connect_ms", "401", "deadline.attempt_ms (400)"),
        ("retry.backoff_max_ms", "24", "retry.backoff_ms (25)"),
        ("breaker.open_max_ms", "1999", "breaker.open_ms (2000)"),
    ] {
        let (setting, message) = refused(and(key, value));
        assert_eq!(setting, key);
        assert!(message.contains(other), "{message}");
    }
    // The default of the inner one does not slip past a smaller outer one.
    assert_eq!(refused(and("deadline.decide_ms", "100")).0, "deadline.attempt_ms");
}

#[test]
fn settings_made_in_code_have_the_same_bounds() {
    let mut config = of(LEAST).unwrap();
    config.retry.attempts = 11;
    assert_eq!(refused(config.checked()).0, "retry.attempts");
    let mut config = of(LEAST).unwrap();
    config.answers.versions = vec![3, 0];
    assert_eq!(refused(config.checked()).0, "answers.versions");
    let mut config = of(LEAST).unwrap();
    config.api_key = Some(ApiKey::new(" \n"));
    assert_eq!(refused(config.checked()).0, "api_key");
}

#[test]
fn addresses_are_plain_and_encrypted_to_other_machines() {
    for good in [
        "http://127.0.0.1:8080",
        "http://localhost",
        "http://[::1]:8080",
        "http://127.9.9.9",
        "https://signals.example",
        "https://signals.example:8443/tidegate/",
    ] {
        let config = and("url", &format!("{good:?}")).unwrap();
        assert_eq!(config.url, good.trim_end_matches('/'));
    }
    for bad in [
        "",
        "signals.example",
        "signals.example:8080",
        "/v1",
        "ftp://signals.example",
        "https://",
        "https://signals.example?x=1",
        "https://signals.example/#top",
        "https://signals.example:99999",
        "https://signals.example:0",
        "https://signals.example:",
        "https://signals .example",
        "http://signals.example",
        "http://10.0.0.5:8080",
        "http://localhost.example",
        "http://127.0.0.1.example",
    ] {
        assert_eq!(refused(and("url", &format!("{bad:?}"))).0, "url", "{bad}");
    }
    assert!(with(&[("URL", "http://10.0.0.5:8080"), ("ALLOW_HTTP", "true")]).is_ok());
    let (setting, message) = refused(and("url", "\"https://bot:hidden@signals.example\""));
    assert_eq!(setting, "url");
    assert!(!message.contains("hidden"), "{message}");
}

#[test]
fn names_words_and_lists_are_looked_at() {
    let long = "s".repeat(65);
    let digest = "a".repeat(64);
    for (key, value) in [
        ("strategy", "\"\"".to_owned()),
        ("strategy", format!("{long:?}")),
        ("bot", "\"\"".to_owned()),
        ("bot", "\"bot 1\"".to_owned()),
        ("bot", format!("{long:?}")),
        ("interval", "\"05m\"".to_owned()),
        ("interval", "5".to_owned()),
        ("clock", "\"sundial\"".to_owned()),
        ("dry_run", "\"false\"".to_owned()),
        ("dry_run", "0".to_owned()),
        ("answers.versions", "[0]".to_owned()),
        ("answers.versions", "[1, \"2\"]".to_owned()),
        ("answers.versions", "7".to_owned()),
        ("answers.bundle_digests", format!("[{digest:?}, \"abc\"]")),
        ("answers.bundle_digests", format!("[{:?}]", digest.to_uppercase())),
        ("fallback.strategy", "\"pray\"".to_owned()),
        ("metrics.address", "\"9465\"".to_owned()),
        ("metrics.address", "\"127.0.0.1:0\"".to_owned()),
        ("metrics.address", "\":9465\"".to_owned()),
        ("metrics.address", "\"127.0.0.1:65536\"".to_owned()),
        ("decisions.file", "\"\"".to_owned()),
        ("ca_file", "\"\"".to_owned()),
    ] {
        assert_eq!(refused(and(key, &value)).0, key, "{key} = {value}");
    }
    assert_eq!(
        and("strategy", &format!("{:?}", "ü".repeat(64)))
            .unwrap()
            .strategy
            .chars()
            .count(),
        64
    );
    assert!(and("answers.bundle_digests", &format!("[{digest:?}]")).is_ok());
    for needed in ["url", "strategy", "interval", "bot"] {
        let rest = without(needed);
        assert_eq!(refused(of(&rest)).0, needed);
    }
}

#[test]
fn the_environment_overrides_the_file() {
    let config = with(&[
        ("BOT", "bot-2"),
        ("DRY_RUN", "false"),
        ("BREAKER__FAILURES", " 7 "),
        ("ANSWERS__VERSIONS", "3, 5"),
        ("FALLBACK__STRATEGY", "hold"),
        ("METRICS__ADDRESS", "127.0.0.1:9465"),
    ])
    .unwrap();
    assert_eq!(
        (config.bot.as_str(), config.dry_run, config.breaker.failures),
        ("bot-2", false, 7)
    );
    assert_eq!(
        (config.answers.versions, config.answers.bundle_digests),
        (vec![3, 5], vec![])
    );
    assert_eq!(config.fallback.strategy, FallbackKind::Hold);
    assert_eq!(config.metrics.address.as_deref(), Some("127.0.0.1:9465"));
    for (name, value, setting) in [
        ("DRY_RUN", "", "dry_run"),
        ("DRY_RUN", "no", "dry_run"),
        ("BREAKER__FAILURES", "many", "breaker.failures"),
        ("BREAKER__FAILURES", "-1", "breaker.failures"),
        ("BREAKER__FAILURES", "99999999999", "breaker.failures"),
        ("ANSWERS__VERSIONS", "3,x", "answers.versions"),
        ("ANSWERS__VERSIONS", "3,0", "answers.versions"),
        ("ANSWERS__VERSIONS", "", "answers.versions"),
        ("ANSWERS__VERSIONS", " , ", "answers.versions"),
        ("ANSWERS__BUNDLE_DIGESTS", "", "answers.bundle_digests"),
        ("ANSWERS__BUNDLE_DIGESTS", ",,", "answers.bundle_digests"),
        ("INTERVAL", "", "interval"),
        ("CLOCK", "Bars", "clock"),
    ] {
        assert_eq!(refused(with(&[(name, value)])).0, setting, "{name}={value}");
    }
    assert!(Config::parse("", &HashMap::from([("OTHER".to_owned(), "x".to_owned())])).is_err());
}

#[test]
fn the_paper_bots_table_is_left_alone_and_nothing_else_of_that_name() {
    assert!(of(&format!("{LEAST}[paper]\ncapital = 500\nsecret = \"x\"\n")).is_ok());
    assert_eq!(refused(of(&format!("{LEAST}paper = 5\n"))).0, "paper");
}

#[test]
fn unknown_names_are_refused_with_the_one_that_was_meant() {
    for (toml, unknown, meant) in [
        ("dryrun = false", "dryrun", "dry_run"),
        ("[deadline]\ndecide = 5", "deadline.decide", "deadline.decide_ms"),
        ("[brekaer]\nfailures = 5", "brekaer", "breaker"),
        ("[deadline.decide_ms]\nx = 5", "deadline.decide_ms", "whole number"),
        ("deadline = 5", "deadline", "table"),
    ] {
        let (setting, message) = refused(of(&format!("{LEAST}{toml}\n")));
        assert_eq!(setting, unknown);
        assert!(message.contains(meant), "{message}");
    }
    for (name, unknown, meant) in [
        (
            "DEADLINE__DECIDE",
            "deadline.decide",
            "TIDEGATE_CLIENT__DEADLINE__DECIDE_MS",
        ),
        (
            "DEADLINE_DECIDE_MS",
            "deadline_decide_ms",
            "TIDEGATE_CLIENT__DEADLINE__DECIDE_MS",
        ),
        ("APIKEY", "apikey", "TIDEGATE_CLIENT__API_KEY"),
        ("bot", "bot", "TIDEGATE_CLIENT__BOT"),
    ] {
        let (setting, message) = refused(with(&[(name, "x")]));
        assert_eq!(setting, unknown);
        assert!(message.contains(meant), "{message}");
    }
}

#[test]
fn a_file_that_is_no_toml_is_told_by_its_line_alone() {
    let (setting, message) = refused(of(&format!("{LEAST}\napi_key = \"hidden\n")));
    assert_eq!(setting, "file");
    assert!(message.contains("line 6") && !message.contains("hidden"), "{message}");
}

#[test]
fn the_key_comes_from_its_file_or_the_environment_and_is_never_shown() {
    let folder = folder("key");
    let path = folder.join("key");
    std::fs::write(&path, "  from-the-file \n").unwrap();
    let named = |path: &Path| format!("{LEAST}api_key_file = {:?}\n", path.display().to_string());
    let config = of(&named(&path)).unwrap();
    assert_eq!(config.api_key, Some(ApiKey::new("from-the-file")));
    let shown = format!("{config:?} {}", toml::to_string(&config).unwrap());
    assert!(!shown.contains("from-the-file"), "{shown}");

    let environment = HashMap::from([(format!("{PREFIX}API_KEY"), " from-outside ".to_owned())]);
    let config = Config::parse(&named(&path), &environment).unwrap();
    assert_eq!(config.api_key, Some(ApiKey::new("from-outside")));
    assert_eq!(config.clone().checked(), Ok(config));

    std::fs::write(&path, " \n").unwrap();
    assert_eq!(refused(of(&named(&path))).0, "api_key_file");
    std::fs::write(&path, "a key").unwrap();
    let (setting, message) = refused(of(&named(&path)));
    assert!(setting == "api_key_file" && !message.contains("a key"), "{message}");
    let (setting, message) = refused(of(&named(Path::new("the-key-itself"))));
    assert!(
        setting == "api_key_file" && !message.contains("the-key-itself"),
        "{message}"
    );
    for empty in ["", "  "] {
        assert_eq!(refused(with(&[("API_KEY", empty)])).0, "api_key");
    }
    let (setting, message) = refused(of(&format!("{LEAST}api_key = \"hidden\"\n")));
    assert_eq!(setting, "api_key");
    assert!(
        message.contains("api_key_file") && !message.contains("hidden"),
        "{message}"
    );
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn the_file_that_is_printed_holds_every_setting_with_its_default() {
    let text = include_str!("../src/config/settings.toml");
    let printed = of(text).unwrap();
    let least = of(LEAST).unwrap();
    assert_eq!(
        Config {
            strategy: "eurusd".to_owned(),
            ..printed
        },
        least
    );
    for (key, _) in contract() {
        let name = key.rsplit('.').next().unwrap();
        let written = text
            .lines()
            .any(|line| line.trim_start_matches("# ").starts_with(&format!("{name} = ")));
        assert!(written, "{key} is missing");
    }
}

#[test]
fn every_setting_of_the_contract_exists_with_its_default() {
    let rows = contract();
    assert_eq!(rows.len(), 30);
    let defaults = toml::Table::try_from(of(LEAST).unwrap()).unwrap();
    for (key, default) in rows {
        let found = key
            .split('.')
            .try_fold(toml::Value::Table(defaults.clone()), |at, name| at.get(name).cloned());
        let expected = match default.trim_matches('`').replace(',', "").as_str() {
            "needed" => continue,
            "none" => None,
            "empty" => Some("[]".to_owned()),
            value => Some(value.to_owned()),
        };
        assert_eq!(found.map(|value| value.to_string().replace('"', "")), expected, "{key}");
    }
}

/// Names and defaults of the contract's table.
fn contract() -> Vec<(String, String)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/contracts/client.md");
    let text = std::fs::read_to_string(path).unwrap();
    let section = text
        .split("## Settings")
        .nth(1)
        .and_then(|rest| rest.split("## ").next())
        .unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let cell = |line: &str, at: usize| line.split('|').nth(at).unwrap().trim().trim_matches('`').to_owned();
    rows.map(|line| (cell(line, 1), cell(line, 2))).collect()
}

#[tokio::test]
async fn what_other_programs_hold_is_refused_when_the_client_starts() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = of(LEAST).unwrap();
    config.health.poll_ms = 0;
    config.heartbeat.every_ms = 0;
    config.metrics.address = Some(taken.local_addr().unwrap().to_string());
    let connected =
        tokio::time::timeout(Duration::from_secs(5), tidegate_client::Client::connect(config.clone())).await;
    assert_eq!(refused(connected.unwrap()).0, "metrics.address");

    config.metrics.address = None;
    config.decisions.file = Some(Path::new("/proc/none/decisions.jsonl").to_owned());
    assert_eq!(
        refused(tidegate_client::Client::connect(config.clone()).await).0,
        "decisions.file"
    );

    config.decisions.file = None;
    config.ca_file = Some(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"));
    assert_eq!(refused(tidegate_client::Client::connect(config).await).0, "ca_file");
}
