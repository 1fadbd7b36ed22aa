//! One decision about a made-up market: `cargo run --example decide -- bot.toml BTC/USDT`.

use std::error::Error;

use tidegate_client::{Bar, Bars, Client, Clock, Config, Position, SystemClock};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(file), Some(symbol)) = (arguments.next(), arguments.next()) else {
        return Err("usage: decide SETTINGS SYMBOL".into());
    };
    let config = Config::load(file.as_ref())?;
    let step = config.interval.milliseconds();
    let client = Client::connect(config).await?;
    let lookback = client
        .model()
        .await
        .and_then(|served| served.production)
        .map_or(1, |model| model.lookback);
    let newest = (SystemClock.now() / step - 1) * step;
    let bars: Bars = (0..lookback)
        .rev()
        .zip(1..)
        .map(|(back, age)| flat(newest - step * i64::try_from(back).unwrap_or(0), age))
        .collect();
    let decision = client.decide(&symbol, &bars, &Position::FLAT).await;
    println!("{}", serde_json::to_string_pretty(&decision)?);
    client.close().await;
    Ok(())
}

/// A bar of a market that rises a little.
fn flat(opened_at: i64, age: u32) -> Bar {
    let open = 100.0 + f64::from(age) * 0.01;
    Bar {
        opened_at,
        open,
        high: open + 0.02,
        low: open - 0.02,
        close: open + 0.01,
        volume: 10.0,
    }
}
