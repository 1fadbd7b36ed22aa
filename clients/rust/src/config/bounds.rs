//! The bounds of each setting.

use http::Uri;
use http::uri::{Authority, Scheme};

use super::{Config, ConfigError, refuse};

/// From where to where a number may go, whatever the other settings are.
#[derive(Debug)]
pub(super) struct Bound {
    pub(super) key: &'static str,
    least: u64,
    most: u64,
    /// Whether 0 is allowed below `least`, too, and switches something off.
    or_zero: bool,
    of: fn(&Config) -> u64,
}

const fn bound(key: &'static str, least: u64, most: u64, of: fn(&Config) -> u64) -> Bound {
    Bound {
        key,
        least,
        most,
        or_zero: false,
        of,
    }
}

/// Every number of the settings.
pub(super) const BOUNDS: [Bound; 14] = [
    bound("deadline.decide_ms", 10, 60_000, |config| config.deadline.decide_ms),
    bound("deadline.attempt_ms", 5, 60_000, |config| config.deadline.attempt_ms),
    bound("deadline.connect_ms", 5, 60_000, |config| config.deadline.connect_ms),
    bound("retry.attempts", 1, 10, |config| u64::from(config.retry.attempts)),
    bound("retry.backoff_ms", 1, 10_000, |config| config.retry.backoff_ms),
    bound("retry.backoff_max_ms", 1, 60_000, |config| config.retry.backoff_max_ms),
    bound("breaker.failures", 1, 1000, |config| u64::from(config.breaker.failures)),
    bound("breaker.open_ms", 10, 600_000, |config| config.breaker.open_ms),
    bound("breaker.open_max_ms", 10, 3_600_000, |config| {
        config.breaker.open_max_ms
    }),
    Bound {
        or_zero: true,
        ..bound("health.poll_ms", 50, 600_000, |config| config.health.poll_ms)
    },
    bound("health.timeout_ms", 10, 60_000, |config| config.health.timeout_ms),
    Bound {
        or_zero: true,
        ..bound("heartbeat.every_ms", 100, 600_000, |config| config.heartbeat.every_ms)
    },
    bound("answers.max_clock_skew_ms", 0, 600_000, |config| {
        config.answers.max_clock_skew_ms
    }),
    bound("fallback.hold_bars", 1, 10_000, |config| {
        u64::from(config.fallback.hold_bars)
    }),
];

impl Bound {
    pub(super) fn of(key: &str) -> Option<&'static Self> {
        BOUNDS.iter().find(|bound| bound.key == key)
    }

    pub(super) fn allows(&self, value: u64) -> bool {
        (self.least..=self.most).contains(&value) || (self.or_zero && value == 0)
    }

    pub(super) fn expected(&self) -> String {
        let zero = if self.or_zero { "0, or " } else { "" };
        format!("{zero}a whole number from {} to {}", self.least, self.most)
    }
}

/// What one setting is, of what another one allows; `at_least` says in which direction.
struct Related {
    key: &'static str,
    value: u64,
    other: &'static str,
    limit: u64,
    at_least: bool,
}

pub(super) fn check(config: &Config) -> Result<(), ConfigError> {
    url(config)?;
    if config.strategy.is_empty() || config.strategy.chars().count() > 64 {
        return Err(refuse("strategy", "1 to 64 characters are expected"));
    }
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if config.bot.is_empty() || config.bot.len() > 64 || !config.bot.bytes().all(is_name) {
        return Err(refuse(
            "bot",
            format!("1 to 64 of A-Z a-z 0-9 . _ - are expected, was {:?}", config.bot),
        ));
    }
    numbers(config)?;
    answers(config)?;
    if let Some(address) = &config.metrics.address {
        metrics_address(address)?;
    }
    for (key, path) in [
        ("api_key_file", &config.api_key_file),
        ("ca_file", &config.ca_file),
        ("decisions.file", &config.decisions.file),
    ] {
        if path.as_ref().is_some_and(|path| path.as_os_str().is_empty()) {
            return Err(refuse(
                key,
                "a path is expected, was nothing; leave the setting out if there is no file",
            ));
        }
    }
    Ok(())
}

fn url(config: &Config) -> Result<(), ConfigError> {
    let text = config.url.as_str();
    // The address stands in messages and logs: what is secret in it would, too.
    if text.contains('@') {
        return Err(refuse(
            "url",
            "an address without user and password is expected; the key goes into api_key_file",
        ));
    }
    let refused = |expected: &str| Err(refuse("url", format!("{expected} is expected, was {text:?}")));
    let Ok(uri) = text.parse::<Uri>() else {
        return refused("an address like https://host:8080");
    };
    let (Some(scheme), Some(authority)) = (uri.scheme(), uri.authority()) else {
        return refused("an address with http or https and a host");
    };
    if ![&Scheme::HTTP, &Scheme::HTTPS].contains(&scheme) {
        return refused("http or https");
    }
    if authority.host().is_empty() || !port_is_usable(authority) {
        return refused("a host, and a port from 1 to 65535 if any");
    }
    if uri.query().is_some() || text.contains('#') {
        return refused("an address without query and fragment");
    }
    if *scheme == Scheme::HTTP && !config.allow_http && !is_this_machine(authority.host()) {
        return refused("https to another machine (or allow_http = true, where the network is trusted)");
    }
    Ok(())
}

/// `Uri` takes any digits for a port.
fn port_is_usable(authority: &Authority) -> bool {
    match authority.as_str().strip_prefix(authority.host()) {
        Some("") => true,
        Some(port) => port.strip_prefix(':').is_some_and(is_port),
        None => false,
    }
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok_and(|port| port > 0)
}

fn is_this_machine(host: &str) -> bool {
    let bare = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(host);
    bare.eq_ignore_ascii_case("localhost")
        || bare
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

fn numbers(config: &Config) -> Result<(), ConfigError> {
    for bound in &BOUNDS {
        let value = (bound.of)(config);
        if !bound.allows(value) {
            return Err(refuse(
                bound.key,
                format!("{} is expected, was {value}", bound.expected()),
            ));
        }
    }
    for Related {
        key,
        value,
        other,
        limit,
        at_least,
    } in related(config)
    {
        let (holds, word) = if at_least {
            (value >= limit, "least")
        } else {
            (value <= limit, "most")
        };
        if !holds {
            return Err(refuse(
                key,
                format!("at {word} {other} ({limit}) is expected, was {value}; mend either"),
            ));
        }
    }
    Ok(())
}

fn related(config: &Config) -> [Related; 4] {
    let (deadline, retry, breaker) = (&config.deadline, &config.retry, &config.breaker);
    let related = |key, value, other, limit, at_least| Related {
        key,
        value,
        other,
        limit,
        at_least,
    };
    [
        related(
            "deadline.attempt_ms",
            deadline.attempt_ms,
            "deadline.decide_ms",
            deadline.decide_ms,
            false,
        ),
        related(
            "deadline.connect_ms",
            deadline.connect_ms,
            "deadline.attempt_ms",
            deadline.attempt_ms,
            false,
        ),
        related(
            "retry.backoff_max_ms",
            retry.backoff_max_ms,
            "retry.backoff_ms",
            retry.backoff_ms,
            true,
        ),
        related(
            "breaker.open_max_ms",
            breaker.open_max_ms,
            "breaker.open_ms",
            breaker.open_ms,
            true,
        ),
    ]
}

fn answers(config: &Config) -> Result<(), ConfigError> {
    if config.answers.versions.contains(&0) {
        return Err(refuse("answers.versions", "versions are counted from 1, was 0"));
    }
    let is_digest = |text: &str| text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    match config.answers.bundle_digests.iter().find(|text| !is_digest(text)) {
        Some(wrong) => Err(refuse(
            "answers.bundle_digests",
            format!("64 digits of 0-9 a-f each are expected, was {wrong:?}"),
        )),
        None => Ok(()),
    }
}

/// Port 0 is refused: nobody would know where to look.
fn metrics_address(address: &str) -> Result<(), ConfigError> {
    match address.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && !host.contains('/') && is_port(port) => Ok(()),
        _ => Err(refuse(
            "metrics.address",
            format!("host:port is expected, like 127.0.0.1:9465, was {address:?}"),
        )),
    }
}
