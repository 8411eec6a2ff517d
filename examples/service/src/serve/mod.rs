//! The server: from its arguments to its end.

mod app;
mod args;
mod breaker;
mod connections;
mod meters;
mod metrics;
mod request;
mod routes;
mod sweep;
mod warm;

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing_subscriber::EnvFilter;

use self::app::App;
pub(crate) use self::args::Args;
use self::meters::{Gauges, Meters};
use self::sweep::{SweepFigures, Sweeper};
use crate::cache::{self, Cache};
use crate::near;
use crate::store::{self, faults::Faults};

pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(filter).init();
    let threads = match args.threads {
        Some(threads) => threads.into(),
        None => std::thread::available_parallelism().map_or(1, usize::from),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()?;
    runtime.block_on(serve(args, threads))
}

/// Listens, warms up, serves until a signal, and closes everything.
async fn serve(args: Args, threads: usize) -> anyhow::Result<()> {
    let mut end = std::pin::pin!(signal()?);
    let prometheus = metrics::install(&args.instance)?;
    let app = open(args, threads).await?;
    let listen = app.args.listen;
    let listener = TcpListener::bind(listen).await.with_context(|| format!("{listen}: expected a free address"))?;
    let address = listener.local_addr()?;
    let router = routes::router(Arc::clone(&app), prometheus.clone());
    let (stop, stopped) = watch::channel(false);
    // Serves at once, so that /health and /ready are answered meanwhile; requests for keys are not until all is ready.
    let connections = tokio::spawn(connections::serve(listener, router, app.args.client_timeout, stopped));
    let chores = tokio::select! {
        () = warm_up(&app) => Some(Chores::start(&app, prometheus, stop.subscribe())?),
        () = &mut end => None,
    };
    if chores.is_some() {
        app.ready.store(true, Relaxed);
        announce(&format!("listening on http://{address}"));
        end.await;
    }
    tracing::info!("stopping");
    stop.send_replace(true);
    connections.await?;
    app.ready.store(false, Relaxed);
    if let Some(chores) = chores {
        chores.end(&app).await?;
    }
    app.store.close().await;
    Ok(())
}

/// What goes on in the background while the cache is warm.
struct Chores {
    sweeper: Sweeper,
    ticks: JoinHandle<()>,
    warm_writes: JoinHandle<()>,
}

impl Chores {
    fn start(app: &Arc<App>, prometheus: PrometheusHandle, stopped: watch::Receiver<bool>) -> anyhow::Result<Self> {
        Ok(Chores {
            sweeper: Sweeper::start(Arc::clone(app))?,
            ticks: tokio::spawn(tick(Arc::clone(app), prometheus)),
            warm_writes: tokio::spawn(write_warm_files(Arc::clone(app), stopped)),
        })
    }

    /// Ends them, after `stopped` was set, and writes the last warm file.
    async fn end(self, app: &App) -> anyhow::Result<()> {
        self.ticks.abort();
        tokio::task::spawn_blocking(move || drop(self.sweeper)).await?;
        // A write under way must not replace the file below.
        self.warm_writes.await?;
        if let Some(path) = &app.args.warm_file {
            write_warm_file(path.clone(), Arc::clone(&app.cache)).await;
        }
        Ok(())
    }
}

async fn open(args: Args, threads: usize) -> anyhow::Result<Arc<App>> {
    let cache = cache::new(args.map);
    let faults = Arc::new(Faults::default());
    let store = match &args.redis {
        Some(url) => {
            let options = near::Options {
                url: url.clone(),
                prefix: args.redis_prefix.clone(),
                instance: args.instance.clone(),
                grace: args.redis_grace,
                timeout: args.load_timeout,
            };
            Arc::new(store::redis::RedisStore::open(options, Arc::clone(&cache)).await?)
        }
        None => {
            let (faults, cache) = (Arc::clone(&faults), Arc::clone(&cache));
            store::sqlite::open(args.database.as_deref(), args.negative_ttl, faults, cache)?
        }
    };
    let meters = Meters::new(threads)?;
    let (sweeps, ready) = (SweepFigures::new(), AtomicBool::new(false));
    Ok(Arc::new(App { args, cache, store, meters, sweeps, faults, started: Instant::now(), ready }))
}

/// SIGTERM or SIGINT.
#[cfg(unix)]
fn signal() -> anyhow::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

#[cfg(not(unix))]
fn signal() -> anyhow::Result<impl Future<Output = ()>> {
    Ok(async {
        let _ = tokio::signal::ctrl_c().await;
    })
}

/// Writes `line` to standard output; whoever started the service may not listen.
fn announce(line: &str) {
    let mut out = std::io::stdout().lock();
    if let Err(error) = writeln!(out, "{line}").and_then(|()| out.flush()) {
        tracing::warn!("standard output: {error}");
    }
}

/// A warm file that cannot be used is said to be so and left alone: the next write replaces it.
async fn warm_up(app: &App) {
    let Some(path) = &app.args.warm_file else { return };
    match warm::load(path, &app.cache, &*app.store).await {
        Ok((taken, found)) => tracing::info!("{}: {taken} of {found} entries are current", path.display()),
        Err(error) => tracing::warn!("{}: {error:#}; starting cold", path.display()),
    }
    if let Some(stats) = app.cache.stats() {
        tracing::debug!("warm: {stats}");
    }
}

async fn write_warm_files(app: Arc<App>, mut stopped: watch::Receiver<bool>) {
    let Some(path) = &app.args.warm_file else { return };
    while timeout(app.args.warm_every, stopped.wait_for(|stopped| *stopped)).await.is_err() {
        write_warm_file(path.clone(), Arc::clone(&app.cache)).await;
    }
}

async fn write_warm_file(path: PathBuf, cache: Arc<dyn Cache>) {
    let write = move || match warm::write(&path, &*cache) {
        Ok(count) => tracing::debug!("{}: {count} entries", path.display()),
        Err(error) => tracing::warn!("{}: {error:#}; expected to write the warm file", path.display()),
    };
    if let Err(error) = tokio::task::spawn_blocking(write).await {
        tracing::error!("the warm file was not written: {error}");
    }
}

/// Ends a second of the figures each second.
async fn tick(app: Arc<App>, prometheus: PrometheusHandle) {
    let mut ticks = interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    let mut last = Instant::now();
    loop {
        ticks.tick().await;
        let gauges = Gauges {
            promotions: app.cache.stats().map_or(0, |stats| stats.promotions),
            resident_bytes: resident_bytes(),
            entries: app.cache.len(),
        };
        let span = last.elapsed();
        last = Instant::now();
        if let Err(error) = app.meters.tick(app.uptime().as_secs(), span, gauges) {
            tracing::error!("the figures of a second are lost: {error}");
        }
        prometheus.run_upkeep();
    }
}

fn resident_bytes() -> usize {
    memory_stats::memory_stats().map_or(0, |stats| stats.physical_mem)
}
