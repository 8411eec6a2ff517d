//! The warm file: what was cached, for the next start.
//!
//! The file is a hint and the database the authority. An entry is taken from it only if the database still holds the very
//! version, which no other value ever has, also not after the database was deleted or restored; so nothing stale comes back,
//! however old the file is and however the process ended. A file that is damaged anywhere is not used at all.
//!
//! It is a sequence of frames: the length of the rest in four bytes, and a batch of entries in postcard's encoding with
//! a CRC-32. The last batch is empty, so that a file that was cut off between frames is noticed.

use std::fs::File;
use std::io::{BufReader, BufWriter, ErrorKind, Read, Write};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use crc::{CRC_32_ISCSI, Crc};
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use crate::cache::Cache;
use crate::entry::{Entry, Key, Moment};
use crate::store::Store;

const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);
const HEAD: &[u8] = b"readmostly warm file 1\n";
/// The most entries of a batch, and the bytes of values after which it takes no more.
const BATCH: (usize, usize) = (1000, 4 << 20);

#[derive(Debug, Serialize, Deserialize)]
struct Warm {
    key: Key,
    version: u64,
    expires: Moment,
    value: Bytes,
}

/// Replaces the file with what is cached and has not expired; the number of entries. A process that dies in the middle
/// leaves the file as it was.
pub(super) fn write(path: &Path, cache: &dyn Cache) -> anyhow::Result<usize> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = NamedTempFile::new_in(folder)?;
    let mut writer = Writer { out: BufWriter::new(file.as_file_mut()), batch: Vec::new(), bytes: 0, count: 0 };
    writer.out.write_all(HEAD)?;
    let now = Moment::now();
    let mut result = Ok(());
    cache.for_each(&mut |key, entry| {
        if result.is_ok() && !entry.is_expired(now) {
            result = writer.add(key, entry);
        }
    });
    result?;
    let count = writer.finish()?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    // The rename lasts when the folder is synced.
    #[cfg(unix)]
    File::open(folder)?.sync_all()?;
    Ok(count)
}

struct Writer<W: Write> {
    out: W,
    batch: Vec<Warm>,
    bytes: usize,
    count: usize,
}

impl<W: Write> Writer<W> {
    /// What is known to be absent is not worth keeping.
    fn add(&mut self, key: &Key, entry: &Entry) -> anyhow::Result<()> {
        let Entry { version, expires, value: Some(value) } = entry.clone() else { return Ok(()) };
        self.bytes += value.len();
        self.batch.push(Warm { key: Key::clone(key), version, expires, value });
        if self.batch.len() >= BATCH.0 || self.bytes >= BATCH.1 { self.write_batch() } else { Ok(()) }
    }

    fn write_batch(&mut self) -> anyhow::Result<()> {
        let frame = postcard::to_stdvec_crc32(&self.batch, CRC.digest())?;
        self.out.write_all(&u32::try_from(frame.len())?.to_le_bytes())?;
        self.out.write_all(&frame)?;
        self.count += self.batch.len();
        self.batch.clear();
        self.bytes = 0;
        Ok(())
    }

    fn finish(mut self) -> anyhow::Result<usize> {
        if !self.batch.is_empty() {
            self.write_batch()?;
        }
        self.write_batch()?;
        self.out.flush()?;
        Ok(self.count)
    }
}

/// Fills the cache from the file; the number of entries that were taken and that were in the file. Without a file none. On
/// an error the cache is as empty as it was. Reading the file gives other tasks of the thread no turn.
pub(super) async fn load(path: &Path, cache: &Arc<dyn Cache>, store: &dyn Store) -> anyhow::Result<(usize, usize)> {
    let result = load_batches(path, cache.as_ref(), store).await;
    if result.is_err() {
        cache.clear();
    }
    result
}

async fn load_batches(path: &Path, cache: &dyn Cache, store: &dyn Store) -> anyhow::Result<(usize, usize)> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok((0, 0)),
        Err(error) => return Err(error.into()),
    };
    let mut reader = BufReader::new(file);
    let mut head = [0; HEAD.len()];
    ensure!(reader.read_exact(&mut head).is_ok() && head == HEAD, "expected a warm file");
    let (mut taken, mut found) = (0, 0);
    loop {
        let batch = read_batch(&mut reader).context("expected an undamaged warm file")?;
        if batch.is_empty() {
            ensure!(reader.read(&mut [0])? == 0, "expected nothing after the end of the warm file");
            return Ok((taken, found));
        }
        found += batch.len();
        taken += take(batch, cache, store).await?;
    }
}

fn read_batch(reader: &mut impl Read) -> anyhow::Result<Vec<Warm>> {
    let mut length = [0; 4];
    reader.read_exact(&mut length).context("it is cut off")?;
    let length = u32::from_le_bytes(length);
    // Takes memory for what is there, not for what a damaged length announces.
    let mut frame = Vec::new();
    reader.take(length.into()).read_to_end(&mut frame)?;
    ensure!(frame.len() == length as usize, "it is cut off");
    postcard::from_bytes_crc32(&frame, CRC.digest()).context("a batch does not match its checksum")
}

/// Caches those entries whose version the database still holds.
///
/// They are cached first and asked about afterwards: what others change from then on is invalidated by the store, and
/// must find its entry here.
async fn take(batch: Vec<Warm>, cache: &dyn Cache, store: &dyn Store) -> anyhow::Result<usize> {
    let versions: Vec<(Key, u64)> = batch.iter().map(|warm| (Key::clone(&warm.key), warm.version)).collect();
    for warm in batch {
        cache.publish(warm.key, Entry::present(warm.version, warm.expires, warm.value));
    }
    let held = store.versions(versions.iter().map(|(key, _)| Key::clone(key)).collect()).await?;
    let mut taken = 0;
    for ((key, version), held) in versions.into_iter().zip(held) {
        if held == Some(version) {
            taken += 1;
        } else {
            cache.invalidate(&key);
        }
    }
    Ok(taken)
}
