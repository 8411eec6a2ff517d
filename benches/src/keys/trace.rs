//! Traces of page references in the format of the ARC paper, plain or compressed with zstd.
//!
//! A line is `first_page page_count ignore request_number` and stands for `page_count` consecutive pages. The format is
//! that of the traces of N. Megiddo and D. S. Modha, "ARC: A Self-Tuning, Low Overhead Replacement Cache", FAST 2003.

use crate::peers::Hasher;
use anyhow::{Context, Result, bail, ensure};
use std::{
    collections::HashMap,
    fs::File,
    io::{BufRead, BufReader, Read},
    path::Path,
};

const EXPECTED: &str = "expected `first_page page_count ignore request_number`";
/// A line with a larger count is taken to be broken.
const MOST_PAGES_PER_LINE: u64 = 1_000_000;
/// Four bytes each: beyond this a file is taken to be broken rather than read until the memory ends.
const MOST_ACCESSES: usize = 1_000_000_000;
/// Four of the longest numbers take 83 bytes.
const LONGEST_LINE: u64 = 256;
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xB5, 0x2F, 0xFD];

/// The accesses of a trace, its pages numbered in the order of their first access.
#[derive(Debug)]
pub struct Trace {
    name: String,
    pages: usize,
    accesses: Vec<u32>,
}

impl Trace {
    /// Reads a file.
    pub fn load(path: &Path) -> Result<Self> {
        let readable = || format!("expected {} to be a readable trace", path.display());
        let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let mut file = BufReader::new(File::open(path).with_context(readable)?);
        if file.fill_buf().with_context(readable)?.starts_with(&ZSTD_MAGIC) {
            let unpacked = zstd::Decoder::with_buffer(file).with_context(readable)?;
            Self::parse(BufReader::new(unpacked), &name)
        } else {
            Self::parse(file, &name)
        }
    }

    /// Reads uncompressed lines; `name` is for messages and reports.
    pub fn parse(mut lines: impl BufRead, name: &str) -> Result<Self> {
        let mut numbers = HashMap::with_hasher(Hasher::default());
        let mut accesses = Vec::new();
        let mut line = Vec::new();
        for number in 1_u64.. {
            let at = || format!("{name}, line {number}");
            line.clear();
            let length = lines.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line).with_context(at)?;
            if length == 0 {
                break;
            }
            let (first, count) = parse_line(&line).with_context(at)?;
            for page in first..first + count {
                let next = numbers.len() as u32;
                accesses.push(*numbers.entry(page).or_insert(next));
            }
            ensure!(accesses.len() <= MOST_ACCESSES, "{}: expected at most {MOST_ACCESSES} accesses", at());
        }
        ensure!(!accesses.is_empty(), "{name} is empty; {EXPECTED} on every line");
        Ok(Self { name: name.to_owned(), pages: numbers.len(), accesses })
    }

    /// The file's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many different pages it names.
    pub fn pages(&self) -> usize {
        self.pages
    }

    /// How many accesses it has.
    pub fn accesses(&self) -> usize {
        self.accesses.len()
    }

    /// Every `threads`th access, from that with the number `thread` on; a single one if there are too few.
    pub fn share(&self, thread: usize, threads: usize) -> Vec<u32> {
        let first = thread % self.accesses.len();
        self.accesses[first..].iter().step_by(threads).copied().collect()
    }
}

/// The first page and how many there are.
fn parse_line(line: &[u8]) -> Result<(u64, u64)> {
    ensure!((line.len() as u64) < LONGEST_LINE, "{EXPECTED}, found more than {} bytes", LONGEST_LINE - 1);
    let text = str::from_utf8(line).with_context(|| format!("{EXPECTED}, found something that is no text"))?;
    let fields: Vec<&str> = text.split_ascii_whitespace().collect();
    // `parse` alone would also take a sign.
    let number = |field: &&str| field.bytes().all(|byte| byte.is_ascii_digit()).then(|| field.parse::<u64>().ok())?;
    let numbers: Option<Vec<u64>> = fields.iter().map(number).collect();
    let Some(&[first, count, _, _]) = numbers.as_deref() else {
        bail!("{EXPECTED}, four whole numbers, found {:?}", text.trim_end());
    };
    ensure!(
        (1..=MOST_PAGES_PER_LINE).contains(&count) && first.checked_add(count).is_some(),
        "{EXPECTED} with a page_count of 1 to {MOST_PAGES_PER_LINE} and page numbers of 64 bits, found {:?}",
        text.trim_end()
    );
    Ok((first, count))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: impl AsRef<[u8]>) -> Result<Trace> {
        Trace::parse(text.as_ref(), "t.lis")
    }

    #[test]
    fn a_line_stands_for_consecutive_pages_and_pages_are_numbered_by_first_access() {
        let trace = parse("7 3 0 0\n8 1 0 1\r\n 100\t1 0 2").unwrap();
        assert_eq!(trace.accesses, [0, 1, 2, 1, 3]);
        assert_eq!((trace.pages(), trace.accesses()), (4, 5));
    }

    #[test]
    fn accesses_are_dealt_out_in_turn() {
        let trace = parse("1 2 0 0\n10 3 0 1\n").unwrap();
        assert_eq!((trace.share(0, 2), trace.share(1, 2)), (vec![0, 2, 4], vec![1, 3]));
        assert_eq!(parse("1 1 0 0").unwrap().share(7, 8), [0]);
    }

    #[test]
    fn a_bad_line_is_named_with_what_was_expected() {
        for bad in
            ["", "1 1 0", "1 1 0 0 0", "a 1 0 0", "-1 1 0 0", "+1 1 0 0", "1.5 1 0 0", "99999999999999999999 1 0 0"]
        {
            let error = format!("{:#}", parse(format!("1 1 0 0\n2 1 0 1\n{bad}\n3 1 0 2\n")).unwrap_err());
            assert!(error.starts_with("t.lis, line 3: expected `first_page page_count"), "{error}");
            assert!(error.ends_with(&format!("found {bad:?}")), "{error}");
        }
    }

    #[test]
    fn impossible_numbers_text_that_is_none_and_nothing_at_all_are_refused() {
        for bad in ["1 0 0 0", "1 1000001 0 0", "18446744073709551615 1 0 0"] {
            assert!(format!("{:#}", parse(bad).unwrap_err()).contains("page_count of 1 to 1000000"), "{bad}");
        }
        assert!(format!("{:#}", parse(b"1 1 0 0\n\xFF 1 0 0\n").unwrap_err()).starts_with("t.lis, line 2: "));
        assert!(format!("{:#}", parse("1".repeat(1000)).unwrap_err()).contains("more than 255 bytes"));
        assert!(parse("").unwrap_err().to_string().starts_with("t.lis is empty"));
    }

    #[test]
    fn files_may_be_compressed_and_broken_ones_are_refused() {
        let text: String = (0..1000).map(|page| format!("{page} 1 0 {page}\n")).collect();
        let packed = zstd::encode_all(text.as_bytes(), 0).unwrap();
        let path = std::env::temp_dir().join(format!("readmostly-bench-{}.lis", std::process::id()));
        let load = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            let trace = Trace::load(&path).map(|trace| trace.pages());
            std::fs::remove_file(&path).unwrap();
            trace
        };
        assert_eq!(load(text.as_bytes()).unwrap(), 1000);
        assert_eq!(load(&packed).unwrap(), 1000);
        assert!(format!("{:#}", load(&packed[..packed.len() - 3]).unwrap_err()).contains("line 1"));
        assert!(Trace::load(&path).unwrap_err().to_string().contains("to be a readable trace"));
    }
}
