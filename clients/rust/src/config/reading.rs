//! From a TOML text and variables of the environment to settings, each value's type looked at with its name at hand.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;

use toml::{Table, Value};

use super::bounds::Bound;
use super::known::{KNOWN, Kind, NEEDED, expected, is_table, kind_of, nearest, nearest_in_file};
use super::{ApiKey, Config, ConfigError, refuse};
use crate::interval::Interval;

const PREFIX: &str = "TIDEGATE_CLIENT__";
const KEY: &str = "api_key";
const PAPER: &str = "paper";

/// The variables that are settings. Others may hold what they like.
pub(super) fn environment(
    variables: impl Iterator<Item = (OsString, OsString)>,
) -> Result<HashMap<String, String>, ConfigError> {
    variables
        .filter(|(name, _)| name.to_string_lossy().starts_with(PREFIX))
        .map(|(name, value)| match (name.to_str(), value.to_str()) {
            (Some(name), Some(value)) => Ok((name.to_owned(), value.to_owned())),
            _ => Err(refuse(
                "environment",
                format!("{} is not UTF-8", name.to_string_lossy()),
            )),
        })
        .collect()
}

/// Settings that are complete and of the right types; bounds are not looked at yet.
pub(super) fn read(toml: &str, environment: &HashMap<String, String>) -> Result<Config, ConfigError> {
    let mut values = of_file(toml)?;
    let key = override_by(&mut values, environment)?;
    for needed in NEEDED {
        if !values.contains_key(needed) {
            let name = variable(needed);
            return Err(refuse(
                needed,
                format!("this setting is needed; write it into the file, or set {name}"),
            ));
        }
    }
    for (setting, value) in &values {
        require_kind(setting, value)?;
    }
    // Names and types are right by now, so serde has nothing left to refuse.
    let mut config: Config = Value::Table(nested(values))
        .try_into()
        .map_err(|error: toml::de::Error| refuse("file", error.message()))?;
    config.api_key = key;
    Ok(config)
}

/// What a TOML text says, by dotted names.
fn of_file(text: &str) -> Result<BTreeMap<String, Value>, ConfigError> {
    // serde's own words would quote the line, and a key might stand in it.
    let table: Table = text.parse().map_err(|error: toml::de::Error| {
        let start = error.span().map_or(0, |span| span.start);
        let line = text.bytes().take(start).filter(|byte| *byte == b'\n').count() + 1;
        refuse(
            "file",
            format!(
                "line {line} is no TOML: {}",
                error.message().lines().next().unwrap_or_default()
            ),
        )
    })?;
    if table.contains_key(KEY) {
        let name = variable(KEY);
        let advice = "a key has no place in this file: write it into a file of its own and name that in api_key_file";
        return Err(refuse(KEY, format!("{advice}, or set {name}")));
    }
    let mut values = BTreeMap::new();
    for (name, value) in table {
        match value {
            // The paper bot's own; one file is for both.
            Value::Table(_) if name == PAPER => {}
            Value::Table(inner) if is_table(&name) => {
                values.extend(inner.into_iter().map(|(key, value)| (format!("{name}.{key}"), value)));
            }
            _ if is_table(&name) => {
                return Err(refuse(&name, format!("a table is expected, was {}", value.type_str())));
            }
            value => {
                values.insert(name, value);
            }
        }
    }
    for (setting, value) in &values {
        if kind_of(setting).is_none() {
            let meant = match value {
                Value::Table(_) => nearest(setting, KNOWN.iter().filter_map(|(known, _)| known.split('.').next())),
                _ => nearest_in_file(setting),
            };
            return Err(refuse(
                setting,
                format!("there is no such setting; {meant} is the nearest one"),
            ));
        }
    }
    Ok(values)
}

/// Puts what the environment says over the file's values; gives the API key, which stands in neither.
fn override_by(
    values: &mut BTreeMap<String, Value>,
    environment: &HashMap<String, String>,
) -> Result<Option<ApiKey>, ConfigError> {
    let mut key = None;
    let mut variables: Vec<_> = environment
        .iter()
        .filter(|(name, _)| name.starts_with(PREFIX))
        .collect();
    variables.sort();
    for (name, text) in variables {
        let setting = name.trim_start_matches(PREFIX).to_lowercase().replace("__", ".");
        match kind_of(&setting).filter(|_| *name == variable(&setting)) {
            Some(kind) => {
                let value = value_of(text.trim(), kind).ok_or_else(|| {
                    refuse(
                        &setting,
                        format!("{name}: {} is expected, was {text:?}", expected(&setting, kind)),
                    )
                })?;
                values.insert(setting, value);
            }
            None if *name == variable(KEY) => key = Some(ApiKey::new(text.as_str())),
            None => {
                let meant = variable(nearest(&setting, KNOWN.iter().map(|(known, _)| *known).chain([KEY])));
                return Err(refuse(
                    &setting,
                    format!("the variable {name} is no setting; {meant} is the nearest one"),
                ));
            }
        }
    }
    Ok(key)
}

fn variable(setting: &str) -> String {
    format!("{PREFIX}{}", setting.replace('.', "__").to_uppercase())
}

fn value_of(text: &str, kind: Kind) -> Option<Value> {
    let parts = || text.split(',').map(str::trim).filter(|part| !part.is_empty());
    let whole = |text: &str| text.parse().ok().map(Value::Integer);
    // An empty list allows everything: a variable that was emptied by mistake must not widen what the file narrows.
    if matches!(kind, Kind::Texts | Kind::Wholes) && parts().next().is_none() {
        return None;
    }
    match kind {
        Kind::Text | Kind::Word(_) => Some(Value::String(text.to_owned())),
        Kind::Flag => text.parse().ok().map(Value::Boolean),
        Kind::Whole => whole(text),
        Kind::Texts => Some(Value::Array(
            parts().map(|part| Value::String(part.to_owned())).collect(),
        )),
        Kind::Wholes => parts().map(whole).collect::<Option<_>>().map(Value::Array),
    }
}

fn require_kind(setting: &str, value: &Value) -> Result<(), ConfigError> {
    let Some(kind) = kind_of(setting) else {
        return Ok(());
    };
    let is_whole = |value: &Value, allowed: &dyn Fn(u64) -> bool| {
        value
            .as_integer()
            .and_then(|number| u64::try_from(number).ok())
            .is_some_and(allowed)
    };
    let fits = match (kind, value) {
        (Kind::Text, Value::String(text)) if setting == "interval" => {
            return text
                .parse::<Interval>()
                .map(|_| ())
                .map_err(|refused| refuse(setting, refused));
        }
        (Kind::Text, Value::String(_)) | (Kind::Flag, Value::Boolean(_)) => true,
        (Kind::Word(words), Value::String(text)) => words.contains(&text.as_str()),
        (Kind::Whole, _) => is_whole(value, &|number| {
            Bound::of(setting).is_some_and(|bound| bound.allows(number))
        }),
        (Kind::Texts, Value::Array(texts)) => texts.iter().all(Value::is_str),
        (Kind::Wholes, Value::Array(numbers)) => numbers.iter().all(|number| is_whole(number, &|number| number > 0)),
        _ => false,
    };
    if fits {
        return Ok(());
    }
    // A text may be a key that was put into the wrong line, so only its type is told.
    let was = match value {
        Value::Integer(number) => number.to_string(),
        Value::Boolean(flag) => flag.to_string(),
        other => format!("another {}", other.type_str()),
    };
    Err(refuse(
        setting,
        format!("{} is expected, was {was}", expected(setting, kind)),
    ))
}

fn nested(values: BTreeMap<String, Value>) -> Table {
    let mut table = Table::new();
    for (setting, value) in values {
        match setting.split_once('.') {
            None => {
                table.insert(setting, value);
            }
            Some((outer, inner)) => {
                let entry = table.entry(outer).or_insert_with(|| Value::Table(Table::new()));
                if let Value::Table(within) = entry {
                    within.insert(inner.to_owned(), value);
                }
            }
        }
    }
    table
}
