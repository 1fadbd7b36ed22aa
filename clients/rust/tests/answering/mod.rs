//! A small service that says what it is told to, for tests of what stands around a decision.

#![allow(dead_code, clippy::unwrap_used)] // each test binary takes what it needs

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tidegate_client::Config;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub(crate) const DIGEST: &str = "abababababababababababababababababababababababababababababababab";
pub(crate) const NEVER: i64 = 4_102_444_800_000;

/// What each path says, and the clock of the header `Date`.
#[derive(Clone)]
pub(crate) struct Script {
    pub(crate) answers: HashMap<&'static str, (u16, String)>,
    pub(crate) date: Option<SystemTime>,
    /// Before `/healthz` answers.
    pub(crate) delay: Duration,
    /// From a question to its answer.
    pub(crate) predict: Option<fn(&Value) -> Value>,
}

impl Script {
    /// A service with a model in production, for which nothing is wrong.
    pub(crate) fn good() -> Self {
        let mut script = Self {
            answers: HashMap::new(),
            date: Some(SystemTime::now()),
            delay: Duration::ZERO,
            predict: None,
        };
        script.say("/healthz", 200, &json!({"status": "ok"}));
        script.say("/readyz", 200, &json!({"ready": true, "reasons": [], "notes": []}));
        script.say("/v1/model", 200, &json!([served()]));
        script.say("/v1/bots/heartbeat", 204, &Value::Null);
        script
    }

    pub(crate) fn say(&mut self, path: &'static str, status: u16, body: &Value) {
        let text = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        self.answers.insert(path, (status, text));
    }
}

pub(crate) fn served() -> Value {
    json!({
        "strategy": "eurusd", "halted": null, "refused": null, "notes": {}, "registry_reached_at": 1,
        "production": {
            "version": 7, "bundle_digest": DIGEST, "kind": "real", "symbols": ["EUR/USD"], "interval": "1h",
            "lookback": 50, "features": 3,
            "policy": {"long_at": 0.6, "short_at": 0.4, "take_profit": 0.02, "stop_loss": 0.01, "max_holding_bars": 10, "flip": true},
            "created_at": 1, "expires_at": NEVER, "loaded_at": 1, "signed_by": null, "origin": "registry",
        },
        "before": null, "challenger": null,
    })
}

pub(crate) struct Answering {
    pub(crate) url: String,
    /// Head and body of every request that came.
    pub(crate) asked: Arc<Mutex<Vec<String>>>,
    task: tokio::task::AbortHandle,
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) async fn answering(script: Script) -> Answering {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let requests = Arc::clone(&asked);
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(talk(stream, script.clone(), Arc::clone(&requests)));
        }
    });
    Answering {
        url,
        asked,
        task: task.abort_handle(),
    }
}

async fn talk(mut stream: TcpStream, script: Script, requests: Arc<Mutex<Vec<String>>>) {
    let mut text = String::new();
    let mut part = [0; 4096];
    loop {
        let count = stream.read(&mut part).await.unwrap_or(0);
        if count == 0 {
            return;
        }
        text.push_str(&String::from_utf8_lossy(part.get(..count).unwrap_or_default()));
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head
            .lines()
            .find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
        if body.len() >= length.unwrap_or(0) {
            break;
        }
    }
    let path = text.split(' ').nth(1).unwrap_or_default().to_owned();
    let question = text
        .split_once("\r\n\r\n")
        .and_then(|(_, body)| serde_json::from_str(body).ok());
    requests.lock().unwrap().push(text);
    if path == "/healthz" {
        tokio::time::sleep(script.delay).await;
    }
    let (status, body) = match (question, script.predict) {
        (Some(question), Some(predict)) if path == "/v1/predict" => (200, predict(&question).to_string()),
        _ => script
            .answers
            .get(path.as_str())
            .cloned()
            .unwrap_or((404, String::new())),
    };
    let date = script.date.map_or_else(String::new, |date| {
        format!("Date: {}\r\n", httpdate::fmt_http_date(date))
    });
    let length = if status == 204 {
        String::new()
    } else {
        format!("Content-Length: {}\r\n", body.len())
    };
    let answer = format!("HTTP/1.1 {status} x\r\n{date}{length}Connection: close\r\n\r\n{body}");
    let _ = stream.write_all(answer.as_bytes()).await;
}

/// Settings without anything in the background.
pub(crate) fn config(url: &str) -> Config {
    let text = format!(
        "url = {url:?}\nstrategy = \"eurusd\"\ninterval = \"1h\"\nbot = \"bot-1\"\n[health]\npoll_ms = 0\n[heartbeat]\nevery_ms = 0\n"
    );
    Config::parse(&text, &HashMap::new()).unwrap()
}
