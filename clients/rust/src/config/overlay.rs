//! Variables of the environment over a TOML table.

use std::collections::HashMap;

use toml::{Table, Value};

use super::{ConfigError, PREFIX, refuse};

/// What a setting's text is read as.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Text,
    Bool,
    Int,
    Texts,
    Ints,
}

/// Every setting that the environment may give.
const KNOWN: [(&str, Kind); 28] = [
    ("url", Kind::Text),
    ("strategy", Kind::Text),
    ("interval", Kind::Text),
    ("bot", Kind::Text),
    ("api_key_file", Kind::Text),
    ("ca_file", Kind::Text),
    ("allow_http", Kind::Bool),
    ("dry_run", Kind::Bool),
    ("clock", Kind::Text),
    ("deadline.decide_ms", Kind::Int),
    ("deadline.attempt_ms", Kind::Int),
    ("deadline.connect_ms", Kind::Int),
    ("retry.attempts", Kind::Int),
    ("retry.backoff_ms", Kind::Int),
    ("retry.backoff_max_ms", Kind::Int),
    ("breaker.failures", Kind::Int),
    ("breaker.open_ms", Kind::Int),
    ("breaker.open_max_ms", Kind::Int),
    ("health.poll_ms", Kind::Int),
    ("health.timeout_ms", Kind::Int),
    ("heartbeat.every_ms", Kind::Int),
    ("answers.versions", Kind::Ints),
    ("answers.bundle_digests", Kind::Texts),
    ("answers.max_clock_skew_ms", Kind::Int),
    ("answers.require_logged", Kind::Bool),
    ("fallback.strategy", Kind::Text),
    ("fallback.hold_bars", Kind::Int),
    ("fallback.exits", Kind::Bool),
];
/// Of tables that hold one text each.
const TEXTS: [&str; 2] = ["metrics.address", "decisions.file"];

/// Puts every variable that begins with the prefix into the table.
pub(super) fn overlay(table: &mut Table, environment: &HashMap<String, String>) -> Result<(), ConfigError> {
    let mut variables: Vec<_> = environment
        .iter()
        .filter(|(name, _)| name.starts_with(PREFIX))
        .collect();
    variables.sort();
    for (name, text) in variables {
        let key = name.trim_start_matches(PREFIX).to_lowercase().replace("__", ".");
        if key == "api_key" {
            continue;
        }
        let kind = KNOWN.iter().find(|(known, _)| *known == key).map(|(_, kind)| *kind);
        let kind = kind.or_else(|| TEXTS.contains(&key.as_str()).then_some(Kind::Text));
        let kind = kind.ok_or_else(|| {
            refuse(
                &key,
                format!(
                    "the variable {name} is no setting; {} is the nearest one",
                    nearest(&key)
                ),
            )
        })?;
        put(table, &key, read(&key, name, text, kind)?)?;
    }
    Ok(())
}

fn read(key: &str, name: &str, text: &str, kind: Kind) -> Result<Value, ConfigError> {
    let text = text.trim();
    let refused = |expected: &str| refuse(key, format!("{name}: {expected} is expected, was {text:?}"));
    let int = |part: &str| {
        part.trim()
            .parse::<i64>()
            .map(Value::Integer)
            .map_err(|_| refused("a whole number"))
    };
    let parts = || text.split(',').map(str::trim).filter(|part| !part.is_empty());
    Ok(match kind {
        Kind::Text => Value::String(text.to_owned()),
        Kind::Bool => Value::Boolean(text.to_lowercase().parse().map_err(|_| refused("true or false"))?),
        Kind::Int => int(text)?,
        Kind::Texts => Value::Array(parts().map(|part| Value::String(part.to_owned())).collect()),
        Kind::Ints => Value::Array(parts().map(int).collect::<Result<_, _>>()?),
    })
}

fn put(table: &mut Table, key: &str, value: Value) -> Result<(), ConfigError> {
    match key.split_once('.') {
        None => {
            table.insert(key.to_owned(), value);
        }
        Some((outer, inner)) => match table.entry(outer).or_insert_with(|| Value::Table(Table::new())) {
            Value::Table(nested) => {
                nested.insert(inner.to_owned(), value);
            }
            other => return Err(refuse(outer, format!("a table is expected, was {other}"))),
        },
    }
    Ok(())
}

/// The known name with the fewest letters to change.
fn nearest(key: &str) -> &'static str {
    let known = KNOWN.iter().map(|(known, _)| *known).chain(TEXTS);
    known.min_by_key(|known| distance(key, known)).unwrap_or("url")
}

/// Levenshtein's distance.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (line, wanted) in left.chars().enumerate() {
        let mut diagonal = line;
        let mut before = line + 1;
        let mut next = vec![before];
        for (cell, found) in row.iter().skip(1).zip(&right) {
            let best = (diagonal + usize::from(wanted != *found)).min(before + 1).min(cell + 1);
            diagonal = *cell;
            before = best;
            next.push(best);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_told() {
        assert_eq!(nearest("deadline.decide"), "deadline.decide_ms");
        assert_eq!(nearest("brekaer.failures"), "breaker.failures");
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
