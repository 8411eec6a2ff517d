//! SQLite.

use std::path::Path;
use std::sync::Arc;

use super::Store;
use crate::cache::Cache;

pub(crate) fn open(path: Option<&Path>, cache: Arc<dyn Cache>) -> anyhow::Result<Arc<dyn Store>> {
    let _ = (path, cache);
    anyhow::bail!("not built yet")
}
