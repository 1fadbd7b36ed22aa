//! What the client costs beside the bare HTTP call: the same question over one kept-alive connection, and by `decide`, in turns.
//!
//! `overhead --config bot.toml --bars window.csv --symbol S --calls N [--bare-too]` prints one JSON line with the microseconds of each call.
//! Without `--bare-too` only the client is called, as where nobody answers.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tidegate_client::messages::{Item, PredictRequest};
use tidegate_client::{Bar, Bars, Client, Config, Position, Source};
use tokio::net::TcpStream;

type Trouble = Box<dyn Error>;

const WARM_UP: usize = 50;

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(trouble) => {
            eprintln!("{trouble}");
            ExitCode::from(2)
        }
    }
}

async fn run() -> Result<serde_json::Value, Trouble> {
    let config = Config::load(Path::new(&argument("--config")?))?;
    let (symbol, calls) = (argument("--symbol")?, argument("--calls")?.parse::<usize>()?);
    let window = bars_of(&fs::read_to_string(argument("--bars")?)?)?;
    let bare_too = std::env::args().any(|given| given == "--bare-too");
    let mut bare = None;
    if bare_too {
        bare = Some(Bare::connect(&config, &symbol, &window).await?);
    }
    let client = Client::connect(config).await?;
    let (mut bare_us, mut client_us, mut from_model) = (Vec::new(), Vec::new(), 0);
    for call in 0..calls + if bare_too { WARM_UP } else { 0 } {
        if let Some(bare) = &mut bare {
            bare_us.push(bare.call().await?);
        }
        let started = Instant::now();
        let decision = client.decide(&symbol, &window, &Position::default()).await;
        client_us.push(started.elapsed().as_secs_f64() * 1e6);
        if bare_too && decision.source != Source::Model {
            return Err(format!("call {call}: no signal: {:?} {:?}", decision.reason, decision.detail).into());
        }
        from_model += usize::from(decision.source == Source::Model);
    }
    let measured = |all: Vec<f64>| all.into_iter().rev().take(calls).collect::<Vec<_>>();
    Ok(serde_json::json!({
        "bare_us": measured(bare_us),
        "client_us": measured(client_us),
        "from_model": from_model,
    }))
}

/// One connection, and the bytes that the client sends for a bar that the service knows.
struct Bare {
    sender: SendRequest<Full<Bytes>>,
    host: String,
    body: Bytes,
}

impl Bare {
    async fn connect(config: &Config, symbol: &str, bars: &Bars) -> Result<Self, Trouble> {
        let host = config
            .url
            .strip_prefix("http://")
            .ok_or("plain http is measured")?
            .trim_end_matches('/')
            .to_owned();
        let stream = TcpStream::connect(&host).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let mut called = Self {
            sender,
            host,
            body: body(config, symbol, bars.clone(), None)?,
        };
        called.call().await?;
        let before = bars.get(bars.len().wrapping_sub(2)).map(|bar| bar.opened_at);
        called.body = body(config, symbol, bars.newest(1), before)?;
        Ok(called)
    }

    /// Microseconds of one call, its body read.
    async fn call(&mut self) -> Result<f64, Trouble> {
        let started = Instant::now();
        let request = Request::builder()
            .method(Method::POST)
            .uri("/v1/predict")
            .header(HOST, &self.host)
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(self.body.clone()))?;
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        let status = response.status();
        let read = response.into_body().collect().await?.to_bytes();
        let spent = started.elapsed().as_secs_f64() * 1e6;
        if status != 200 {
            return Err(format!("{status}: {}", String::from_utf8_lossy(&read)).into());
        }
        Ok(spent)
    }
}

fn body(config: &Config, symbol: &str, bars: Bars, after: Option<i64>) -> Result<Bytes, Trouble> {
    let request = PredictRequest {
        items: vec![Item {
            symbol: symbol.to_owned(),
            bars,
            after,
            position: Some(Position::default()),
        }],
        strategy: Some(config.strategy.clone()),
        request_id: Some("overhead-0123456789abcdef-0".to_owned()),
    };
    Ok(Bytes::from(serde_json::to_vec(&request)?))
}

fn argument(name: &str) -> Result<String, Trouble> {
    let mut given = std::env::args().skip_while(|given| given != name).skip(1);
    given.next().ok_or_else(|| format!("{name} is needed").into())
}

/// Bars as CSV with a header.
fn bars_of(text: &str) -> Result<Bars, Trouble> {
    text.lines().skip(1).map(bar).collect()
}

fn bar(line: &str) -> Result<Bar, Trouble> {
    let mut fields = line.split(',');
    let mut next = || fields.next().ok_or("six fields are expected");
    Ok(Bar {
        opened_at: next()?.parse()?,
        open: next()?.parse()?,
        high: next()?.parse()?,
        low: next()?.parse()?,
        close: next()?.parse()?,
        volume: next()?.parse()?,
    })
}
