//! The bounds of each setting.

use http::Uri;

use super::{Config, ConfigError, refuse};

pub(super) fn check(config: &Config) -> Result<(), ConfigError> {
    url(config)?;
    if config.strategy.is_empty() || config.strategy.chars().count() > 64 {
        return Err(refuse("strategy", "1 to 64 characters are expected".to_owned()));
    }
    let named = |name: &str| {
        name.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    };
    if config.bot.is_empty() || config.bot.len() > 64 || !named(&config.bot) {
        return Err(refuse(
            "bot",
            format!("1 to 64 of A-Z a-z 0-9 . _ - are expected, was {:?}", config.bot),
        ));
    }
    numbers(config)?;
    if config.answers.versions.contains(&0) {
        return Err(refuse("answers.versions", "versions are counted from 1".to_owned()));
    }
    let digest = |text: &String| {
        text.len() == 64
            && text
                .bytes()
                .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    };
    if let Some(wrong) = config.answers.bundle_digests.iter().find(|text| !digest(text)) {
        return Err(refuse(
            "answers.bundle_digests",
            format!("64 digits of 0-9 a-f are expected, was {wrong:?}"),
        ));
    }
    Ok(())
}

fn url(config: &Config) -> Result<(), ConfigError> {
    let text = &config.url;
    let refused = |why: &str| refuse("url", format!("{why}, was {text:?}"));
    let uri: Uri = text
        .parse()
        .map_err(|_| refused("an address like https://host:8080 is expected"))?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(refused("an address with http or https and a host is expected"));
    };
    if scheme != "http" && scheme != "https" {
        return Err(refused("http or https is expected"));
    }
    // The address stands in messages: a password in it would, too.
    if authority.as_str().contains('@') {
        return Err(refuse(
            "url",
            "an address without user and password is expected; the key goes into api_key_file".to_owned(),
        ));
    }
    if uri.query().is_some() || text.contains('#') {
        return Err(refused("an address without a query is expected"));
    }
    if scheme == "http" && !config.allow_http && !Config::is_loopback(authority.host()) {
        return Err(refused(
            "https is expected for another machine, or allow_http = true where the network is trusted",
        ));
    }
    Ok(())
}

fn numbers(config: &Config) -> Result<(), ConfigError> {
    let (deadline, retry, breaker) = (&config.deadline, &config.retry, &config.breaker);
    let table = [
        ("deadline.decide_ms", deadline.decide_ms, 10, 60_000),
        ("deadline.attempt_ms", deadline.attempt_ms, 5, deadline.decide_ms),
        ("deadline.connect_ms", deadline.connect_ms, 5, deadline.attempt_ms),
        ("retry.attempts", retry.attempts.into(), 1, 10),
        ("retry.backoff_ms", retry.backoff_ms, 1, 10_000),
        ("retry.backoff_max_ms", retry.backoff_max_ms, retry.backoff_ms, 60_000),
        ("breaker.failures", breaker.failures.into(), 1, 1000),
        ("breaker.open_ms", breaker.open_ms, 10, 600_000),
        ("breaker.open_max_ms", breaker.open_max_ms, breaker.open_ms, 3_600_000),
        ("health.timeout_ms", config.health.timeout_ms, 10, 60_000),
        (
            "answers.max_clock_skew_ms",
            config.answers.max_clock_skew_ms,
            0,
            600_000,
        ),
        ("fallback.hold_bars", config.fallback.hold_bars.into(), 1, 10_000),
    ];
    for (setting, value, least, most) in table {
        if !(least..=most).contains(&value) {
            return Err(refuse(
                setting,
                format!("a number from {least} to {most} is expected, was {value}"),
            ));
        }
    }
    for (setting, value, least) in [
        ("health.poll_ms", config.health.poll_ms, 50),
        ("heartbeat.every_ms", config.heartbeat.every_ms, 100),
    ] {
        if value != 0 && !(least..=600_000).contains(&value) {
            return Err(refuse(
                setting,
                format!("0, or a number from {least} to 600000 is expected, was {value}"),
            ));
        }
    }
    Ok(())
}
