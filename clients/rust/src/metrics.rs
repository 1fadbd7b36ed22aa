//! The client's own metrics, in Prometheus's text format.
//!
//! A bot that cannot reach the service can only say so here.

mod serving;

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::breaker::BreakerState;
use crate::client::{Health, source_word};
use crate::decision::{Decision, Reason};

pub(crate) use serving::serve;

/// A decision has a second by default; what is beyond the last bound is out of every deadline's sense.
const BOUNDS_S: [f64; 12] = [0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0];

/// What is counted. A value that nobody knows yet has no sample.
#[derive(Debug)]
pub(crate) struct Metrics {
    strategy: String,
    dry_run: bool,
    counted: Mutex<Counted>,
}

#[derive(Debug, Default)]
struct Counted {
    decisions: BTreeMap<(&'static str, &'static str), u64>,
    decide: Histogram,
    requests: BTreeMap<(String, String), u64>,
    request: BTreeMap<String, Histogram>,
    retries: u64,
    resends: u64,
    opened: u64,
    breaker: BreakerState,
    health: Option<i8>,
    version: Option<u64>,
    signalled_at: Option<i64>,
    skew_ms: Option<i64>,
    heartbeats: [u64; 2],
}

#[derive(Debug, Default, Clone)]
struct Histogram {
    counts: [u64; BOUNDS_S.len()],
    count: u64,
    sum: f64,
}

impl Histogram {
    fn observe(&mut self, seconds: f64) {
        for (bound, count) in BOUNDS_S.iter().zip(&mut self.counts) {
            *count += u64::from(seconds <= *bound);
        }
        self.count += 1;
        self.sum += seconds;
    }

    fn write(&self, text: &mut Page, name: &str, labels: &str) {
        for (bound, count) in BOUNDS_S.iter().zip(&self.counts) {
            text.sample(&format!("{name}_bucket"), &format!("{labels},le=\"{bound}\""), count);
        }
        text.sample(&format!("{name}_bucket"), &format!("{labels},le=\"+Inf\""), self.count);
        text.sample(&format!("{name}_sum"), labels, self.sum);
        text.sample(&format!("{name}_count"), labels, self.count);
    }
}

impl Metrics {
    pub(crate) fn new(strategy: &str, dry_run: bool) -> Self {
        Self {
            strategy: strategy.to_owned(),
            dry_run,
            counted: Mutex::new(Counted::default()),
        }
    }

    fn counted(&self) -> MutexGuard<'_, Counted> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn decided(&self, decision: &Decision) {
        let mut counted = self.counted();
        let reason = decision.reason.map_or("none", Reason::word);
        *counted
            .decisions
            .entry((source_word(decision.source), reason))
            .or_default() += 1;
        counted.decide.observe(decision.elapsed_ms / 1000.0);
    }

    pub(crate) fn requested(&self, route: &str, outcome: &str, seconds: f64) {
        let mut counted = self.counted();
        *counted
            .requests
            .entry((route.to_owned(), outcome.to_owned()))
            .or_default() += 1;
        counted.request.entry(route.to_owned()).or_default().observe(seconds);
    }

    pub(crate) fn retried(&self) {
        self.counted().retries += 1;
    }

    pub(crate) fn resent(&self) {
        self.counted().resends += 1;
    }

    pub(crate) fn breaker_opened(&self) {
        self.counted().opened += 1;
    }

    pub(crate) fn set_breaker(&self, state: BreakerState) {
        self.counted().breaker = state;
    }

    pub(crate) fn set_health(&self, health: Health) {
        self.counted().health = match health {
            Health::Unknown => None,
            Health::Ready => Some(1),
            Health::NotReady => Some(0),
            Health::Unreachable => Some(-1),
        };
    }

    pub(crate) fn set_skew(&self, skew_ms: i64) {
        self.counted().skew_ms = Some(skew_ms);
    }

    pub(crate) fn signalled(&self, version: u64, at_ms: i64) {
        let mut counted = self.counted();
        counted.version = Some(version);
        counted.signalled_at = Some(at_ms);
    }

    pub(crate) fn heartbeat(&self, sent: bool) {
        let [failed, taken] = &mut self.counted().heartbeats;
        *(if sent { taken } else { failed }) += 1;
    }

    /// The page.
    pub(crate) fn text(&self) -> String {
        let counted = self.counted();
        let strategy = format!("strategy=\"{}\"", escaped(&self.strategy));
        let mut page = Page::default();
        counted.decisions_on(&mut page, &strategy);
        counted.requests_on(&mut page);
        counted.state_on(&mut page, &strategy);
        page.one(
            "tidegate_client_dry_run",
            "gauge",
            "1 where decisions are not acted on.",
            "",
            u8::from(self.dry_run),
        );
        let build = format!("version=\"{}\",language=\"rust\"", env!("CARGO_PKG_VERSION"));
        page.one("tidegate_client_build_info", "gauge", "This client.", &build, 1);
        page.text
    }
}

impl Counted {
    fn decisions_on(&self, page: &mut Page, strategy: &str) {
        page.family(
            "tidegate_client_decisions_total",
            "counter",
            "Decisions by source and reason.",
        );
        for ((source, reason), count) in &self.decisions {
            let labels = format!("{strategy},source=\"{source}\",reason=\"{reason}\"");
            page.sample("tidegate_client_decisions_total", &labels, count);
        }
        page.family(
            "tidegate_client_decide_seconds",
            "histogram",
            "Time from the call to the decision.",
        );
        self.decide.write(page, "tidegate_client_decide_seconds", strategy);
    }

    fn requests_on(&self, page: &mut Page) {
        page.family(
            "tidegate_client_requests_total",
            "counter",
            "Requests by route and outcome.",
        );
        for ((route, outcome), count) in &self.requests {
            let labels = format!("route=\"{}\",outcome=\"{}\"", escaped(route), escaped(outcome));
            page.sample("tidegate_client_requests_total", &labels, count);
        }
        page.family(
            "tidegate_client_request_seconds",
            "histogram",
            "Time of a request with its answer.",
        );
        for (route, histogram) in &self.request {
            histogram.write(
                page,
                "tidegate_client_request_seconds",
                &format!("route=\"{}\"", escaped(route)),
            );
        }
        page.one(
            "tidegate_client_retries_total",
            "counter",
            "Requests that were sent again.",
            "",
            self.retries,
        );
        page.one(
            "tidegate_client_window_resends_total",
            "counter",
            "Whole windows that the service asked for.",
            "",
            self.resends,
        );
        page.family("tidegate_client_heartbeats_total", "counter", "Heartbeats by result.");
        for (result, count) in ["failed", "sent"].iter().zip(&self.heartbeats) {
            page.sample(
                "tidegate_client_heartbeats_total",
                &format!("result=\"{result}\""),
                count,
            );
        }
    }

    fn state_on(&self, page: &mut Page, strategy: &str) {
        page.one(
            "tidegate_client_breaker_opened_total",
            "counter",
            "How often the breaker opened.",
            "",
            self.opened,
        );
        let breaker = match self.breaker {
            BreakerState::Closed => 0,
            BreakerState::HalfOpen => 1,
            BreakerState::Open => 2,
        };
        page.one(
            "tidegate_client_breaker_state",
            "gauge",
            "0 closed, 1 half open, 2 open.",
            "",
            breaker,
        );
        if let Some(health) = self.health {
            page.one(
                "tidegate_client_health",
                "gauge",
                "1 ready, 0 not ready, -1 unreachable.",
                "",
                health,
            );
        }
        if let Some(version) = self.version {
            page.one(
                "tidegate_client_version",
                "gauge",
                "The last version that gave a signal.",
                strategy,
                version,
            );
        }
        if let Some(skew_ms) = self.skew_ms {
            page.one(
                "tidegate_client_clock_skew_seconds",
                "gauge",
                "The service's clock less this one.",
                "",
                seconds(skew_ms),
            );
        }
        if let Some(at_ms) = self.signalled_at {
            let help = "When the last signal came, by this clock.";
            page.one(
                "tidegate_client_last_signal_timestamp_seconds",
                "gauge",
                help,
                strategy,
                seconds(at_ms),
            );
        }
    }
}

#[allow(clippy::cast_precision_loss)] // times of this millennium in ms are far below 2^53
fn seconds(milliseconds: i64) -> f64 {
    milliseconds as f64 / 1000.0
}

#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    // Writing to a string cannot fail.
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = write!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn sample(&mut self, name: &str, labels: &str, value: impl Display) {
        let _ = if labels.is_empty() {
            writeln!(self.text, "{name} {value}")
        } else {
            writeln!(self.text, "{name}{{{labels}}} {value}")
        };
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, labels: &str, value: impl Display) {
        self.family(name, kind, help);
        self.sample(name, labels, value);
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::{FallbackUsed, Source};
    use crate::policy::Side;

    fn decision(source: Source, reason: Option<Reason>, elapsed_ms: f64) -> Decision {
        Decision {
            decided_at: 0,
            bot: "bot".to_owned(),
            strategy: "eurusd".to_owned(),
            symbol: "EUR/USD".to_owned(),
            bar_closed_at: None,
            target: Side::Flat,
            source,
            reason,
            detail: None,
            version: None,
            bundle_digest: None,
            probability: None,
            fallback: Some(FallbackUsed::Flat),
            attempts: 1,
            elapsed_ms,
            breaker: BreakerState::Closed,
            dry_run: true,
            request_id: None,
        }
    }

    fn sample(text: &str, name: &str) -> Option<f64> {
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
    }

    #[test]
    fn what_nobody_knows_yet_has_no_sample() {
        let text = Metrics::new("eurusd", true).text();
        for name in [
            "health",
            "version{",
            "clock_skew_seconds",
            "last_signal_timestamp_seconds",
        ] {
            assert!(!text.contains(&format!("tidegate_client_{name}")), "{name}");
        }
        assert_eq!(sample(&text, "tidegate_client_dry_run"), Some(1.0));
        assert_eq!(sample(&text, "tidegate_client_breaker_state"), Some(0.0));
        assert_eq!(
            sample(&text, "tidegate_client_heartbeats_total{result=\"sent\"}"),
            Some(0.0)
        );
    }

    #[test]
    fn everything_is_counted_under_the_contracts_names() {
        let metrics = Metrics::new("eurusd", false);
        metrics.decided(&decision(Source::Model, None, 1.5));
        metrics.decided(&decision(Source::Fallback, Some(Reason::Timeout), 1000.0));
        metrics.decided(&decision(Source::Fallback, Some(Reason::Timeout), 9000.0));
        metrics.decided(&decision(Source::Halt, Some(Reason::Halted), 1.0));
        metrics.requested("/v1/predict", "answered", 0.0015);
        metrics.retried();
        metrics.resent();
        metrics.breaker_opened();
        metrics.set_breaker(BreakerState::Open);
        metrics.set_health(Health::Unreachable);
        metrics.set_skew(-1500);
        metrics.signalled(7, 1_780_000_000_123);
        metrics.heartbeat(true);
        metrics.heartbeat(true);
        metrics.heartbeat(false);
        let text = metrics.text();
        let of = "strategy=\"eurusd\"";
        let fallback = format!("decisions_total{{{of},source=\"fallback\",reason=\"timeout\"}}");
        for (name, expected) in [
            (format!("decisions_total{{{of},source=\"model\",reason=\"none\"}}"), 1.0),
            (fallback, 2.0),
            (
                format!("decisions_total{{{of},source=\"halt\",reason=\"halted\"}}"),
                1.0,
            ),
            (format!("decide_seconds_bucket{{{of},le=\"0.001\"}}"), 1.0),
            (format!("decide_seconds_bucket{{{of},le=\"0.002\"}}"), 2.0),
            (format!("decide_seconds_bucket{{{of},le=\"1\"}}"), 3.0),
            (format!("decide_seconds_bucket{{{of},le=\"+Inf\"}}"), 4.0),
            (format!("decide_seconds_count{{{of}}}"), 4.0),
            (format!("decide_seconds_sum{{{of}}}"), 10.0025),
            (
                "requests_total{route=\"/v1/predict\",outcome=\"answered\"}".to_owned(),
                1.0,
            ),
            ("request_seconds_count{route=\"/v1/predict\"}".to_owned(), 1.0),
            ("retries_total".to_owned(), 1.0),
            ("window_resends_total".to_owned(), 1.0),
            ("breaker_opened_total".to_owned(), 1.0),
            ("breaker_state".to_owned(), 2.0),
            ("health".to_owned(), -1.0),
            ("clock_skew_seconds".to_owned(), -1.5),
            (format!("version{{{of}}}"), 7.0),
            (format!("last_signal_timestamp_seconds{{{of}}}"), 1_780_000_000.123),
            ("dry_run".to_owned(), 0.0),
            ("heartbeats_total{result=\"sent\"}".to_owned(), 2.0),
            ("heartbeats_total{result=\"failed\"}".to_owned(), 1.0),
            (
                format!(
                    "build_info{{version=\"{}\",language=\"rust\"}}",
                    env!("CARGO_PKG_VERSION")
                ),
                1.0,
            ),
        ] {
            assert_eq!(
                sample(&text, &format!("tidegate_client_{name}")),
                Some(expected),
                "{name}\n{text}"
            );
        }
    }

    /// Each family of the contract's table stands once on the page, with its type, and no other does.
    #[test]
    fn the_page_has_the_families_of_the_contract() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/contracts/client.md");
        let contract = std::fs::read_to_string(path).unwrap();
        let table = contract
            .split("## Metrics")
            .nth(1)
            .unwrap()
            .split("## ")
            .next()
            .unwrap();
        let mut expected: Vec<String> = table
            .lines()
            .filter(|line| line.starts_with("| `tidegate_client_"))
            .flat_map(|line| {
                let cells: Vec<&str> = line.split('|').map(str::trim).collect();
                let names = cells[1].split(", ").map(|name| name.trim_matches('`').to_owned());
                names
                    .map(|name| format!("# TYPE {name} {}", cells[2]))
                    .collect::<Vec<_>>()
            })
            .collect();
        let metrics = Metrics::new("eurusd", true);
        metrics.set_health(Health::NotReady);
        metrics.set_skew(0);
        metrics.signalled(1, 1);
        let text = metrics.text();
        let mut found: Vec<String> = text
            .lines()
            .filter(|line| line.starts_with("# TYPE"))
            .map(str::to_owned)
            .collect();
        expected.sort();
        found.sort();
        assert_eq!(found, expected);
    }

    #[test]
    fn labels_are_escaped() {
        let text = Metrics::new("a\"b\\c\nd", true).text();
        assert!(text.contains("strategy=\"a\\\"b\\\\c\\nd\""), "{text}");
        assert!(!text.contains("\nd\""));
    }
}
