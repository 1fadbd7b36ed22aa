//! A fallback of one's own: hold through short faults, flat after that. `cargo run --example closure -- bot.toml BTC/USDT`.

use std::error::Error;
use std::sync::Arc;

use tidegate_client::{Bars, Client, Config, Fallback, Position, Reason, Side, Situation};

/// Two bars without a signal are a blip, unless it is the bot's own bars that are wrong.
fn careful(situation: &Situation) -> Side {
    let own_fault = matches!(
        situation.reason,
        Reason::WindowRefused | Reason::StaleBars | Reason::BarNotClosed
    );
    if own_fault || situation.bars_without_signal > 2 {
        Side::Flat
    } else {
        situation.position.side
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(file), Some(symbol)) = (arguments.next(), arguments.next()) else {
        return Err("usage: closure SETTINGS SYMBOL".into());
    };
    let builder = Client::builder(Config::load(file.as_ref())?).fallback(Fallback::Closure(Arc::new(careful)));
    let client = builder.connect().await?;
    // No bars yet: the bot's own fault, so the closure says flat.
    let decision = client.decide(&symbol, &Bars::new(), &Position::FLAT).await;
    println!("{}", serde_json::to_string_pretty(&decision)?);
    client.close().await;
    Ok(())
}
