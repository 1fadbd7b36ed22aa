//! What runs beside the decisions: looks at the service, and signs of life.

use std::time::Duration;

use serde_json::json;
use tidegate_client::{Client, Health};

use crate::service::{Act, Service, decide, model};

const HEARTBEAT: &str = "/v1/bots/heartbeat";

fn with(service: &Service, settings: &str) -> tidegate_client::ClientBuilder {
    let settings = format!(
        "url = \"http://{}\"\nstrategy = \"trend\"\ninterval = \"1h\"\nbot = \"bot-1\"\nclock = \"bars\"\n{settings}",
        service.address
    );
    Client::builder(tidegate_client::Config::parse(&settings, &std::collections::HashMap::new()).unwrap())
}

#[tokio::test]
async fn looks_go_on_until_the_last_clone_is_gone() {
    let service = Service::start().await;
    let client = with(&service, "health.poll_ms = 50\nheartbeat.every_ms = 100")
        .connect()
        .await
        .unwrap();
    service.asked("/readyz", 3).await;
    service.asked("/v1/model", 2).await;
    service.asked(HEARTBEAT, 2).await;
    assert_eq!(client.state().health, Health::Ready);
    assert_eq!(client.model().await.unwrap().production.unwrap().version, 12);
    let clone = client.clone();
    drop(client);
    let before = service.seen("/readyz").len();
    service.asked("/readyz", before + 2).await;
    drop(clone);
    tokio::time::sleep(Duration::from_millis(30)).await;
    let after = (service.seen("/readyz").len(), service.seen(HEARTBEAT).len());
    tokio::time::sleep(Duration::from_millis(250)).await;
    assert_eq!((service.seen("/readyz").len(), service.seen(HEARTBEAT).len()), after);
}

#[tokio::test]
async fn a_new_model_is_known_before_it_is_asked() {
    let service = Service::start().await;
    let client = with(&service, "health.poll_ms = 50\nheartbeat.every_ms = 0")
        .connect()
        .await
        .unwrap();
    decide(&client).await;
    service.serve(|served| served["production"] = model(14, "e"));
    for _ in 0..1000 {
        if client.model().await.unwrap().production.unwrap().version == 14 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("version 14 was never seen");
}

#[tokio::test]
async fn a_heartbeat_says_what_the_bot_does() {
    let service = Service::start().await;
    let client = with(
        &service,
        "health.poll_ms = 0\nheartbeat.every_ms = 0\nretry.attempts = 1",
    )
    .connect()
    .await
    .unwrap();
    decide(&client).await;
    service.script([Act::HangUp]);
    decide(&client).await;
    assert!(client.heartbeat_now().await);
    let beats = service.seen(HEARTBEAT);
    let mut beat = beats[0].body.clone();
    assert!(beat["sent_at"].as_i64().unwrap() > 0);
    beat["sent_at"] = json!(0);
    assert_eq!(
        beat,
        json!({
            "bot": "bot-1", "strategy": "trend", "last_version": 12, "last_bundle_digest": "a".repeat(64), "breaker": "closed",
            "decisions": {"model": 1, "fallback": 1}, "dry_run": true, "sent_at": 0,
        })
    );
    service.ready(Some(Act::HangUp));
    assert!(!client.heartbeat_now().await, "it is dropped, and told");
}

#[tokio::test]
async fn another_version_is_told_at_once_and_the_end_too() {
    let service = Service::start().await;
    let client = with(&service, "health.poll_ms = 0\nheartbeat.every_ms = 600000")
        .connect()
        .await
        .unwrap();
    service.asked(HEARTBEAT, 1).await;
    decide(&client).await;
    service.asked(HEARTBEAT, 2).await;
    service.serve(|served| served["production"] = model(14, "e"));
    decide(&client).await;
    service.asked(HEARTBEAT, 3).await;
    decide(&client).await;
    client.close().await;
    let told: Vec<_> = service
        .seen(HEARTBEAT)
        .iter()
        .map(|seen| seen.body["last_version"].as_u64())
        .collect();
    assert_eq!(told, [None, Some(12), Some(14), Some(14)]);
}
