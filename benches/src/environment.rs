//! Where, when and with what something was measured.

use crate::peers;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fmt::{Display, Formatter, Result},
};

/// The crates whose versions matter to whoever reads a figure.
const MEASURED: [&str; 11] = [
    "readmostly",
    "dashmap",
    "papaya",
    "scc",
    "flurry",
    "parking_lot",
    "arc-swap",
    "evmap",
    "moka",
    "quick_cache",
    "hashbrown",
];

/// The package of this program.
const PACKAGE: &str = env!("CARGO_PKG_NAME");

/// Where, when and with what something was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Environment {
    /// The processor.
    pub processor: String,
    /// The cores this process may use.
    pub cores: usize,
    /// The operating system and architecture.
    pub system: String,
    /// How many threads wanted to run at the start, on average over a minute; none if the system doesn't say.
    pub load: Option<f64>,
    /// When it began, in UTC.
    pub date: String,
    /// What was typed.
    pub command: String,
    /// The versions of the crates that were measured.
    pub versions: BTreeMap<String, String>,
}

impl Environment {
    /// Describes this machine and build.
    pub fn describe(cores: usize) -> Self {
        Self::describe_for(PACKAGE, cores)
    }

    /// The same for the program of another package.
    pub fn describe_for(package: &str, cores: usize) -> Self {
        Self {
            processor: processor(),
            cores,
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            load: load(),
            date: jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC").to_string(),
            command: command_of(package, std::env::args().skip(1)),
            versions: peers::versions(&MEASURED)
                .into_iter()
                .map(|(name, version)| (name.to_owned(), version))
                .collect(),
        }
    }

    /// Whether so much else runs that the figures will be doubtful.
    pub fn is_busy(&self) -> bool {
        self.load.is_some_and(|load| load > 0.5 * self.cores as f64)
    }
}

/// What runs this program with `arguments`.
pub fn command(arguments: impl IntoIterator<Item = String>) -> String {
    command_of(PACKAGE, arguments)
}

/// What runs the program of a package with `arguments`.
pub fn command_of(package: &str, arguments: impl IntoIterator<Item = String>) -> String {
    let quoted =
        |argument: String| match argument.chars().all(|c| c.is_ascii_alphanumeric() || "-_=.,:/+@%".contains(c)) {
            true if !argument.is_empty() => argument,
            _ => format!("'{}'", argument.replace('\'', r"'\''")),
        };
    let program = format!("cargo run --release -p {package} --");
    std::iter::once(program).chain(arguments.into_iter().map(quoted)).collect::<Vec<_>>().join(" ")
}

/// The processor's name, or the architecture's if the system doesn't say.
pub fn processor() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split(':').nth(1));
    model.unwrap_or(std::env::consts::ARCH).trim().to_owned()
}

fn load() -> Option<f64> {
    std::fs::read_to_string("/proc/loadavg").ok()?.split_whitespace().next()?.parse().ok()
}

impl Display for Environment {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let Self { processor, cores, system, load, date, command, versions } = self;
        let load = load.map_or_else(String::new, |load| format!(", load {load} at the start"));
        let versions: Vec<String> = versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
        writeln!(f, "{processor}, {cores} cores{load}; {system}; {date}")?;
        writeln!(f, "{}", versions.join(", "))?;
        write!(f, "$ {command}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_can_be_typed_again() {
        let arguments = ["run", "--keys", "two words", "it's"].map(str::to_owned);
        let typed = command(arguments);
        assert_eq!(typed, r"cargo run --release -p readmostly-bench -- run --keys 'two words' 'it'\''s'");
    }

    #[test]
    fn an_environment_survives_json() {
        let environment = Environment::describe(2);
        let json = serde_json::to_string(&environment).unwrap();
        assert_eq!(serde_json::from_str::<Environment>(&json).unwrap(), environment);
        assert!(environment.versions["papaya"].starts_with("0.2"), "{environment}");
        assert!(environment.versions.values().all(|version| version != "unknown"), "{environment}");
    }
}
