//! Reader of ARC-format traces, plain or zstd-compressed.
//!
//! A line is `first_page page_count ignore request_number` and stands for `page_count` consecutive pages. The format is
//! that of the traces of Nimrod Megiddo and Dharmendra S. Modha, "ARC: A Self-Tuning, Low Overhead Replacement Cache",
//! USENIX Conference on File and Storage Technologies (FAST 03), 2003.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::Path;
use std::str;

use readmostly::DefaultHashBuilder;

use crate::workload::{Access, Keys, Origin, Workload};

const EXPECTED: &str = "expected `first_page page_count ignore request_number`";
const MAX_PAGE_COUNT: u64 = 1_000_000;
/// Four bytes each: beyond this a trace is taken to be broken rather than read until the memory ends.
const MAX_ACCESSES: u64 = 1_000_000_000;
/// Four of the longest numbers take 83 bytes.
const MAX_LINE: u64 = 256;
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xB5, 0x2F, 0xFD];

/// Reads the whole trace and deals its accesses out to `threads` streams in turn.
pub(crate) fn load(path: &Path, threads: usize) -> Result<Workload, String> {
    let name = path.display().to_string();
    let file = |error: io::Error| format!("{name}: {error}; expected a readable ARC-format trace");
    let mut plain = BufReader::with_capacity(1 << 16, File::open(path).map_err(file)?);
    let zstd = plain.fill_buf().map_err(file)?.starts_with(&ZSTD_MAGIC)
        || path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("zst"));
    let (keys, streams) = if zstd {
        let decoder = zstd::Decoder::with_buffer(plain).map_err(file)?;
        parse(BufReader::with_capacity(1 << 16, decoder), &name, threads)?
    } else {
        parse(plain, &name, threads)?
    };
    Ok(Workload { origin: Origin::Trace { file: name }, keys, streams })
}

/// One line: `count` pages from `first` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Request {
    first: u64,
    count: u64,
}

fn parse(mut reader: impl BufRead, name: &str, threads: usize) -> Result<(Keys, Vec<Vec<Access>>), String> {
    let mut pages = Pages::default();
    let mut streams = vec![Vec::new(); threads];
    let mut accesses = 0;
    let mut line = Vec::new();
    for number in 1_u64.. {
        let at = |problem: String| format!("{name}:{number}: {problem}");
        line.clear();
        let length = (&mut reader)
            .take(MAX_LINE)
            .read_until(b'\n', &mut line)
            .map_err(|error| at(format!("{error}; expected a readable plain or zstd-compressed trace")))?;
        if length == 0 {
            break;
        }
        let Request { first, count } = parse_line(&line).map_err(at)?;
        if accesses + count > MAX_ACCESSES {
            return Err(at(format!("expected at most {MAX_ACCESSES} accesses in a trace")));
        }
        for page in first..first + count {
            let thread = (accesses % threads as u64) as usize;
            streams[thread].push(Access::read(pages.id(page)));
            accesses += 1;
        }
    }
    if accesses == 0 {
        return Err(format!("{name}: the trace is empty; {EXPECTED} on every line"));
    }
    Ok((pages.keys, streams))
}

fn parse_line(line: &[u8]) -> Result<Request, String> {
    if line.len() as u64 >= MAX_LINE {
        return Err(format!("the line is longer than {MAX_LINE} bytes; {EXPECTED}"));
    }
    let line = str::from_utf8(line).map_err(|_| format!("the line is not valid UTF-8; {EXPECTED}"))?.trim_ascii();
    let found = || format!("{EXPECTED}, four whole numbers, found `{}`", excerpt(line));
    let mut fields = [0_u64; 4];
    let mut words = line.split_ascii_whitespace();
    for field in &mut fields {
        let word = words.next().filter(|word| word.bytes().all(|byte| byte.is_ascii_digit())).ok_or_else(found)?;
        *field = word.parse().map_err(|_| found())?;
    }
    if words.next().is_some() {
        return Err(found());
    }
    let [first, count, ..] = fields;
    if !(1..=MAX_PAGE_COUNT).contains(&count) {
        return Err(format!("page_count is {count}; expected 1 to {MAX_PAGE_COUNT}"));
    }
    if first.checked_add(count).is_none() {
        return Err(format!("first_page is {first}; expected {count} pages from there to have 64-bit numbers"));
    }
    Ok(Request { first, count })
}

fn excerpt(line: &str) -> String {
    const SHOWN: usize = 60;
    let mut shown: String = line.chars().take(SHOWN).flat_map(char::escape_debug).collect();
    if line.chars().nth(SHOWN).is_some() {
        shown.push_str("...");
    }
    shown
}

/// Dense ids for page numbers, in the order of their first access.
#[derive(Default)]
struct Pages {
    ids: HashMap<u64, u32, DefaultHashBuilder>,
    keys: Keys,
}

impl Pages {
    fn id(&mut self, page: u64) -> u32 {
        const { assert!(MAX_ACCESSES < Access::MAX_IDS as u64) };
        match self.ids.entry(page) {
            Entry::Occupied(entry) => *entry.get(),
            Entry::Vacant(entry) => {
                let id = self.keys.len() as u32;
                self.keys.push("page", page);
                *entry.insert(id)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replay(text: impl AsRef<[u8]>, threads: usize) -> Result<Vec<Vec<String>>, String> {
        let (keys, streams) = parse(text.as_ref(), "t.lis", threads)?;
        let names = |stream: &Vec<Access>| stream.iter().map(|access| keys.get(access.id()).to_owned()).collect();
        Ok(streams.iter().map(names).collect())
    }

    #[test]
    fn a_line_stands_for_consecutive_pages() {
        let streams = replay("7 3 0 0\n8 1 0 1\n", 1).unwrap();
        assert_eq!(streams, [["page:7", "page:8", "page:9", "page:8"]]);
    }

    #[test]
    fn accesses_are_dealt_out_in_turn() {
        let streams = replay("1 2 0 0\n10 3 0 1\n", 2).unwrap();
        assert_eq!(streams, [vec!["page:1", "page:10", "page:12"], vec!["page:2", "page:11"]]);
        let streams = replay("1 1 0 0", 3).unwrap();
        assert_eq!(streams, [vec!["page:1"], vec![], vec![]]);
    }

    #[test]
    fn blanks_tabs_and_carriage_returns_separate_fields() {
        assert_eq!(replay(" 5\t1  0 9 \r\n6 1 0 10", 1).unwrap(), [["page:5", "page:6"]]);
    }

    #[test]
    fn a_bad_line_is_named_with_what_was_expected() {
        for bad in [
            "",
            "1 1 0",
            "1 1 0 0 0",
            "a 1 0 0",
            "1 1 0 x",
            "-1 1 0 0",
            "+1 1 0 0",
            "1.5 1 0 0",
            "99999999999999999999 1 0 0",
        ] {
            let error = replay(format!("1 1 0 0\n2 1 0 1\n{bad}\n3 1 0 2\n"), 2).unwrap_err();
            assert!(error.starts_with("t.lis:3: expected `first_page page_count ignore request_number`"), "{error}");
            assert!(error.ends_with(&format!("found `{bad}`")), "{error}");
        }
    }

    #[test]
    fn impossible_page_counts_are_rejected() {
        for (line, expected) in [
            ("1 0 0 0", "t.lis:1: page_count is 0; expected 1 to 1000000"),
            ("1 1000001 0 0", "t.lis:1: page_count is 1000001; expected 1 to 1000000"),
            ("18446744073709551615 1 0 0", "t.lis:1: first_page is 18446744073709551615; expected 1 pages"),
        ] {
            let error = replay(line, 1).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
        assert_eq!(replay("1 1000000 0 0", 1).unwrap()[0].len(), 1_000_000);
    }

    #[test]
    fn text_that_is_no_text_is_rejected() {
        let error = replay(b"1 1 0 0\n\xFF\xFE 1 0 0\n", 1).unwrap_err();
        assert!(error.starts_with("t.lis:2: the line is not valid UTF-8"), "{error}");
        let error = replay("1".repeat(1000), 1).unwrap_err();
        assert!(error.starts_with("t.lis:1: the line is longer than"), "{error}");
    }

    #[test]
    fn quoted_text_cannot_break_the_line() {
        let error = replay("a\u{1b}[2J\rb 1 0 0\n", 1).unwrap_err();
        assert!(!error.contains(|c: char| c.is_control()), "{error:?}");
        let error = replay("é".repeat(100), 1).unwrap_err();
        assert!(error.ends_with("ééé...`"), "{error}");
    }

    #[test]
    fn an_empty_trace_is_rejected() {
        let error = replay("", 1).unwrap_err();
        assert!(error.starts_with("t.lis: the trace is empty"), "{error}");
    }

    #[test]
    fn a_broken_zstd_stream_is_rejected_at_its_line() {
        let text: String = (0..1000).map(|page| format!("{page} 1 0 {page}\n")).collect();
        let packed = zstd::encode_all(text.as_bytes(), 0).unwrap();
        let decode = |bytes: &[u8]| {
            let decoder = zstd::Decoder::with_buffer(bytes).unwrap();
            parse(BufReader::new(decoder), "t.zst", 1).map(|(keys, _)| keys.len())
        };
        assert_eq!(decode(&packed), Ok(1000));
        for broken in [&packed[..packed.len() - 3], &b"1 1 0 0\n"[..]] {
            let error = decode(broken).unwrap_err();
            assert!(error.starts_with("t.zst:1: ") && error.contains("expected a readable"), "{error}");
        }
    }
}
