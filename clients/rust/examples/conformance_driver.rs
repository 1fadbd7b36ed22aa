//! Lets the conformance kit drive the client: one JSON line in, one JSON line out. The protocol stands in the kit's README.
//!
//! The client's clock is a fixed one that says what the last `now_ms` said.

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::io::{self, BufRead, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use serde::Deserialize;
use serde::de::{Deserializer, Visitor};
use serde_json::{Value, json};
use tidegate_client::{Bars, Client, Clock, Config, ConfigError, Position, Side};

fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_max_level(tracing::Level::WARN)
        .init();
    // Of several threads: what the client does in the background goes on while the next line is waited for.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let mut driver = Driver::default();
    for line in io::stdin().lock().lines() {
        let line = line?;
        if line.trim().is_empty() {
            continue;
        }
        let answer = runtime.block_on(driver.answer(&line));
        let mut output = io::stdout().lock();
        serde_json::to_writer(&mut output, &answer)?;
        output.write_all(b"\n")?;
        output.flush()?;
    }
    runtime.block_on(driver.close());
    Ok(())
}

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
enum Question {
    Open {
        config: Value,
        api_key: Option<String>,
        #[serde(default)]
        environment: HashMap<String, String>,
        now_ms: Option<i64>,
    },
    Decide {
        symbol: String,
        bars: Columns,
        position: Option<Holding>,
        now_ms: i64,
    },
    State {},
    Poll {},
    Heartbeat {},
    Metrics {},
    Close {},
}

#[derive(Default)]
struct Driver {
    clock: Fixed,
    client: Option<Client>,
}

impl Driver {
    async fn answer(&mut self, line: &str) -> Value {
        match serde_json::from_str(line) {
            Ok(question) => self
                .ask(question)
                .await
                .unwrap_or_else(|message| json!({ "error": message })),
            Err(error) => json!({ "error": error.to_string() }),
        }
    }

    async fn ask(&mut self, question: Question) -> Result<Value, String> {
        match question {
            Question::Open {
                config,
                api_key,
                mut environment,
                now_ms,
            } => {
                environment.extend(api_key.map(|key| ("TIDEGATE_CLIENT__API_KEY".to_owned(), key)));
                self.open(config, &environment, now_ms).await
            }
            Question::Close {} => {
                self.close().await;
                Ok(json!({ "closed": true }))
            }
            other => {
                let client = self.client.as_ref().ok_or_else(|| "no client is open".to_owned())?;
                Ok(self.ask_open(client, other).await)
            }
        }
    }

    async fn open(
        &mut self,
        config: Value,
        environment: &HashMap<String, String>,
        now_ms: Option<i64>,
    ) -> Result<Value, String> {
        self.close().await;
        self.clock.set(now_ms.unwrap_or(0));
        match connect(config, environment, self.clock.clone()).await? {
            Ok(client) => {
                self.client = Some(client);
                Ok(json!({ "opened": true }))
            }
            Err(error) => Ok(json!({ "refused": error.setting, "message": error.message })),
        }
    }

    /// Closes the client, where one is open.
    async fn close(&mut self) {
        if let Some(client) = self.client.take() {
            client.close().await;
        }
    }

    async fn ask_open(&self, client: &Client, question: Question) -> Value {
        match question {
            Question::Decide {
                symbol,
                bars,
                position,
                now_ms,
            } => {
                self.clock.set(now_ms);
                let position = position.map_or(Position::FLAT, Position::from);
                json!({ "decision": client.decide(&symbol, &bars.into(), &position).await })
            }
            Question::State {} => json!({ "state": client.state() }),
            Question::Poll {} => json!({ "health": client.poll_now().await }),
            Question::Heartbeat {} => json!({ "sent": client.heartbeat_now().await }),
            Question::Metrics {} => json!({ "text": client.metrics_text() }),
            Question::Open { .. } | Question::Close {} => json!({ "error": "answered elsewhere" }),
        }
    }
}

/// The settings go the way of a bot's: as TOML, with an environment.
async fn connect(
    config: Value,
    environment: &HashMap<String, String>,
    clock: Fixed,
) -> Result<Result<Client, ConfigError>, String> {
    let table: toml::Table = serde_json::from_value(config).map_err(|error| format!("config: {error}"))?;
    let text = toml::to_string(&table).map_err(|error| format!("config: {error}"))?;
    Ok(match Config::parse(&text, environment) {
        Ok(config) => Client::builder(config).clock(Arc::new(clock)).connect().await,
        Err(error) => Err(error),
    })
}

/// A clock that stands still until it is set.
#[derive(Clone, Default)]
struct Fixed {
    now_ms: Arc<AtomicI64>,
}

impl Fixed {
    fn set(&self, now_ms: i64) {
        self.now_ms.store(now_ms, Ordering::SeqCst);
    }
}

impl Clock for Fixed {
    fn at(&self, _closed_at: i64) -> i64 {
        self.now()
    }

    fn now(&self) -> i64 {
        self.now_ms.load(Ordering::SeqCst)
    }
}

/// Bars as a case has them: also of different lengths, and with numbers that JSON has no word for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Columns {
    opened_at: Vec<i64>,
    open: Vec<Number>,
    high: Vec<Number>,
    low: Vec<Number>,
    close: Vec<Number>,
    volume: Vec<Number>,
}

impl From<Columns> for Bars {
    fn from(columns: Columns) -> Self {
        let numbers = |column: Vec<Number>| column.into_iter().map(|number| number.0).collect();
        Self {
            opened_at: columns.opened_at,
            open: numbers(columns.open),
            high: numbers(columns.high),
            low: numbers(columns.low),
            close: numbers(columns.close),
            volume: numbers(columns.volume),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Holding {
    side: Side,
    #[serde(default)]
    entry_price: Number,
    #[serde(default)]
    bars_held: u32,
}

impl From<Holding> for Position {
    fn from(held: Holding) -> Self {
        Self {
            side: held.side,
            entry_price: held.entry_price.0,
            bars_held: held.bars_held,
        }
    }
}

#[derive(Default)]
struct Number(f64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Word)
    }
}

struct Word;

impl Visitor<'_> for Word {
    type Value = Number;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a number, \"NaN\", \"Infinity\" or \"-Infinity\"")
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Number, E> {
        Ok(Number(value))
    }

    #[allow(clippy::cast_precision_loss)] // JSON's numbers are float64
    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Number, E> {
        Ok(Number(value as f64))
    }

    #[allow(clippy::cast_precision_loss)] // JSON's numbers are float64
    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Number, E> {
        Ok(Number(value as f64))
    }

    fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<Number, E> {
        match word {
            "NaN" => Ok(Number(f64::NAN)),
            "Infinity" => Ok(Number(f64::INFINITY)),
            "-Infinity" => Ok(Number(f64::NEG_INFINITY)),
            other => Err(E::invalid_value(serde::de::Unexpected::Str(other), &self)),
        }
    }
}
