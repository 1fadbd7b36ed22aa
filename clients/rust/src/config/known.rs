//! The names of all settings, and which one was meant.

use super::bounds::Bound;

/// What a setting's value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    /// One of these.
    Word(&'static [&'static str]),
    Flag,
    /// Its bounds stand in `bounds`.
    Whole,
    Texts,
    Wholes,
}

/// Every setting but the API key, which has no place in a file.
pub(super) const KNOWN: [(&str, Kind); 30] = [
    ("url", Kind::Text),
    ("strategy", Kind::Text),
    ("interval", Kind::Text),
    ("bot", Kind::Text),
    ("api_key_file", Kind::Text),
    ("ca_file", Kind::Text),
    ("allow_http", Kind::Flag),
    ("dry_run", Kind::Flag),
    ("clock", Kind::Word(&["system", "bars"])),
    ("deadline.decide_ms", Kind::Whole),
    ("deadline.attempt_ms", Kind::Whole),
    ("deadline.connect_ms", Kind::Whole),
    ("retry.attempts", Kind::Whole),
    ("retry.backoff_ms", Kind::Whole),
    ("retry.backoff_max_ms", Kind::Whole),
    ("breaker.failures", Kind::Whole),
    ("breaker.open_ms", Kind::Whole),
    ("breaker.open_max_ms", Kind::Whole),
    ("health.poll_ms", Kind::Whole),
    ("health.timeout_ms", Kind::Whole),
    ("heartbeat.every_ms", Kind::Whole),
    ("answers.versions", Kind::Wholes),
    ("answers.bundle_digests", Kind::Texts),
    ("answers.max_clock_skew_ms", Kind::Whole),
    ("answers.require_logged", Kind::Flag),
    ("fallback.strategy", Kind::Word(&["flat", "hold"])),
    ("fallback.hold_bars", Kind::Whole),
    ("fallback.exits", Kind::Flag),
    ("metrics.address", Kind::Text),
    ("decisions.file", Kind::Text),
];

/// Settings without a default.
pub(super) const NEEDED: [&str; 4] = ["url", "strategy", "interval", "bot"];

pub(super) fn kind_of(key: &str) -> Option<Kind> {
    KNOWN.iter().find(|(known, _)| *known == key).map(|(_, kind)| *kind)
}

/// Whether settings stand behind this name, as in `deadline.decide_ms`.
pub(super) fn is_table(name: &str) -> bool {
    KNOWN
        .iter()
        .any(|(known, _)| known.split_once('.').is_some_and(|(table, _)| table == name))
}

/// What is expected of a value, for people.
pub(super) fn expected(key: &str, kind: Kind) -> String {
    match kind {
        Kind::Text => "text".to_owned(),
        Kind::Word(words) => words.join(" or "),
        Kind::Flag => "true or false".to_owned(),
        Kind::Whole => Bound::of(key).map_or_else(|| "a whole number".to_owned(), Bound::expected),
        Kind::Texts => "a list of texts, one at least in a variable".to_owned(),
        Kind::Wholes => "a list of whole numbers from 1 on, one at least in a variable".to_owned(),
    }
}

/// The setting that was meant by a name in a file. Who means the key is told of its file.
pub(super) fn nearest_in_file(key: &str) -> &'static str {
    match nearest(key, KNOWN.iter().map(|(known, _)| *known).chain(["api_key"])) {
        "api_key" => "api_key_file",
        known => known,
    }
}

/// The known name with the fewest letters to change.
pub(super) fn nearest<'a>(key: &str, names: impl Iterator<Item = &'a str>) -> &'a str {
    names.min_by_key(|known| distance(key, known)).unwrap_or("url")
}

/// Levenshtein's distance.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut above: Vec<usize> = (0..=right.len()).collect();
    for (row, wanted) in left.chars().enumerate() {
        let mut before = row + 1;
        let mut line = vec![before];
        for (pair, found) in above.windows(2).zip(&right) {
            if let [diagonal, up] = pair {
                before = (diagonal + usize::from(wanted != *found)).min(before + 1).min(up + 1);
                line.push(before);
            }
        }
        above = line;
    }
    above.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_that_was_meant_is_found() {
        for (written, meant) in [
            ("deadline.decide", "deadline.decide_ms"),
            ("brekaer.failures", "breaker.failures"),
            ("decision.file", "decisions.file"),
            ("dryrun", "dry_run"),
            ("apikey", "api_key_file"),
        ] {
            assert_eq!(nearest_in_file(written), meant);
        }
    }

    #[test]
    fn distances_count_letters_to_change() {
        for (left, right, expected) in [
            ("", "", 0),
            ("", "abc", 3),
            ("kitten", "sitting", 3),
            ("same", "same", 0),
        ] {
            assert_eq!(distance(left, right), expected);
        }
    }
}
