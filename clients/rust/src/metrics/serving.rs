//! Where the client's own metrics are served: `GET /metrics`, and nothing else.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

use super::Metrics;
use crate::config::{ConfigError, refuse};

/// Others wait until one of these is done.
const MOST_CONNECTIONS: usize = 16;
/// Of one connection, with whatever it asks.
const PATIENCE: Duration = Duration::from_secs(5);

/// Serves until the task is aborted; what is under way ends with it.
pub(crate) async fn serve(address: &str, metrics: Arc<Metrics>) -> Result<AbortHandle, ConfigError> {
    let listener = TcpListener::bind(address).await.map_err(|error| {
        refuse(
            "metrics.address",
            format!("cannot listen on {address}: {error}; name a free port of this machine, or leave the setting out"),
        )
    })?;
    Ok(tokio::spawn(accept(listener, metrics, PATIENCE)).abort_handle())
}

async fn accept(listener: TcpListener, metrics: Arc<Metrics>, patience: Duration) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        if connections.len() >= MOST_CONNECTIONS {
            connections.join_next().await;
        }
        match listener.accept().await {
            Ok((stream, _)) => {
                connections.spawn(tokio::time::timeout(patience, talk(stream, Arc::clone(&metrics))));
            }
            // Too many open files, for example: it may pass.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn talk(stream: TcpStream, metrics: Arc<Metrics>) {
    let service = service_fn(move |request| {
        let answer = answer(&request, &metrics);
        async move { Ok::<_, Infallible>(answer) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!("whoever asked for metrics has gone: {error}");
    }
}

fn answer(request: &Request<Incoming>, metrics: &Metrics) -> Response<Full<Bytes>> {
    let found = request.uri().path() == "/metrics";
    let (status, kind, text) = match *request.method() {
        Method::GET if found => (
            StatusCode::OK,
            "text/plain; version=0.0.4; charset=utf-8",
            metrics.text(),
        ),
        _ if found => (StatusCode::METHOD_NOT_ALLOWED, "text/plain", "GET only\n".to_owned()),
        _ => (
            StatusCode::NOT_FOUND,
            "text/plain",
            "only /metrics is here\n".to_owned(),
        ),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, HeaderValue::from_static("GET"));
    }
    response
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn served(patience: Duration) -> (String, AbortHandle) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let metrics = Arc::new(Metrics::new("eurusd", true));
        (
            address,
            tokio::spawn(accept(listener, metrics, patience)).abort_handle(),
        )
    }

    async fn ask(address: &str, line: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream
            .write_all(format!("{line} HTTP/1.1\r\nHost: bot\r\n\r\n").as_bytes())
            .await
            .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    }

    #[tokio::test]
    async fn only_metrics_are_served_and_each_connection_ends() {
        let (address, task) = served(PATIENCE).await;
        for (line, status) in [
            ("GET /metrics", "200"),
            ("GET /metrics?x=1", "200"),
            ("POST /metrics", "405"),
            ("GET /", "404"),
            ("GET /metrics/", "404"),
        ] {
            let text = ask(&address, line).await;
            assert!(text.starts_with(&format!("HTTP/1.1 {status}")), "{line}: {text}");
        }
        let page = ask(&address, "GET /metrics").await;
        assert!(
            page.contains("text/plain; version=0.0.4") && page.contains("\ntidegate_client_dry_run 1\n"),
            "{page}"
        );
        task.abort();
    }

    #[tokio::test]
    async fn those_that_say_nothing_hold_nobody_up_for_long_and_end_with_the_task() {
        let (address, task) = served(Duration::from_secs(1)).await;
        let mut silent = Vec::new();
        for _ in 0..MOST_CONNECTIONS {
            silent.push(TcpStream::connect(&address).await.unwrap());
        }
        let early = tokio::time::timeout(Duration::from_millis(100), ask(&address, "GET /metrics")).await;
        assert!(early.is_err(), "more are served at once than should be");
        let next = tokio::time::timeout(Duration::from_secs(3), ask(&address, "GET /metrics")).await;
        assert!(next.unwrap().starts_with("HTTP/1.1 200"));
        let mut late = TcpStream::connect(&address).await.unwrap();
        late.write_all(b"GET").await.unwrap();
        task.abort();
        let ended = tokio::time::timeout(Duration::from_secs(2), late.read(&mut [0; 8]))
            .await
            .unwrap();
        assert!(matches!(ended, Ok(0) | Err(_)));
    }
}
