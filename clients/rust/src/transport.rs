//! HTTP/1.1 to one service: kept connections, a time limit for each request, bodies with a bound.
//!
//! Redirects are not followed, and proxies of the environment are not used: the bot speaks to the address in its settings, or to nobody.
//! After a request that found nobody, all kept connections are left: they may lead to the same dead end.

use std::error::Error;
use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, DATE, HeaderValue, RETRY_AFTER, USER_AGENT};
use http::{Method, Request, Response, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error as ClientError};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use serde::Serialize;
use tower_service::Service;

use crate::config::{Config, ConfigError};
use crate::decision::Reason;

const LARGEST_BODY: usize = 1 << 20;
/// Services close idle connections; one that is older is not trusted with a request.
const IDLE: Duration = Duration::from_secs(50);

/// What came back, whatever its status.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Bytes,
    pub(crate) retry_after_s: Option<f64>,
    pub(crate) date: Option<String>,
}

/// Why nothing came back that could be read.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) reason: Reason,
    pub(crate) detail: String,
}

type Connector = InTime<HttpsConnector<HttpConnector>>;
type Connections = Client<Connector, Full<Bytes>>;
type AnyError = Box<dyn Error + Send + Sync>;

/// One service, spoken to with one key.
pub(crate) struct Transport {
    connector: Connector,
    connections: RwLock<Connections>,
    base: String,
    authorization: Option<HeaderValue>,
}

impl Transport {
    pub(crate) fn new(config: &Config) -> Result<Self, ConfigError> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(Duration::from_millis(config.deadline.connect_ms)));
        let tls = tls(config.url.starts_with("https:"), config.ca_file.as_deref())?;
        let connector = InTime {
            inner: HttpsConnectorBuilder::new()
                .with_tls_config(tls)
                .https_or_http()
                .enable_http1()
                .wrap_connector(tcp),
            limit: Duration::from_millis(config.deadline.connect_ms),
        };
        let authorization = match &config.api_key {
            None => None,
            Some(key) => {
                let mut value = HeaderValue::from_str(&format!("Bearer {}", key.reveal())).map_err(|_| ConfigError {
                    setting: "api_key_file".to_owned(),
                    message: "the API key holds characters that no header can; make a new one with `tidegate keys api new`".to_owned(),
                })?;
                value.set_sensitive(true);
                Some(value)
            }
        };
        Ok(Self {
            connections: RwLock::new(connections(&connector)),
            connector,
            base: config.url.trim_end_matches('/').to_owned(),
            authorization,
        })
    }

    pub(crate) async fn get(&self, path: &str, route: Option<&str>, timeout: Duration) -> Result<Reply, Failure> {
        let request = self.request(Method::GET, path, Bytes::new(), None, route)?;
        self.exchange(request, path, timeout).await
    }

    pub(crate) async fn post<T: Serialize>(
        &self,
        path: &str,
        message: &T,
        request_id: &str,
        route: Option<&str>,
        timeout: Duration,
    ) -> Result<Reply, Failure> {
        let body = serde_json::to_vec(message).map_err(|error| bad(format!("the question is no JSON: {error}")))?;
        let request = self.request(Method::POST, path, Bytes::from(body), Some(request_id), route)?;
        self.exchange(request, path, timeout).await
    }

    async fn exchange(&self, request: Request<Full<Bytes>>, path: &str, timeout: Duration) -> Result<Reply, Failure> {
        let connections = self.connections.read().unwrap_or_else(PoisonError::into_inner).clone();
        let whole = async { read(connections.request(request).await.map_err(|error| unanswered(&error))?).await };
        let found = tokio::time::timeout(timeout, whole).await.unwrap_or_else(|_| {
            Err(Failure {
                reason: Reason::Timeout,
                detail: format!("no answer from {path} in {} ms", timeout.as_millis()),
            })
        });
        if matches!(&found, Err(failure) if failure.reason != Reason::BadAnswer) {
            self.leave_connections();
        }
        found
    }

    /// The next request makes a connection of its own. Requests under way keep theirs.
    fn leave_connections(&self) {
        *self.connections.write().unwrap_or_else(PoisonError::into_inner) = connections(&self.connector);
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        request_id: Option<&str>,
        route: Option<&str>,
    ) -> Result<Request<Full<Bytes>>, Failure> {
        let uri: Uri = format!("{}{path}", self.base)
            .parse()
            .map_err(|error| bad(format!("{path}: {error}")))?;
        let mut request = Request::builder()
            .method(method)
            .uri(uri)
            .header(
                USER_AGENT,
                concat!("tidegate-client/", env!("CARGO_PKG_VERSION"), " rust"),
            )
            .header(ACCEPT, "application/json, application/problem+json");
        if let Some(request_id) = request_id {
            request = request
                .header(CONTENT_TYPE, "application/json")
                .header("x-request-id", request_id);
        }
        if let Some(route) = route {
            request = request.header("tidegate-route", route);
        }
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        request
            .body(Full::new(body))
            .map_err(|error| bad(format!("{path}: {error}")))
    }
}

/// By which a proxy finds the process that has the symbol's window; ASCII, whatever the names are.
pub(crate) fn route_of(strategy: &str, symbol: &str) -> String {
    let mut route = String::with_capacity(strategy.len() + symbol.len() + 1);
    encode(strategy, &mut route);
    route.push('/');
    encode(symbol, &mut route);
    route
}

/// All bytes but unreserved ones percent-encoded.
fn encode(name: &str, into: &mut String) {
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'~') {
            into.push(char::from(byte));
        } else {
            // A String takes whatever is written.
            let _ = write!(into, "%{byte:02X}");
        }
    }
}

fn connections(connector: &Connector) -> Connections {
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .build(connector.clone())
}

/// Makes connections within a time: the name's look-up, TCP and TLS together.
#[derive(Clone)]
struct InTime<C> {
    inner: C,
    limit: Duration,
}

impl<C> Service<Uri> for InTime<C>
where
    C: Service<Uri>,
    C::Future: Send + 'static,
    C::Response: 'static,
    C::Error: Into<AnyError> + 'static,
{
    type Response = C::Response;
    type Error = AnyError;
    type Future = Pin<Box<dyn Future<Output = Result<C::Response, AnyError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), AnyError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let (connecting, limit) = (self.inner.call(uri), self.limit);
        Box::pin(async move {
            let too_late = |_| {
                let told = format!("no connection in {} ms", limit.as_millis());
                AnyError::from(io::Error::new(io::ErrorKind::TimedOut, told))
            };
            let connected = tokio::time::timeout(limit, connecting).await.map_err(too_late)?;
            connected.map_err(Into::into)
        })
    }
}

async fn read(response: Response<Incoming>) -> Result<Reply, Failure> {
    let (head, body) = response.into_parts();
    let header = |name| {
        head.headers
            .get(name)
            .and_then(|value: &HeaderValue| value.to_str().ok())
    };
    let body = Limited::new(body, LARGEST_BODY)
        .collect()
        .await
        .map_err(|error| bad(format!("the body cannot be read: {}", innermost(error.as_ref()))))?
        .to_bytes();
    Ok(Reply {
        status: head.status.as_u16(),
        body,
        retry_after_s: header(RETRY_AFTER)
            .and_then(|text| text.trim().parse().ok())
            .filter(|seconds: &f64| *seconds >= 0.0),
        date: header(DATE).map(str::to_owned),
    })
}

/// The failure of a request without an answer's head.
fn unanswered(error: &ClientError) -> Failure {
    let garbled = error
        .source()
        .and_then(|source| source.downcast_ref::<hyper::Error>())
        .is_some_and(hyper::Error::is_parse);
    let reason = if garbled {
        Reason::BadAnswer
    } else {
        Reason::Unreachable
    };
    Failure {
        reason,
        detail: innermost(error),
    }
}

fn bad(detail: String) -> Failure {
    Failure {
        reason: Reason::BadAnswer,
        detail,
    }
}

/// What an error says at its root, where the system's own words stand.
fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

fn tls(needed: bool, ca_file: Option<&Path>) -> Result<ClientConfig, ConfigError> {
    let mut roots = RootCertStore::empty();
    if needed {
        // A certificate that this machine holds and rustls cannot read is not trusted, and nothing more.
        let _ = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    if let Some(path) = ca_file {
        let refused = |error: &dyn std::fmt::Display| ConfigError {
            setting: "ca_file".to_owned(),
            message: format!(
                "{} cannot be used: {error}; PEM certificates are expected",
                path.display()
            ),
        };
        let mut count = 0;
        for certificate in CertificateDer::pem_file_iter(path).map_err(|error| refused(&error))? {
            roots
                .add(certificate.map_err(|error| refused(&error))?)
                .map_err(|error| refused(&error))?;
            count += 1;
        }
        if count == 0 {
            return Err(refused(&"it holds no certificate"));
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let versions = versions.map_err(|error| ConfigError {
        setting: "url".to_owned(),
        message: format!("TLS: {error}"),
    })?;
    Ok(versions.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::route_of;

    #[test]
    fn a_route_is_ascii_whatever_the_names_are() {
        assert_eq!(route_of("trend-1", "EUR/USD"), "trend-1/EUR%2FUSD");
        assert_eq!(route_of("a b", "\u{e4}\r\n%~"), "a%20b/%C3%A4%0D%0A%25~");
    }
}
