//! Every digest of a window that all languages share.

#![allow(clippy::unwrap_used)] // a test may fail

use std::path::Path;

use serde::Deserialize;
use tidegate_client::{Bars, Interval};

#[derive(Deserialize)]
struct Digests {
    version: u32,
    windows: Vec<Window>,
}

#[derive(Deserialize)]
struct Window {
    name: String,
    symbol: String,
    interval: Interval,
    bars: Bars,
    digest: String,
}

#[test]
fn every_window_has_its_digest() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../conformance/window-digests.json");
    let digests: Digests = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(digests.version, 1);
    assert!(digests.windows.len() >= 9);
    for window in &digests.windows {
        let found = window.bars.digest(&window.symbol, &window.interval);
        assert_eq!(found, window.digest, "{}", window.name);
    }
}
