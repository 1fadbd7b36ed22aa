//! What the bot is told: its command line and its settings.

use std::collections::HashMap;
use std::path::PathBuf;

use serde::Deserialize;
use tidegate_client::{Config, ConfigError};

use crate::bars::Origin;
use crate::ledger::Costs;

pub(crate) const USAGE: &str = "\
A bot that trades on paper: it asks a tidegate service at each bar's close and fills at the next open, with costs.

paper_bot --config bot.toml --bars FILE|- --symbol S [options]

--config FILE          settings of the client, and a table [paper]: capital, fee_bps, half_spread_bps, slippage_bps, impact_coefficient
--bars FILE            CSV opened_at,open,high,low,close,volume with a header, opened_at in UTC ms; -: standard input, as they come
--symbol S             what is traded
--start-at MS          bars that opened before only fill the window; decisions begin with the bar that opened then
--end-at MS            bars that close later are not looked at
--speed N              decided bars a second; 0, the default: as fast as it can
--out FOLDER           where decisions.jsonl, fills.jsonl (both appended) and result.json are written
--keep BARS            bars kept for the window, 2000 if not given; at least the model's lookback
--clock-shift-ms N     the client's clock is so much ahead, for tests

Ends with the bars or with Ctrl-C: what is held is closed at the last close. Exits 0; 2 where bars or settings are not usable; 3 where a file of
--out cannot be written: without a record nothing more is acted on, so that is an end, too. Decisions and the result are printed as JSON
lines. What nobody reads is left out and counted (`unprinted`), and holds nothing up; the files have it.
";

/// The command line.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Arguments {
    pub(crate) config: PathBuf,
    pub(crate) bars: Origin,
    pub(crate) symbol: String,
    pub(crate) start_at: i64,
    pub(crate) end_at: i64,
    pub(crate) speed: f64,
    pub(crate) out: Option<PathBuf>,
    pub(crate) clock_shift_ms: i64,
    pub(crate) keep: usize,
    /// Targets in place of a service's, one a line and decided bar: how the ledger is compared with the backtest's.
    pub(crate) targets: Option<PathBuf>,
}

impl Arguments {
    /// Reads the command line without the program's name; `None` where help is asked for.
    ///
    /// # Errors
    ///
    /// What is wrong with it, and what was expected.
    pub(crate) fn parse(words: impl IntoIterator<Item = String>) -> Result<Option<Self>, String> {
        let mut words = words.into_iter();
        let mut given: HashMap<String, String> = HashMap::new();
        while let Some(name) = words.next() {
            if name == "--help" || name == "-h" {
                return Ok(None);
            }
            if !NAMES.contains(&name.as_str()) {
                return Err(format!("{name:?} is not known; one of {} is expected", NAMES.join(" ")));
            }
            let value = words.next().ok_or_else(|| format!("{name} needs a value"))?;
            if given.insert(name.clone(), value).is_some() {
                return Err(format!("{name} is given twice"));
            }
        }
        Self::of(&given).map(Some)
    }

    fn of(given: &HashMap<String, String>) -> Result<Self, String> {
        let needed = |name: &str| {
            given
                .get(name)
                .cloned()
                .ok_or_else(|| format!("{name} is needed; see --help"))
        };
        let whole = "a whole number";
        let bars = needed("--bars")?;
        let speed = read(given, "--speed", 0.0, "a number of 0 or above")?;
        if !f64::is_finite(speed) || speed < 0.0 {
            return Err(format!("--speed: a number of 0 or above is expected, was {speed}"));
        }
        Ok(Self {
            config: needed("--config")?.into(),
            bars: if bars == "-" {
                Origin::StandardInput
            } else {
                Origin::File(bars.into())
            },
            symbol: needed("--symbol")?,
            start_at: read(given, "--start-at", i64::MIN, whole)?,
            end_at: read(given, "--end-at", i64::MAX, whole)?,
            speed,
            out: given.get("--out").map(PathBuf::from),
            clock_shift_ms: read(given, "--clock-shift-ms", 0, whole)?,
            keep: read(given, "--keep", 2000, whole).and_then(|keep| {
                if keep > 0 {
                    Ok(keep)
                } else {
                    Err("--keep: 1 bar at least is expected".to_owned())
                }
            })?,
            targets: given.get("--targets").map(PathBuf::from),
        })
    }
}

const NAMES: [&str; 10] = [
    "--config",
    "--bars",
    "--symbol",
    "--start-at",
    "--end-at",
    "--speed",
    "--out",
    "--keep",
    "--clock-shift-ms",
    "--targets",
];

fn read<T: std::str::FromStr>(
    given: &HashMap<String, String>,
    name: &str,
    default: T,
    expected: &str,
) -> Result<T, String> {
    given.get(name).map_or(Ok(default), |text| {
        text.parse()
            .map_err(|_| format!("{name}: {expected} is expected, was {text:?}"))
    })
}

/// The table `[paper]`: what trading costs, as in a strategy file, and with how much.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Paper {
    /// Quote currency; each trade uses all of it, profits are not reinvested.
    pub(crate) capital: f64,
    fee_bps: f64,
    half_spread_bps: f64,
    slippage_bps: f64,
    impact_coefficient: f64,
}

impl Default for Paper {
    fn default() -> Self {
        Self {
            capital: 10_000.0,
            fee_bps: 5.0,
            half_spread_bps: 0.5,
            slippage_bps: 0.5,
            impact_coefficient: 0.0,
        }
    }
}

impl Paper {
    /// What trading costs.
    pub(crate) fn costs(&self) -> Costs {
        Costs {
            fee_bps: self.fee_bps,
            half_spread_bps: self.half_spread_bps,
            slippage_bps: self.slippage_bps,
            impact_coefficient: self.impact_coefficient,
        }
    }

    fn of(table: toml::Table) -> Result<Self, ConfigError> {
        // serde's words would quote a text in place of a number.
        if let Some((name, value)) = table.iter().find(|(_, value)| !value.is_float() && !value.is_integer()) {
            return Err(refused(
                name,
                &format!("a number is expected, was a {}", value.type_str()),
            ));
        }
        toml::Value::Table(table)
            .try_into()
            .map_err(|error: toml::de::Error| refused("", error.message()))
    }

    fn checked(self) -> Result<Self, ConfigError> {
        if !(self.capital.is_finite() && self.capital > 0.0) {
            return Err(refused(
                "capital",
                &format!("a number above 0 is expected, was {}", self.capital),
            ));
        }
        for (name, value, most) in [
            ("fee_bps", self.fee_bps, 500.0),
            ("half_spread_bps", self.half_spread_bps, 500.0),
            ("slippage_bps", self.slippage_bps, 500.0),
            ("impact_coefficient", self.impact_coefficient, 10.0),
        ] {
            if !(0.0..=most).contains(&value) {
                return Err(refused(
                    name,
                    &format!("a number from 0 to {most} is expected, was {value}"),
                ));
            }
        }
        Ok(self)
    }
}

fn refused(name: &str, message: &str) -> ConfigError {
    ConfigError {
        setting: if name.is_empty() {
            "paper".to_owned()
        } else {
            format!("paper.{name}")
        },
        message: message.to_owned(),
    }
}

/// Splits the settings into the client's and the table `[paper]`.
///
/// # Errors
///
/// The first setting that is not usable.
pub(crate) fn settings(text: &str, environment: &HashMap<String, String>) -> Result<(Config, Paper), ConfigError> {
    // The client reads first, and leaves the table alone: its messages quote no line, in which a key may stand.
    let config = Config::parse(text, environment)?;
    let mut table: toml::Table = toml::from_str(text).map_err(|_| refused("", "the file is no TOML"))?;
    let paper = match table.remove("paper") {
        Some(toml::Value::Table(paper)) => Paper::of(paper)?,
        _ => Paper::default(),
    };
    Ok((config, paper.checked()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Option<Arguments>, String> {
        Arguments::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn a_command_line_is_read() {
        let read =
            parse("--config b.toml --bars - --symbol A/USD --start-at 5 --speed 2.5 --clock-shift-ms -7").unwrap();
        let expected = Arguments {
            config: "b.toml".into(),
            bars: Origin::StandardInput,
            symbol: "A/USD".to_owned(),
            start_at: 5,
            end_at: i64::MAX,
            speed: 2.5,
            out: None,
            clock_shift_ms: -7,
            keep: 2000,
            targets: None,
        };
        assert_eq!(read, Some(expected));
        assert_eq!(parse("--symbol A --help"), Ok(None));
    }

    #[test]
    fn a_command_line_that_is_wrong_says_what_is_expected() {
        let whole = "--config b --bars f --symbol A";
        for (line, what) in [
            ("--config b --bars f", "--symbol is needed"),
            ("--symbol", "--symbol needs a value"),
            ("--symbol A --symbol B", "--symbol is given twice"),
            ("--colour red", "\"--colour\" is not known"),
            (&format!("{whole} --speed NaN"), "--speed: a number of 0 or above"),
            (&format!("{whole} --speed -1"), "--speed: a number of 0 or above"),
            (&format!("{whole} --keep 0"), "--keep: 1 bar"),
            (
                &format!("{whole} --start-at soon"),
                "--start-at: a whole number is expected, was \"soon\"",
            ),
        ] {
            let refused = parse(line).unwrap_err();
            assert!(refused.starts_with(what), "{line}: {refused}");
        }
    }

    const CLIENT: &str = "url = 'http://127.0.0.1:1'\nstrategy = 's'\ninterval = '1m'\nbot = 'b'\n";

    #[test]
    fn the_paper_table_is_the_bots_and_all_else_the_clients() {
        let text = format!("{CLIENT}[paper]\ncapital = 500\nfee_bps = 1\n[retry]\nattempts = 2\n");
        let (config, paper) = settings(&text, &HashMap::new()).unwrap();
        assert_eq!((config.retry.attempts, paper.capital), (2, 500.0));
        assert_eq!(
            paper.costs(),
            Costs {
                fee_bps: 1.0,
                ..Costs::default()
            }
        );
    }

    #[test]
    fn no_message_quotes_the_file() {
        for line in [
            "api_key = tg_live_SECRET",
            "[paper]\ncapital = 'tg_live_SECRET'",
            "[paper]\nfee_bps = [tg_live_SECRET]",
        ] {
            let refused = settings(&format!("{CLIENT}{line}\n"), &HashMap::new()).unwrap_err();
            assert!(!refused.to_string().contains("SECRET"), "{refused}");
        }
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for (line, setting) in [
            ("capital = 0", "paper.capital"),
            ("capital = nan", "paper.capital"),
            ("fee_bps = -1", "paper.fee_bps"),
            ("slippage_bps = inf", "paper.slippage_bps"),
            ("impact_coefficient = 11", "paper.impact_coefficient"),
            ("leverage = 3", "paper"),
            ("capital = 'much'", "paper.capital"),
        ] {
            let refused = settings(&format!("{CLIENT}[paper]\n{line}\n"), &HashMap::new()).unwrap_err();
            assert_eq!(refused.setting, setting);
        }
    }
}
