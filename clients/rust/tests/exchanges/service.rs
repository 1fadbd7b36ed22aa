//! The server: it keeps what it was asked, and does with each request for a prediction what stands next in its script.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tidegate_client::{Bar, Bars, Client, ClientBuilder, Clock, Config, Decision, Interval, Position};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub(crate) const HOUR: i64 = 3_600_000;
/// Close of the newest bar of `bars(6)`.
pub(crate) const CLOSED_AT: i64 = 1_800_000_000_000;
pub(crate) const LOOKBACK: usize = 4;

/// What becomes of a request.
#[derive(Clone)]
pub(crate) enum Act {
    /// The answer that a sound service gives, changed by this.
    Signal(fn(&mut Value)),
    /// This status, these further headers, this body.
    Say(u16, &'static str, String),
    /// The connection is reset.
    Reset,
    /// The connection is closed without a word.
    HangUp,
    /// Nothing ever comes.
    Silence,
    /// One byte of a sound answer each so many ms.
    Drip(u64),
    /// A sound answer, cut in the middle of its body.
    Truncate,
    /// These bytes, whatever they are.
    Raw(Vec<u8>),
    /// A sound answer, so many ms late.
    Late(u64),
}

pub(crate) const SOUND: Act = Act::Signal(|_| {});

pub(crate) fn problem(status: u16, name: &str) -> Act {
    Act::Say(status, "", problem_body(status, name).to_string())
}

pub(crate) fn problem_body(status: u16, name: &str) -> Value {
    json!({"type": format!("urn:tidegate:problem:{name}"), "title": "title", "status": status, "detail": "what to do"})
}

/// One request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) path: String,
    pub(crate) head: String,
    pub(crate) body: Value,
    pub(crate) connection: u64,
}

impl Seen {
    /// Opening times of the bars that were sent.
    pub(crate) fn opened_at(&self) -> Vec<i64> {
        serde_json::from_value(self.body["items"][0]["bars"]["opened_at"].clone()).unwrap()
    }

    pub(crate) fn after(&self) -> Option<i64> {
        self.body["items"][0]["after"].as_i64()
    }
}

#[derive(Default)]
struct Inner {
    seen: Mutex<Vec<Seen>>,
    script: Mutex<VecDeque<Act>>,
    always: Mutex<Option<Act>>,
    model: Mutex<Option<Act>>,
    ready: Mutex<Option<Act>>,
    served: Mutex<Value>,
    /// By symbol, the bars that were sent, as a service keeps them of one API key.
    windows: Mutex<HashMap<String, Bars>>,
    connections: AtomicU64,
}

/// A server that ends with its handle.
pub(crate) struct Service {
    inner: Arc<Inner>,
    pub(crate) address: String,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Service {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Service {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let inner = Arc::new(Inner::default());
        *inner.served.lock().unwrap() = served();
        let shared = Arc::clone(&inner);
        let task = tokio::spawn(async move {
            // Connections end with the server, as those of a killed process do.
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let number = shared.connections.fetch_add(1, Ordering::Relaxed) + 1;
                connections.spawn(serve(stream, number, Arc::clone(&shared)));
            }
        });
        Self { inner, address, task }
    }

    /// Does this with the next requests for a prediction, one after the other.
    pub(crate) fn script(&self, acts: impl IntoIterator<Item = Act>) {
        self.inner.script.lock().unwrap().extend(acts);
    }

    /// Does this with every request for a prediction when the script is over.
    pub(crate) fn always(&self, act: Act) {
        *self.inner.always.lock().unwrap() = Some(act);
    }

    /// Does this with every request for the model.
    pub(crate) fn model(&self, act: Option<Act>) {
        *self.inner.model.lock().unwrap() = act;
    }

    /// Does this with every look at its readiness.
    pub(crate) fn ready(&self, act: Option<Act>) {
        *self.inner.ready.lock().unwrap() = act;
    }

    /// Changes what it says of its models, and what its answers say.
    pub(crate) fn serve(&self, change: impl FnOnce(&mut Value)) {
        change(&mut self.inner.served.lock().unwrap());
    }

    /// What was asked on a path so far.
    pub(crate) fn seen(&self, path: &str) -> Vec<Seen> {
        let all = self.inner.seen.lock().unwrap();
        all.iter().filter(|seen| seen.path == path).cloned().collect()
    }

    pub(crate) fn predictions(&self) -> Vec<Seen> {
        self.seen("/v1/predict")
    }

    /// Waits until a path was asked so often; a test that waits for what does not come fails.
    pub(crate) async fn asked(&self, path: &str, times: usize) {
        for _ in 0..1000 {
            if self.seen(path).len() >= times {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{path} was asked {} times, {times} are expected", self.seen(path).len());
    }

    /// A client of this service, with settings behind the usual ones, and a clock that stands at the newest bar's close.
    pub(crate) fn builder(&self, settings: &str) -> (ClientBuilder, Arc<Stopped>) {
        let clock = Arc::new(Stopped(AtomicI64::new(CLOSED_AT)));
        let settings = format!(
            "url = \"http://{}\"\nstrategy = \"trend\"\ninterval = \"1h\"\nbot = \"bot-1\"\ndry_run = false\n\
             health.poll_ms = 0\nheartbeat.every_ms = 0\nretry.backoff_ms = 1\nretry.backoff_max_ms = 2\n{settings}",
            self.address
        );
        let config = Config::parse(&settings, &std::collections::HashMap::new()).unwrap();
        (Client::builder(config).clock(clock.clone()), clock)
    }

    pub(crate) async fn client(&self, settings: &str) -> Client {
        self.builder(settings).0.connect().await.unwrap()
    }
}

/// A clock that a test sets.
pub(crate) struct Stopped(pub(crate) AtomicI64);

impl Clock for Stopped {
    fn at(&self, _closed_at: i64) -> i64 {
        self.now()
    }

    fn now(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

pub(crate) fn served() -> Value {
    json!({
        "strategy": "trend", "halted": null, "refused": null, "notes": {}, "registry_reached_at": CLOSED_AT,
        "production": model(12, "a"), "before": model(11, "b"), "challenger": model(13, "c"),
    })
}

pub(crate) fn model(version: u64, digit: &str) -> Value {
    json!({
        "version": version, "bundle_digest": digit.repeat(64), "kind": "xgboost", "symbols": ["EUR/USD", "GBP/USD"],
        "interval": "1h", "lookback": LOOKBACK, "features": 3,
        "policy": {"long_at": 0.6, "short_at": 0.4, "take_profit": 0.02, "stop_loss": 0.01, "max_holding_bars": 6, "flip": true},
        "created_at": 1, "expires_at": CLOSED_AT + 1000 * HOUR, "loaded_at": 1, "signed_by": "key", "origin": "registry",
    })
}

/// So many bars; the sixth one closes at `CLOSED_AT`.
#[allow(clippy::cast_precision_loss)] // small numbers
pub(crate) fn bars(count: i64) -> Bars {
    (0..count)
        .map(|at| {
            let open = 100.0 + at as f64 / 100.0;
            Bar {
                opened_at: CLOSED_AT + (at - 6) * HOUR,
                open,
                high: open + 0.5,
                low: open - 0.5,
                close: open + 0.1,
                volume: 7.0,
            }
        })
        .collect()
}

/// One decision on the sixth bar, flat.
pub(crate) async fn decide(client: &Client) -> Decision {
    client.decide("EUR/USD", &bars(6), &Position::FLAT).await
}

/// The digest of the bars that a model with this lookback judges: those that were sent whole, and those that came behind them.
fn judged(inner: &Inner, item: &Value, lookback: usize) -> String {
    let symbol = item["symbol"].as_str().unwrap();
    let sent: Bars = serde_json::from_value(item["bars"].clone()).unwrap();
    let mut windows = inner.windows.lock().unwrap();
    let kept = windows.entry(symbol.to_owned()).or_default();
    let known = item["after"]
        .as_i64()
        .map_or(0, |after| kept.opened_at.partition_point(|at| *at <= after));
    *kept = (0..known)
        .filter_map(|row| kept.get(row))
        .chain((0..sent.len()).filter_map(|row| sent.get(row)))
        .collect();
    kept.newest(lookback).digest(symbol, &"1h".parse::<Interval>().unwrap())
}

/// What a sound service answers: long from 0.6 on, of the model in production.
fn answer(inner: &Inner, request: &Value, served: &Value) -> Value {
    let lookback = usize::try_from(served["production"]["lookback"].as_u64().unwrap_or(0)).unwrap();
    let input_digest = judged(inner, &request["items"][0], lookback);
    let opened_at = request["items"][0]["bars"]["opened_at"].as_array().unwrap();
    let closed_at = opened_at.last().unwrap().as_i64().unwrap() + HOUR;
    json!({
        "request_id": request["request_id"], "instance": "serving-1", "strategy": request["strategy"],
        "answered_at": closed_at, "logged": true,
        "answers": [{
            "symbol": request["items"][0]["symbol"], "version": served["production"]["version"],
            "bundle_digest": served["production"]["bundle_digest"], "bar_closed_at": closed_at,
            "valid_until": closed_at + HOUR, "data_age_ms": 0, "probability": 0.7, "signal": "long", "target_position": 1,
            "out_of_distribution": 0.0, "abstain": null, "problem": null, "input_digest": input_digest,
        }],
    })
}

async fn serve(mut stream: TcpStream, connection: u64, inner: Arc<Inner>) {
    let mut kept = Vec::new();
    while let Some((head, body)) = request(&mut stream, &mut kept).await {
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let act = next(&inner, &path);
        inner.seen.lock().unwrap().push(Seen {
            path: path.clone(),
            head,
            body: body.clone(),
            connection,
        });
        let served = inner.served.lock().unwrap().clone();
        let sound = match path.as_str() {
            "/v1/predict" => answer(&inner, &body, &served),
            "/v1/model" => json!([{"strategy": "other"}, served]),
            _ => json!({"ready": true, "reasons": [], "notes": []}),
        };
        // The other strategy is described whole, as a service does.
        let sound = if path == "/v1/model" { whole_list(sound) } else { sound };
        let status = if path == "/v1/bots/heartbeat" { 204 } else { 200 };
        if !acted(&mut stream, act, status, sound).await {
            return;
        }
    }
}

fn whole_list(mut list: Value) -> Value {
    let mut other = list[1].clone();
    other["strategy"] = json!("other");
    list[0] = other;
    list
}

fn next(inner: &Inner, path: &str) -> Act {
    let act = match path {
        "/v1/predict" => {
            let scripted = inner.script.lock().unwrap().pop_front();
            scripted.or_else(|| inner.always.lock().unwrap().clone())
        }
        "/v1/model" => inner.model.lock().unwrap().clone(),
        _ => inner.ready.lock().unwrap().clone(),
    };
    act.unwrap_or(SOUND)
}

/// Does it; says whether the connection goes on.
async fn acted(stream: &mut TcpStream, act: Act, status: u16, mut sound: Value) -> bool {
    match act {
        Act::Signal(change) => {
            change(&mut sound);
            say(stream, status, "", &sound.to_string()).await
        }
        Act::Say(status, headers, body) => say(stream, status, headers, &body).await,
        Act::Reset => {
            stream.set_zero_linger().unwrap();
            false
        }
        Act::HangUp => false,
        Act::Silence => {
            tokio::time::sleep(Duration::from_secs(60)).await;
            false
        }
        Act::Drip(pause_ms) => {
            for byte in whole(200, "", &sound.to_string()).bytes() {
                if stream.write_all(&[byte]).await.is_err() {
                    return false;
                }
                tokio::time::sleep(Duration::from_millis(pause_ms)).await;
            }
            true
        }
        Act::Truncate => {
            let text = whole(200, "", &sound.to_string());
            let _ = stream.write_all(&text.as_bytes()[..text.len() - 40]).await;
            false
        }
        Act::Raw(bytes) => {
            let _ = stream.write_all(&bytes).await;
            false
        }
        Act::Late(pause_ms) => {
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
            say(stream, status, "", &sound.to_string()).await
        }
    }
}

async fn say(stream: &mut TcpStream, status: u16, headers: &str, body: &str) -> bool {
    let body = if status == 204 { "" } else { body };
    stream.write_all(whole(status, headers, body).as_bytes()).await.is_ok()
}

fn whole(status: u16, headers: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status} Said\r\ncontent-type: application/json\r\n{headers}content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// The next request's head and body, `None` when the client is gone.
async fn request(stream: &mut TcpStream, kept: &mut Vec<u8>) -> Option<(String, Vec<u8>)> {
    loop {
        if let Some(end) = kept.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&kept[..end]).into_owned();
            let length = head
                .lines()
                .find_map(|line| {
                    line.to_lowercase()
                        .strip_prefix("content-length:")
                        .map(|text| text.trim().to_owned())
                })
                .map_or(0, |text| text.parse().unwrap());
            if kept.len() >= end + 4 + length {
                let body = kept[end + 4..end + 4 + length].to_vec();
                kept.drain(..end + 4 + length);
                return Some((head, body));
            }
        }
        let mut more = [0; 4096];
        match stream.read(&mut more).await {
            Ok(0) | Err(_) => return None,
            Ok(count) => kept.extend_from_slice(&more[..count]),
        }
    }
}
