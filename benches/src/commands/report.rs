//! Everything worth showing, on a page with pictures.

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use readmostly_bench::{
    document::{Document, Failure},
    page::page,
    presets::Preset,
};
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

/// How many of the last lines that a failed preset printed are its reason.
const REASON_LINES: usize = 3;

/// What to show and where.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The presets to measure; all if none are named
    #[arg(value_name = "NAME")]
    presets: Vec<Preset>,

    /// How thoroughly to measure them
    #[arg(long, default_value = "full")]
    set: Set,

    /// The trace of `replay`, see `preset --help`
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,

    /// The page; what was measured goes beside it as JSON
    #[arg(long, value_name = "FILE", default_value = "report.html")]
    out: PathBuf,

    /// Show what is stored in these files instead of measuring
    #[arg(long, value_name = "JSON", num_args = 1.., conflicts_with_all = ["presets", "set", "trace"])]
    from: Vec<PathBuf>,
}

/// How thoroughly to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Set {
    /// Small workloads and few rounds, to see that everything runs
    Quick,
    /// As in the published figures
    Full,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    if options.from.is_empty() {
        return measure(options);
    }
    let documents = options.from.iter().map(|path| read(path)).collect::<Result<Vec<_>>>()?;
    write(&options.out, page(&documents))?;
    Ok(ExitCode::SUCCESS)
}

fn measure(options: &Options) -> Result<ExitCode> {
    let presets = options.presets();
    let style = ProgressStyle::with_template("{elapsed_precise} [{bar:30}] {pos}/{len} {msg}")?.progress_chars("=> ");
    let progress = ProgressBar::new(presets.len() as u64).with_style(style);
    let mut document = Document { environment: super::environment(), sections: Vec::new(), failures: Vec::new() };
    // What cannot be written is found out before hours of measuring.
    for path in [&options.out, &json_path(&options.out)?] {
        let opened = fs::OpenOptions::new().append(true).create(true).open(path);
        opened.with_context(|| format!("could not write {}", path.display()))?;
    }
    for preset in presets {
        let name = preset.name();
        progress.set_message(name.clone());
        if progress.is_hidden() {
            eprintln!("preset {name}");
        }
        match options.measured(&name) {
            Ok(part) => document.sections.extend(part.sections),
            Err(error) => {
                progress.suspend(|| eprintln!("{name} failed: {error:#}"));
                document.failures.push(Failure { name, reason: format!("{error:#}") });
            }
        }
        progress.inc(1);
        // After every preset, so that none is lost if a later one is interrupted.
        store(&document, &options.out)?;
    }
    progress.finish_with_message(format!("see {}", options.out.display()));
    Ok(if document.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Options {
    /// The presets that were named, or all that are possible.
    fn presets(&self) -> Vec<Preset> {
        if !self.presets.is_empty() {
            return self.presets.clone();
        }
        if self.trace.is_none() {
            eprintln!("replay is left out, since it needs --trace FILE");
        }
        let is_possible = |preset: &Preset| *preset != Preset::Replay || self.trace.is_some();
        Preset::ALL.iter().copied().filter(is_possible).collect()
    }

    /// Measures a preset in a process of its own, so that none finds the memory as another left it, and a crash ends one
    /// only.
    fn measured(&self, name: &str) -> Result<Document> {
        let mut command = Command::new(env::current_exe().context("could not find this program")?);
        command.args(["preset", name, "--json"]).args((self.set == Set::Quick).then_some("--quick"));
        if let Some(trace) = &self.trace {
            command.arg("--trace").arg(trace);
        }
        // The last lines of a failure shall be its reason.
        command.env("RUST_BACKTRACE", "0");
        let output = command.stdin(Stdio::null()).output().with_context(|| format!("could not start {command:?}"))?;
        if !output.status.success() {
            let errors = String::from_utf8_lossy(&output.stderr);
            let lines: Vec<&str> = errors.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
            bail!("{}: {}", output.status, lines[lines.len().saturating_sub(REASON_LINES)..].join(" "));
        }
        serde_json::from_slice(&output.stdout).context("expected the preset to print a document")
    }
}

/// Writes the page and, beside it, what it shows.
fn store(document: &Document, page_path: &Path) -> Result<()> {
    write(&json_path(page_path)?, serde_json::to_vec(document)?)?;
    write(page_path, page(std::slice::from_ref(document)))
}

fn json_path(page_path: &Path) -> Result<PathBuf> {
    let path = page_path.with_extension("json");
    ensure!(path != page_path, "expected --out to be the name of the page, such as report.html, not of its JSON");
    Ok(path)
}

fn read(path: &Path) -> Result<Document> {
    let json = fs::read(path).with_context(|| format!("could not read {}", path.display()))?;
    serde_json::from_slice(&json)
        .with_context(|| format!("expected {} to be a document, as this program stores or prints it", path.display()))
}

fn write(path: &Path, content: impl AsRef<[u8]>) -> Result<()> {
    fs::write(path, content).with_context(|| format!("could not write {}", path.display()))
}
