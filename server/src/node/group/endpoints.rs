//! The group's two addresses, served by a thread of their own: what goes through them never delays a
//! heartbeat.
//!
//! Behind them nodes see the endpoint's address in place of the client's, in CLIENT LIST and the log
//! too. What depends on it is decided here: while protected mode is in force only this machine may
//! connect. TLS is not ended here, it goes through.

use super::observer::Observer;
use crate::node::StartError;
use larder_replication::group::config::Zone;
use larder_replication::group::endpoint::{Endpoint, EndpointKind, EndpointLimits};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::oneshot;

/// What endpoints are told once.
pub(super) struct EndpointSettings {
    /// The zone whose replicas come first.
    pub(super) zone: Option<Zone>,
    /// A replica that is further behind gets no new connection.
    pub(super) max_lag_ms: u64,
    /// How long a connection waits for somebody to lead to.
    pub(super) hold: Duration,
}

/// Running endpoints. Dropped, they end.
pub(super) struct Endpoints {
    primary: Vec<SocketAddr>,
    reader: Vec<SocketAddr>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Endpoints {
    /// Serves these sockets.
    ///
    /// # Errors
    /// A thread that cannot start, a socket that cannot be used.
    pub(super) fn start(
        primary: Vec<TcpListener>,
        reader: Vec<TcpListener>,
        settings: &EndpointSettings,
        observer: &Arc<Observer>,
    ) -> Result<Self, StartError> {
        let addresses = |listeners: &[TcpListener]| -> std::io::Result<Vec<SocketAddr>> {
            listeners.iter().map(TcpListener::local_addr).collect()
        };
        let primary_addresses = addresses(&primary).map_err(StartError::Listen)?;
        let reader_addresses = addresses(&reader).map_err(StartError::Listen)?;
        let reader_kind =
            EndpointKind::Reader { zone: settings.zone.clone(), max_lag_ms: settings.max_lag_ms };
        let limits = EndpointLimits { hold: settings.hold, ..EndpointLimits::default() };
        let all = primary
            .into_iter()
            .map(|listener| (listener, EndpointKind::Primary))
            .chain(reader.into_iter().map(|listener| (listener, reader_kind.clone())));
        let all: Vec<(TcpListener, EndpointKind)> = all.collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(StartError::Thread)?;
        let running = {
            let _inside = runtime.enter();
            let start = |(listener, kind): (TcpListener, EndpointKind)| {
                listener.set_nonblocking(true)?;
                let listener = tokio::net::TcpListener::from_std(listener)?;
                let (judge, routes) = (Arc::clone(observer), observer.routes());
                let admission = Arc::new(move |from| judge.admits(from));
                Endpoint::start_for(admission, listener, kind, routes, limits)
            };
            all.into_iter().map(start).collect::<std::io::Result<Vec<_>>>()
        };
        let running = running.map_err(StartError::Listen)?;
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new()
            .name("larder-endpoints".to_owned())
            .spawn(move || {
                // An error is the sender's end, which is as good as its word.
                let _ = runtime.block_on(stopped);
                drop(running);
            })
            .map_err(StartError::Thread)?;
        Ok(Self {
            primary: primary_addresses,
            reader: reader_addresses,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Where the primary is always found.
    pub(super) fn primary(&self) -> &[SocketAddr] {
        &self.primary
    }

    /// Where the replicas are found in turn.
    pub(super) fn reader(&self) -> &[SocketAddr] {
        &self.reader
    }
}

impl Drop for Endpoints {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // One that panicked has said so.
            let _ = thread.join();
        }
    }
}
