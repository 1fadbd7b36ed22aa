//! A look at everything before the first bar: settings, network, key, model, clock.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::client::{Health, State};
use crate::clock::{Clock, SystemClock};
use crate::config::{ClockKind, Config, ConfigError};
use crate::messages::{LoadedModel, Ready, Served};
use crate::transport::{Reply, Transport};
use crate::{breaker::BreakerState, heartbeat};

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// The contract's name for it.
    pub name: String,
    /// Whether it is as it should be.
    pub passed: bool,
    /// What was found.
    pub detail: String,
    /// What to do, where it is not.
    pub next_step: Option<String>,
}

/// Everything that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Whether all of it is as it should be.
    pub passed: bool,
    /// One entry a thing, in the contract's order.
    pub checked: Vec<Checked>,
}

/// Looks at everything that the settings name. Needs a tokio runtime.
pub async fn check(config: Result<Config, ConfigError>) -> Check {
    let mut found = Vec::new();
    look(config.and_then(Config::checked), &mut found).await;
    Check {
        passed: found.iter().all(|one| one.passed),
        checked: found,
    }
}

async fn look(config: Result<Config, ConfigError>, found: &mut Vec<Checked>) {
    let (config, transport) =
        match config.and_then(|config| Transport::new(&config).map(|transport| (config, transport))) {
            Ok(both) => both,
            Err(error) => return found.push(fail("settings", error.to_string(), "mend this setting and check again")),
        };
    found.push(pass(
        "settings",
        format!("{} for {} at {}", config.bot, config.strategy, config.url),
    ));
    let limit = Duration::from_millis(config.health.timeout_ms.max(config.deadline.attempt_ms));
    let healthz = transport.get("/healthz", limit).await;
    match &healthz {
        Ok(reply) if reply.status == 200 => found.push(pass("network", format!("{} answers", config.url))),
        Ok(reply) => {
            return found.push(fail(
                "network",
                format!("/healthz answers {}", reply.status),
                "see whether `url` is the service's address, and no other program's",
            ));
        }
        Err(failure) => {
            return found.push(fail(
                "network",
                failure.detail.clone(),
                "see whether the service runs, and whether a firewall stands between",
            ));
        }
    }
    found.push(match transport.get("/readyz", limit).await {
        Ok(reply) if reply.status == 200 => pass("ready", "requests may be sent".to_owned()),
        Ok(reply) => fail(
            "ready",
            reasons(&reply),
            "wait until the service is ready, or look into its log",
        ),
        Err(failure) => fail("ready", failure.detail, "check again; look into the service's log"),
    });
    let described = transport.get("/v1/model", limit).await;
    match &described {
        Ok(reply) if reply.status == 200 => {
            found.push(pass("key", "the service takes it".to_owned()));
            about_model(reply, &config, found);
        }
        Ok(reply) if matches!(reply.status, 401 | 403) => found.push(fail(
            "key",
            format!("/v1/model answers {}", reply.status),
            "give a key with the scope `predict` in api_key_file; `tidegate keys api new NAME --scope predict` makes one",
        )),
        Ok(reply) => found.push(fail("key", format!("/v1/model answers {}", reply.status), "look into the service's log")),
        Err(failure) => found.push(fail("key", failure.detail.clone(), "check again; look into the service's log")),
    }
    if config.clock == ClockKind::System {
        found.push(clocks(
            healthz.as_ref().ok().and_then(|reply| reply.date.as_deref()),
            &config,
        ));
    }
    let now = SystemClock.now();
    let state = State {
        breaker: BreakerState::Closed,
        health: Health::Unknown,
        version: None,
        bundle_digest: None,
        decisions: std::collections::BTreeMap::new(),
        clock_skew_ms: None,
        halted: false,
    };
    let taken = heartbeat::send(
        &transport,
        &heartbeat::message(&config, &state, now),
        &format!("{}-check", config.bot.chars().take(40).collect::<String>()),
        limit,
    )
    .await;
    found.push(if taken {
        pass("heartbeat", "the service takes it".to_owned())
    } else {
        fail(
            "heartbeat",
            "the service does not take it".to_owned(),
            "see the key's scope, and serving.max_bots of the service",
        )
    });
}

fn reasons(reply: &Reply) -> String {
    serde_json::from_slice::<Ready>(&reply.body).map_or_else(
        |_| format!("/readyz answers {}", reply.status),
        |ready| ready.reasons.join("; "),
    )
}

fn about_model(reply: &Reply, config: &Config, found: &mut Vec<Checked>) {
    let Ok(all) = serde_json::from_slice::<Vec<Served>>(&reply.body) else {
        return found.push(fail(
            "model",
            "/v1/model is not what it should be".to_owned(),
            "see whether the service's version fits this client's",
        ));
    };
    let names: Vec<&str> = all.iter().map(|served| served.strategy.as_str()).collect();
    let Some(served) = all.iter().find(|served| served.strategy == config.strategy) else {
        let detail = format!("{} is not served; served are {}", config.strategy, names.join(", "));
        return found.push(fail(
            "model",
            detail,
            "mend `strategy`, or add it to serving.strategies of the service",
        ));
    };
    if let Some(halt) = &served.halted {
        return found.push(fail(
            "model",
            format!("halted: {halt}"),
            "mend the cause, then `tidegate resume`",
        ));
    }
    let Some(model) = &served.production else {
        return found.push(fail(
            "model",
            "no model is in production".to_owned(),
            "promote one: `tidegate promote`",
        ));
    };
    let age = if config.clock == ClockKind::System {
        SystemClock.now()
    } else {
        i64::MIN
    };
    found.push(if age >= model.expires_at {
        fail(
            "model",
            format!("v{} expired at {}", model.version, model.expires_at),
            "retrain and promote a newer one",
        )
    } else {
        pass(
            "model",
            format!(
                "v{} is in production, {} bars of {}",
                model.version, model.lookback, model.interval
            ),
        )
    });
    let interval = config.interval.to_string();
    found.push(if model.interval == interval {
        pass("interval", interval)
    } else {
        fail(
            "interval",
            format!("the model's is {}, the bot's {interval}", model.interval),
            "mend `interval`, and give the bot such bars",
        )
    });
    found.push(version(model, config));
}

fn version(model: &LoadedModel, config: &Config) -> Checked {
    let answers = &config.answers;
    let allowed = (answers.versions.is_empty() || answers.versions.contains(&model.version))
        && (answers.bundle_digests.is_empty() || answers.bundle_digests.contains(&model.bundle_digest));
    if allowed {
        pass("version", format!("v{} may answer", model.version))
    } else {
        fail(
            "version",
            format!("v{} ({}) may not answer", model.version, model.bundle_digest),
            "mend answers.versions and answers.bundle_digests, or roll back",
        )
    }
}

fn clocks(date: Option<&str>, config: &Config) -> Checked {
    let Some(there) = date.and_then(milliseconds) else {
        return fail(
            "clock",
            "the answer has no date that can be read".to_owned(),
            "see whether a proxy takes the header `Date` away",
        );
    };
    // The header has whole seconds, so it is up to one behind.
    let skew = SystemClock.now() - there;
    let most = i64::try_from(config.answers.max_clock_skew_ms)
        .unwrap_or(i64::MAX)
        .saturating_add(1000);
    if (-most..=most).contains(&skew) {
        pass("clock", format!("{skew} ms from the service's, in whole seconds"))
    } else {
        fail(
            "clock",
            format!("{skew} ms from the service's"),
            "mend time synchronisation on whichever is wrong",
        )
    }
}

/// UTC ms of a date as HTTP writes it (RFC 9110's IMF-fixdate), such as `Sun, 06 Nov 1994 08:49:37 GMT`.
fn milliseconds(text: &str) -> Option<i64> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let mut parts = text.split_once(", ")?.1.split(' ');
    let day: i64 = parts.next()?.parse().ok()?;
    let name = parts.next()?;
    let month = i64::try_from(MONTHS.iter().position(|known| *known == name)?).ok()? + 1;
    let year: i64 = parts.next()?.parse().ok()?;
    let mut clock = parts.next()?.split(':').map(str::parse::<i64>);
    let (hour, minute, second) = (clock.next()?.ok()?, clock.next()?.ok()?, clock.next()?.ok()?);
    if parts.next()? != "GMT" || !(1970..=9999).contains(&year) || !(1..=31).contains(&day) {
        return None;
    }
    // Days since 1970 of the Gregorian calendar, its year beginning in March.
    let (years, months) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = years * 365 + years / 4 - years / 100 + years / 400 + (153 * months + 2) / 5 + day - 719_469;
    Some((((days * 24 + hour) * 60 + minute) * 60 + second) * 1000)
}

fn pass(name: &str, detail: String) -> Checked {
    Checked {
        name: name.to_owned(),
        passed: true,
        detail,
        next_step: None,
    }
}

fn fail(name: &str, detail: String, next_step: &str) -> Checked {
    Checked {
        name: name.to_owned(),
        passed: false,
        detail,
        next_step: Some(next_step.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::milliseconds;

    #[test]
    fn dates_of_http_are_read() {
        for (text, expected) in [
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777_000),
            ("Thu, 29 Feb 2024 23:59:59 GMT", 1_709_251_199_000),
            ("Tue, 24 Nov 2026 20:00:00 GMT", 1_795_550_400_000),
        ] {
            assert_eq!(milliseconds(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn anything_else_is_not() {
        for text in [
            "",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 CET",
            "Sun, 06 Foo 1994 08:49:37 GMT",
        ] {
            assert_eq!(milliseconds(text), None, "{text}");
        }
    }
}
