//! The server: from its arguments to its end.

mod args;

use std::time::Duration;

use axum::Router;
use axum::routing::get;

pub(crate) use args::Args;

use crate::{cache, status, store};

pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = args.threads {
        runtime.worker_threads(threads.into());
    }
    runtime.enable_all().build()?.block_on(serve(args))
}

async fn serve(args: Args) -> anyhow::Result<()> {
    let cache = cache::new(args.map);
    let _store = match &args.redis {
        Some(url) => store::redis::connect(url, cache.clone()).await?,
        None => store::sqlite::open(args.database.as_deref(), cache.clone())?,
    };
    let listener = tokio::net::TcpListener::bind(args.listen).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let router = Router::new().route("/status", get(status::page)).route("/health", get(|| async { "ok\n" }));
    axum::serve(listener, router).await?;
    tokio::time::sleep(Duration::ZERO).await;
    Ok(())
}
