//! HTTP for those who watch the node: `/metrics` for Prometheus, `/healthz` for whoever restarts it.
//!
//! It runs on the control thread, answers one request a connection, and is bounded in each way: the
//! connections at a time, the size of a request, the time it may take. Nothing is changed through
//! it, and nothing is asked of who reads; so by default it listens to this machine only
//! (`metrics-bind`).

use super::shared::Shared;
use crate::observe::metrics;
use crate::observe::metrics::cloudwatch::Minutes;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Connections at a time; more wait in the kernel's queue.
const PLACES: usize = 16;
/// Bytes of a request with its headers.
const REQUEST_BYTES: usize = 16 * 1024;
/// How long a request may take to come.
const REQUEST_PATIENCE: Duration = Duration::from_secs(5);
/// How long a connection may last, its reply included.
const PATIENCE: Duration = Duration::from_secs(15);
/// The text format of Prometheus.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The HTTP side of a node.
pub(super) struct Http {
    node: Arc<Shared>,
    minutes: Rc<Minutes>,
    places: Arc<Semaphore>,
}

impl Http {
    /// Nobody has asked yet.
    pub(super) fn new(node: &Arc<Shared>) -> Self {
        Self {
            node: Arc::clone(node),
            minutes: Rc::default(),
            places: Arc::new(Semaphore::new(PLACES)),
        }
    }

    /// Ends a minute of what is told by the minute.
    pub(super) fn end_minute(&self) {
        self.minutes.tick(&self.node);
    }

    /// Waits until there may be one more connection.
    pub(super) async fn place(&self) -> OwnedSemaphorePermit {
        match Arc::clone(&self.places).acquire_owned().await {
            Ok(place) => place,
            // Only a semaphore that somebody closed refuses, and nobody does.
            Err(_) => std::future::pending().await,
        }
    }

    /// Serves a connection beside what the thread does.
    pub(super) fn serve(&self, stream: TcpStream, place: OwnedSemaphorePermit) {
        let (node, minutes) = (Arc::clone(&self.node), Rc::clone(&self.minutes));
        tokio::task::spawn_local(async move {
            let answer = service_fn(move |request| {
                let response = respond(&node, &minutes, &request);
                async move { Ok::<_, Infallible>(response) }
            });
            let connection = http1::Builder::new()
                .keep_alive(false)
                .max_buf_size(REQUEST_BYTES)
                .timer(TokioTimer::new())
                .header_read_timeout(REQUEST_PATIENCE)
                .serve_connection(TokioIo::new(stream), answer);
            match tokio::time::timeout(PATIENCE, connection).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(%error, "a request for metrics failed"),
                Err(_) => tracing::debug!("a request for metrics took too long"),
            }
            drop(place);
        });
    }
}

fn respond(node: &Shared, minutes: &Minutes, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered\n");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match request.uri().path() {
        "/metrics" => {
            let mut response = plain(StatusCode::OK, metrics::render(node, minutes));
            let form = HeaderValue::from_static(METRICS_TYPE);
            response.headers_mut().insert(CONTENT_TYPE, form);
            response
        }
        "/healthz" if node.shutdown.is_requested() => {
            plain(StatusCode::SERVICE_UNAVAILABLE, "stopping\n")
        }
        "/healthz" => plain(StatusCode::OK, "ok\n"),
        _ => plain(StatusCode::NOT_FOUND, "there are /metrics and /healthz\n"),
    }
}

fn plain(status: StatusCode, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    let form = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, form);
    response
}
