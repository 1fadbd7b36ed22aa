//! The messages are those of the service's file `openapi.json`: the same fields, the same types, the same nulls, in both directions.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // a test may fail

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use tidegate_client::messages::{
    Abstain, Answer, BarColumns, FieldError, Heartbeat, Item, LoadedModel, Position, PredictAnswer, PredictRequest,
    ProblemBody, Ready, Served,
};

fn schemas() -> Map<String, Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/contracts/openapi.json");
    let whole: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    whole["components"]["schemas"].as_object().unwrap().clone()
}

/// A value that fits a schema, with every field, and numbers where a schema takes them.
fn sample(schema: &Value, all: &Map<String, Value>) -> Value {
    if let Some(name) = schema["$ref"].as_str() {
        return sample(&all[name.rsplit('/').next().unwrap()], all);
    }
    if let Some(parts) = schema["allOf"].as_array() {
        return sample(&parts[0], all);
    }
    if let Some(values) = schema["enum"].as_array() {
        return values[0].clone();
    }
    match schema["type"].as_str() {
        Some("string") if schema["pattern"] == "^[0-9a-f]{64}$" => json!("a".repeat(64)),
        Some("string") => json!("text"),
        Some("integer") => json!(7),
        Some("number") => json!(0.5),
        Some("boolean") => json!(true),
        Some("array") => json!([sample(&schema["items"], all)]),
        // The policy, which the file leaves open.
        Some("object") if schema["properties"].is_null() && schema["additionalProperties"].is_null() => json!({
            "long_at": 0.6, "short_at": 0.4, "take_profit": 0.02, "stop_loss": 0.01, "max_holding_bars": 4, "flip": true
        }),
        Some("object") if schema["properties"].is_null() => {
            json!({"name": sample(&schema["additionalProperties"], all)})
        }
        Some("object") => schema["properties"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, one)| (name.clone(), sample(one, all)))
            .collect(),
        other => panic!("a schema of the kind {other:?}: {schema}"),
    }
}

fn agrees<T: Serialize + DeserializeOwned>(name: &str, all: &Map<String, Value>) {
    let schema = &all[name];
    let whole = sample(schema, all);
    let ours: T = serde_json::from_value(whole.clone()).unwrap_or_else(|error| panic!("{name}: {error}"));
    let back = serde_json::to_value(&ours).unwrap();
    assert_eq!(
        back, whole,
        "{name}: what is read and written again is the same, no field more or less"
    );
    let required: BTreeSet<&str> = schema["required"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    for (field, one) in schema["properties"].as_object().unwrap() {
        let mut without = whole.clone();
        without.as_object_mut().unwrap().remove(field);
        let read = serde_json::from_value::<T>(without).is_ok();
        assert_eq!(
            read,
            !required.contains(field.as_str()),
            "{name}.{field}: is it needed?"
        );
        let mut null = whole.clone();
        null[field] = Value::Null;
        let nullable = one["nullable"] == true;
        assert_eq!(
            serde_json::from_value::<T>(null).is_ok(),
            nullable,
            "{name}.{field}: may it be null?"
        );
        let mut mistyped = whole.clone();
        mistyped[field] = json!([{"no": "field"}, []]);
        assert!(
            serde_json::from_value::<T>(mistyped).is_err(),
            "{name}.{field}: another type is refused"
        );
    }
}

#[test]
fn messages_and_the_file_agree() {
    let all = schemas();
    agrees::<Abstain>("Abstain", &all);
    agrees::<Answer>("Answer", &all);
    agrees::<BarColumns>("BarColumns", &all);
    agrees::<FieldError>("FieldError", &all);
    agrees::<Heartbeat>("Heartbeat", &all);
    agrees::<Item>("Item", &all);
    agrees::<LoadedModel>("LoadedModel", &all);
    agrees::<Position>("Position", &all);
    agrees::<PredictAnswer>("PredictAnswer", &all);
    agrees::<PredictRequest>("PredictRequest", &all);
    agrees::<ProblemBody>("ProblemBody", &all);
    agrees::<Ready>("Ready", &all);
    agrees::<Served>("Served", &all);
}

#[test]
fn every_word_of_the_file_is_known() {
    let all = schemas();
    let words = |schema: &Value| -> Vec<Value> { schema["enum"].as_array().unwrap().clone() };
    let answer = sample(&all["Answer"], &all);
    let mut seen = BTreeMap::new();
    for (field, values) in [
        ("signal", words(&all["Answer"]["properties"]["signal"])),
        (
            "target_position",
            words(&all["Answer"]["properties"]["target_position"]),
        ),
    ] {
        for value in values {
            let mut one = answer.clone();
            one[field] = value.clone();
            let read: Answer = serde_json::from_value(one).unwrap_or_else(|error| panic!("{field} {value}: {error}"));
            *seen.entry(field).or_insert(0) += usize::from(serde_json::to_value(read).unwrap()[field] == value);
        }
    }
    assert_eq!(seen, BTreeMap::from([("signal", 4), ("target_position", 4)]));
    let heartbeat = sample(&all["Heartbeat"], &all);
    for value in words(&all["Heartbeat"]["properties"]["breaker"]) {
        let mut one = heartbeat.clone();
        one["breaker"] = value.clone();
        let read: Heartbeat = serde_json::from_value(one).unwrap();
        assert_eq!(serde_json::to_value(read).unwrap()["breaker"], value);
    }
}

#[test]
fn a_field_that_is_new_is_left_alone_in_answers() {
    let all = schemas();
    let mut answer = sample(&all["PredictAnswer"], &all);
    answer["more"] = json!({"to": "come"});
    answer["answers"][0]["more"] = json!(1);
    assert!(serde_json::from_value::<PredictAnswer>(answer).is_ok());
}
