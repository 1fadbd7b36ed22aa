//! A look at everything before the first bar: settings, network, key, model, clock, heartbeat.

use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::breaker::BreakerState;
use crate::client::{Health, State};
use crate::clock::{Clock, SystemClock};
use crate::config::{ClockKind, Config, ConfigError};
use crate::decision::shortened;
use crate::heartbeat;
use crate::messages::{LoadedModel, ProblemBody, Ready, Served};
use crate::transport::{Failure, Reply, Transport};

/// The header `Date` has whole seconds.
const RESOLUTION_MS: i64 = 1000;

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
    /// One entry a thing, in the contract's order. What could not be looked at, because of one that did not pass, is left out.
    pub checked: Vec<Checked>,
}

/// Looks at everything that the settings name, and sends one heartbeat. Needs a tokio runtime.
pub async fn check(config: Result<Config, ConfigError>) -> Check {
    let checked = match config
        .and_then(Config::checked)
        .and_then(|config| Ok((Transport::new(&config)?, config)))
    {
        Ok((transport, config)) => Look::new(config, transport).run().await,
        Err(error) => vec![fail("settings", error.to_string(), "mend this setting and check again")],
    };
    Check {
        passed: checked.iter().all(|one| one.passed),
        checked,
    }
}

struct Look {
    config: Config,
    transport: Transport,
    limit: Duration,
}

impl Look {
    fn new(config: Config, transport: Transport) -> Self {
        let limit = Duration::from_millis(config.health.timeout_ms.max(config.deadline.attempt_ms));
        Self {
            config,
            transport,
            limit,
        }
    }

    async fn run(&self) -> Vec<Checked> {
        let config = &self.config;
        let mut found = vec![pass(
            "settings",
            format!("{} for {} at {}", config.bot, config.strategy, config.url),
        )];
        let sent_at = SystemClock.now();
        let alive = self.get("/healthz").await;
        let received_at = SystemClock.now();
        found.push(network(&alive, config));
        let Some(alive) = alive.ok().filter(|reply| reply.status == 200) else {
            return found;
        };
        found.push(ready(self.get("/readyz").await));
        found.extend(self.described().await);
        if config.clock == ClockKind::System {
            found.push(clock(alive.date.as_deref(), sent_at, received_at, config));
        }
        found.push(self.heartbeat().await);
        found
    }

    async fn get(&self, path: &str) -> Result<Reply, Failure> {
        self.transport.get(path, None, self.limit).await
    }

    /// What `GET /v1/model` tells: whether the key is taken, and whether the model is one for this bot.
    async fn described(&self) -> Vec<Checked> {
        let reply = match self.get("/v1/model").await {
            Ok(reply) => reply,
            Err(failure) => return vec![fail("key", failure.detail, "check again; look into the service's log")],
        };
        if reply.status != 200 {
            let step = match (reply.status, &self.config.api_key) {
                (401 | 403, None) => "name a file with a key of the scope `predict` in api_key_file",
                (401 | 403, Some(_)) => {
                    "use a key with the scope `predict`; `tidegate keys api new NAME --scope predict` makes one"
                }
                _ => "look into the service's log",
            };
            return vec![fail("key", told("/v1/model", &reply), step)];
        }
        let mut found = vec![pass("key", "the service takes it".to_owned())];
        found.extend(match serde_json::from_slice::<Vec<Served>>(&reply.body) {
            Ok(everything) => model(&everything, &self.config),
            Err(error) => {
                let detail = format!("/v1/model is not what it should be: {error}");
                vec![fail(
                    "model",
                    detail,
                    "see whether the service's version fits this client's",
                )]
            }
        });
        found
    }

    async fn heartbeat(&self) -> Checked {
        // A bot that has not decided yet.
        let state = State {
            breaker: BreakerState::Closed,
            health: Health::Unknown,
            version: None,
            bundle_digest: None,
            decisions: std::collections::BTreeMap::new(),
            clock_skew_ms: None,
            halted: false,
        };
        let message = heartbeat::message(&self.config, &state, SystemClock.now());
        let bot: String = self.config.bot.chars().take(40).collect();
        let request_id = format!("{bot}-check-{:04x}", fastrand::u16(..));
        match heartbeat::post(&self.transport, &message, &request_id, self.limit).await {
            Ok(()) => pass("heartbeat", "the service takes it".to_owned()),
            Err(why) => fail(
                "heartbeat",
                why,
                "see the key's scope, `strategy`, and serving.max_bots of the service",
            ),
        }
    }
}

fn network(alive: &Result<Reply, Failure>, config: &Config) -> Checked {
    match alive {
        Ok(reply) if reply.status == 200 => pass("network", format!("{} answers", config.url)),
        Ok(reply) => fail(
            "network",
            told("/healthz", reply),
            "see whether `url` is the service's address, and no other program's",
        ),
        Err(failure) => fail(
            "network",
            failure.detail.clone(),
            "see whether the service runs, and whether a firewall stands between",
        ),
    }
}

fn ready(found: Result<Reply, Failure>) -> Checked {
    match found {
        Ok(reply) if reply.status == 200 => pass("ready", "requests may be sent".to_owned()),
        Ok(reply) => {
            let reasons = serde_json::from_slice::<Ready>(&reply.body).map(|ready| ready.reasons.join("; "));
            let detail = reasons
                .ok()
                .filter(|text| !text.is_empty())
                .unwrap_or_else(|| told("/readyz", &reply));
            fail("ready", detail, "wait until the service is ready, or look into its log")
        }
        Err(failure) => fail("ready", failure.detail, "check again; look into the service's log"),
    }
}

/// An answer that was not expected, with the problem that it names.
fn told(path: &str, reply: &Reply) -> String {
    match serde_json::from_slice::<ProblemBody>(&reply.body) {
        Ok(problem) => format!(
            "{path} answers {}: {}, {}",
            reply.status,
            problem.name(),
            problem.detail
        ),
        Err(_) => format!("{path} answers {}", reply.status),
    }
}

fn model(everything: &[Served], config: &Config) -> Vec<Checked> {
    let failed = |detail: String, step: &str| vec![fail("model", detail, step)];
    let Some(served) = everything.iter().find(|served| served.strategy == config.strategy) else {
        let names: Vec<&str> = everything.iter().map(|served| served.strategy.as_str()).collect();
        let names = if names.is_empty() {
            "none".to_owned()
        } else {
            names.join(", ")
        };
        return failed(
            format!("{} is not served; served are {names}", config.strategy),
            "mend `strategy`, or add it to serving.strategies of the service",
        );
    };
    if let Some(halt) = &served.halted {
        return failed(format!("halted: {halt}"), "mend the cause, then `tidegate resume`");
    }
    let Some(model) = &served.production else {
        let why = served
            .refused
            .as_ref()
            .map_or_else(String::new, |refused| format!(": {refused}"));
        return failed(
            format!("no model is in production{why}"),
            "promote one: `tidegate promote`",
        );
    };
    vec![age(model, config), interval(model, config), version(model, config)]
}

fn age(model: &LoadedModel, config: &Config) -> Checked {
    // In a replay there is no bar yet that would tell what time it is.
    if config.clock == ClockKind::System && SystemClock.now() >= model.expires_at {
        let detail = format!("v{} expired at {} (UTC ms)", model.version, model.expires_at);
        return fail("model", detail, "retrain and promote a newer one");
    }
    pass(
        "model",
        format!(
            "v{} is in production, {} bars of {}",
            model.version, model.lookback, model.interval
        ),
    )
}

fn interval(model: &LoadedModel, config: &Config) -> Checked {
    let ours = config.interval.to_string();
    if model.interval == ours {
        pass("interval", ours)
    } else {
        let detail = format!("the model's is {}, the bot's {ours}", model.interval);
        fail("interval", detail, "mend `interval`, and give the bot such bars")
    }
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

/// How far the service's clock is from this one's while the request was under way: a slow answer is no skew.
fn clock(date: Option<&str>, sent_at: i64, received_at: i64, config: &Config) -> Checked {
    let there = date
        .and_then(|text| httpdate::parse_http_date(text).ok())
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
        .and_then(|since| i64::try_from(since.as_millis()).ok());
    let Some(there) = there else {
        let step = "see whether a proxy takes the header `Date` away";
        return fail("clock", "the answer has no date that can be read".to_owned(), step);
    };
    let here = there.clamp(sent_at.min(received_at), received_at);
    let skew = here - there;
    let most = i64::try_from(config.answers.max_clock_skew_ms)
        .unwrap_or(i64::MAX)
        .saturating_add(RESOLUTION_MS);
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

fn pass(name: &str, detail: String) -> Checked {
    Checked {
        name: name.to_owned(),
        passed: true,
        detail: shortened(detail),
        next_step: None,
    }
}

fn fail(name: &str, detail: String, next_step: &str) -> Checked {
    Checked {
        name: name.to_owned(),
        passed: false,
        detail: shortened(detail),
        next_step: Some(next_step.to_owned()),
    }
}
