//! Connections: from the first to the last.

use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// After an error of `accept`, as when there are no more file descriptors.
const PAUSE: Duration = Duration::from_millis(50);

/// Accepts until `stop` turns true, and returns when the requests under way then have been answered, but for those whose
/// clients take longer than `client_timeout`: these are cut.
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    client_timeout: Duration,
    mut stop: watch::Receiver<bool>,
) {
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        match accepted {
            Ok((stream, _)) => {
                tokio::spawn(converse(stream, router.clone(), client_timeout, graceful.watcher()));
            }
            Err(error) => {
                tracing::warn!("no connection was accepted: {error}");
                sleep(PAUSE).await;
            }
        }
    }
    drop(listener);
    if timeout(client_timeout, graceful.shutdown()).await.is_err() {
        tracing::warn!("clients that took longer than {client_timeout:?} were cut");
    }
}

async fn converse(stream: TcpStream, router: Router, client_timeout: Duration, watcher: Watcher) {
    if let Err(error) = configure(&stream, client_timeout) {
        tracing::debug!("a connection without options: {error}");
    }
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(client_timeout)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!("a connection was cut: {error}");
    }
}

fn configure(stream: &TcpStream, client_timeout: Duration) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    // Cuts a client that does not take its answer, too.
    #[cfg(target_os = "linux")]
    SockRef::from(stream).set_tcp_user_timeout(Some(client_timeout))?;
    Ok(())
}
