//! Every case of the position policy that all languages share.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // a test may fail

use std::collections::HashMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;
use tidegate_client::{Policy, Position, target_position};

#[derive(Deserialize)]
struct Vectors {
    version: u32,
    policies: HashMap<String, Policy>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    policy: String,
    probability: Option<f64>,
    close: f64,
    state: Position,
    expected: Value,
}

#[test]
fn every_case_is_answered_as_it_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/contracts/policy-vectors.json");
    let vectors: Vectors = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(vectors.version, 1);
    assert!(vectors.cases.len() >= 40);
    for case in &vectors.cases {
        let probability = case.probability.unwrap_or(f64::NAN);
        let found = target_position(probability, case.close, &case.state, &vectors.policies[&case.policy]);
        match case.expected.as_i64() {
            Some(expected) => assert_eq!(found.map(|side| i64::from(side.sign())), Ok(expected), "{}", case.name),
            None => assert!(case.expected == "error" && found.is_err(), "{}", case.name),
        }
    }
}
