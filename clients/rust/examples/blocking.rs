//! The same client without tokio in the bot: `cargo run --features blocking --example blocking -- bot.toml BTC/USDT`.

use std::error::Error;

use tidegate_client::{Bars, Config, Position, blocking};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(file), Some(symbol)) = (arguments.next(), arguments.next()) else {
        return Err("usage: blocking SETTINGS SYMBOL".into());
    };
    let client = blocking::Client::connect(Config::load(file.as_ref())?)?;
    println!("the service is {:?}", client.poll_now());
    // A bot gives its own closed bars here; without any the fallback decides, and says why.
    let decision = client.decide(&symbol, &Bars::new(), &Position::FLAT);
    println!("{}", serde_json::to_string_pretty(&decision)?);
    client.close();
    Ok(())
}
