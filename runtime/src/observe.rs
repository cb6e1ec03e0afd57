//! What a process tells of itself over HTTP: `/livez`, `/readyz`, `/metrics`. It takes nothing and changes nothing.

use std::net::SocketAddr;
use std::thread::JoinHandle;

use anyhow::{Context, Result};
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::metrics;
use crate::node::running::Observed;
use crate::plugin::Counts;

/// Listens at an address; with port 0 at a port that is free.
pub fn listen(address: SocketAddr) -> Result<std::net::TcpListener> {
    std::net::TcpListener::bind(address)
        .with_context(|| format!("cannot listen on {address}: give --observe another address"))
}

/// What is observed.
#[derive(Clone)]
struct Subject {
    observed: Observed,
    plugins: Counts,
}

/// The server's thread; ends when it is dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Serves what is observed to those who connect.
    pub fn start(listener: std::net::TcpListener, observed: Observed, plugins: Counts) -> Result<Self> {
        let doing = || "cannot serve metrics";
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().with_context(doing)?;
        let address = listener.local_addr().with_context(doing)?;
        listener.set_nonblocking(true).with_context(doing)?;
        let entered = runtime.enter();
        let listener = TcpListener::from_std(listener).with_context(doing)?;
        drop(entered);
        let (stop, stopped) = oneshot::channel::<()>();
        let routes = Router::new()
            .route("/livez", get(live))
            .route("/readyz", get(ready))
            .route("/metrics", get(metrics))
            .with_state(Subject { observed, plugins });
        let serve = async move {
            tokio::select! {
                served = axum::serve(listener, routes).into_future() => {
                    if let Err(error) = served {
                        tracing::error!(%error, "serving metrics ended");
                    }
                }
                _ = stopped => {}
            }
        };
        let run = move || runtime.block_on(serve);
        let thread = std::thread::Builder::new().name("observe".into()).spawn(run).with_context(doing)?;
        Ok(Self { address, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that serves metrics panicked");
        }
    }
}

async fn live(State(subject): State<Subject>) -> (StatusCode, String) {
    match subject.observed.failure() {
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
        None => (StatusCode::OK, "ok\n".to_owned()),
    }
}

async fn ready(State(subject): State<Subject>) -> (StatusCode, &'static str) {
    match subject.observed.is_ready() {
        true => (StatusCode::OK, "ok\n"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "tasks are being restored\n"),
    }
}

async fn metrics(State(subject): State<Subject>) -> Response {
    // The log is asked where its topics end, which may take a while.
    let seen = tokio::task::spawn_blocking(move || metrics::render(&subject.observed.see(), subject.plugins)).await;
    match seen {
        Ok(Ok(text)) => ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        _ => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
