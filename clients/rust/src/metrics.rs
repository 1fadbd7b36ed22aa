//! The client's own metrics, in Prometheus's text format, and where they are served.
//!
//! A bot that cannot reach the service can only say so here.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

use crate::breaker::BreakerState;
use crate::client::{Health, source_word};
use crate::config::{ConfigError, refuse};
use crate::decision::{Decision, Reason};

const BOUNDS_S: [f64; 12] = [0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0];
const MOST_CONNECTIONS: usize = 16;
const PATIENCE: Duration = Duration::from_secs(5);

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

    fn sample(&mut self, name: &str, labels: &str, value: impl std::fmt::Display) {
        let _ = if labels.is_empty() {
            writeln!(self.text, "{name} {value}")
        } else {
            writeln!(self.text, "{name}{{{labels}}} {value}")
        };
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, labels: &str, value: impl std::fmt::Display) {
        self.family(name, kind, help);
        self.sample(name, labels, value);
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// Serves `GET /metrics` until the task is aborted.
pub(crate) async fn serve(address: &str, metrics: Arc<Metrics>) -> Result<AbortHandle, ConfigError> {
    let listener = TcpListener::bind(address).await.map_err(|error| {
        refuse(
            "metrics.address",
            format!("cannot listen on {address}: {error}; name a free port, or leave the setting out"),
        )
    })?;
    Ok(tokio::spawn(accept(listener, metrics)).abort_handle())
}

async fn accept(listener: TcpListener, metrics: Arc<Metrics>) {
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Too many open files, for example: it may pass.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            continue;
        };
        let metrics = Arc::clone(&metrics);
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let answer = answer(&request, &metrics);
                async move { Ok::<_, Infallible>(answer) }
            });
            let mut server = http1::Builder::new();
            let connection = server
                .timer(TokioTimer::new())
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), service);
            let _ = tokio::time::timeout(PATIENCE, connection).await;
            drop(place);
        });
    }
}

fn answer(request: &Request<Incoming>, metrics: &Metrics) -> Response<Full<Bytes>> {
    let (status, kind, text) = match (request.method(), request.uri().path()) {
        (&Method::GET, "/metrics") => (StatusCode::OK, "text/plain; version=0.0.4", metrics.text()),
        (_, "/metrics") => (StatusCode::METHOD_NOT_ALLOWED, "text/plain", "GET only\n".to_owned()),
        _ => (
            StatusCode::NOT_FOUND,
            "text/plain",
            "only /metrics is here\n".to_owned(),
        ),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static(kind));
    response
}
