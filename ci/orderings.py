#!/usr/bin/env python3
"""Weakens each memory ordering of src/raw and src/reclaim in turn and demands that a model or a sanitizer notices.

An ordering that can be weakened without any check failing is not tested, or not needed. docs/orderings.md has one row
per ordering, with what found its absence, and a reason for each that nothing finds.

    ci/orderings.py --list            the sites and their mutants
    ci/orderings.py --check           whether docs/orderings.md fits the code; takes no time
    ci/orderings.py --only walk       the mutants of the sites whose key matches
    ci/orderings.py --resume r.json --write
                                      go on with a run, then put what it found into docs/orderings.md

A mutant is built and run in a copy of the tree under target/orderings; the tree itself is never changed. Exit status:
0 all is well, 1 a survivor without a reason or a document that does not fit, 2 something kept the tool from an answer.
"""

import argparse
import concurrent.futures
import fcntl
import hashlib
import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

# No file beside the sources.
sys.dont_write_bytecode = True

from ordering_sites import Misfit, all_sites, code_of

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs/orderings.md"
SCRATCH = ROOT / "target/orderings"

# ----------------------------------------------------------------------------------------------------------------------
# Killers

# Lines that name what failed. Those of the first kind settle the matter, and the run is ended; those of the second are
# looked for when a command has failed without one of the first. The last line of a kind that was aborted is its last.
VERDICTS = (
    r"^test (\S+)(?: - should panic)? \.\.\. FAILED",
    r"^SUMMARY: ThreadSanitizer: (data race|heap-use-after-free|[\w-]+)",
)
HINTS = (r"^test (\S+)(?: - should panic)? \.\.\. *$", r"^thread '([^']+)' .*panicked", r"^(?:FAILED|failed):? *(\S+)")

# The compiler's words for a mutant that is no program. Not a kill.
NOT_BUILT = r"^error: could not compile|^error\[E\d+\]"

# What a script answers when a tool that it needs is missing: see ci/lib.sh.
SKIPPED = 77

# A check that hangs has found a mutant if it usually ends in this part of the time it was given.
QUICK = 0.1

# A check that depends on luck must pass so often on the tree as it is,
SOUND_RUNS = 5
# and a mutant that it failed on must fail again in so many runs more.
CONFIRMING_RUNS = 3


@dataclass(frozen=True)
class Killer:
    """A check that may notice a mutant: a shell command that fails then."""

    name: str
    command: str
    # The files whose sites it can say something about, as a regular expression.
    files: str
    # Seconds it may take, the build included.
    timeout: int
    # Whether it always says the same. A real run of threads does not, and a sanitizer may give false alarms.
    steady: bool = True


TSAN = (
    "-Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer --cfg readmostly_tsan "
    "-Clink-arg=-Wl,--wrap=__tsan_atomic64_fetch_sub"
)
STRESS = "cargo +nightly test -p readmostly --release --target x86_64-unknown-linux-gnu --test stress"

# From cheap to dear: a mutant meets them in this order, until one fails.
KILLERS = (
    Killer("contract", "ci/loom.sh contract --no-controls", r"^raw/|^reclaim/domain\.rs", 900),
    Killer("asymmetric", "ci/loom.sh asymmetric --only litmus", r"^reclaim/asymmetric\.rs", 1800),
    Killer("epoch", "ci/loom.sh epoch --no-controls --only litmus", r"^reclaim/crossbeam\.rs", 900),
    Killer(
        "tsan-crossbeam",
        f"TSAN_OPTIONS=halt_on_error=1 RUSTFLAGS='{TSAN} --cfg readmostly_crossbeam --cfg crossbeam_sanitize_thread' "
        f"{STRESS} --target-dir target/crossbeam -- --seconds 1 --except panics --except first-use --except stall",
        r"^reclaim/crossbeam\.rs",
        1800,
        steady=False,
    ),
    Killer(
        "tsan",
        f"TSAN_OPTIONS=halt_on_error=1 RUSTFLAGS='{TSAN}' "
        f"{STRESS} -- --seconds 1 --except panics --except first-use --except stall",
        r"^raw/|^reclaim/(domain|asymmetric)\.rs",
        1800,
        steady=False,
    ),
)

# ----------------------------------------------------------------------------------------------------------------------
# Running


class Interrupted(Exception):
    pass


class Children:
    """The commands that run, so that an interrupt can end them all."""

    def __init__(self):
        self.lock, self.running, self.stopped = threading.Lock(), set(), False

    def start(self, command, directory):
        # Flags of the caller's would replace those of the killers.
        replaced = r"CARGO_\w*TARGET|RUST\w*FLAGS"
        keep = {name: value for name, value in os.environ.items() if not re.match(replaced, name)}
        with self.lock:
            if self.stopped:
                raise Interrupted
            process = subprocess.Popen(
                ["bash", "-c", command],
                cwd=directory,
                env={**keep, "CARGO_TERM_COLOR": "never", "RUST_BACKTRACE": "0"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                errors="replace",
                text=True,
                start_new_session=True,
            )
            self.running.add(process)
        return process

    def end(self, process):
        """Ends the command and what it has started, and forgets it."""
        kill(process)
        process.wait()
        process.stdout.close()
        with self.lock:
            self.running.discard(process)

    def stop(self):
        with self.lock:
            self.stopped = True
            for process in self.running:
                kill(process)


def kill(process):
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


@dataclass
class Run:
    """How one killer ended: `passed`, `failed`, `failed once`, `hung`, `skipped` or `not built`."""

    end: str
    seconds: float
    test: str = ""


def run_killer(killer, directory, log, children):
    started, process = time.monotonic(), children.start(killer.command, directory)
    late = threading.Event()
    timer = threading.Timer(killer.timeout, lambda: (late.set(), kill(process)))
    timer.start()
    end, test, lines = "", "", []
    try:
        with open(log, "w") as out:
            for line in process.stdout:
                out.write(line)
                lines.append(line)
                if re.search(NOT_BUILT, line):
                    end = "not built"
                elif not end and (match := first_match(VERDICTS, line)):
                    end, test = "failed", match
                    break
        if not end:
            status = process.wait()
            end = {0: "passed", SKIPPED: "skipped"}.get(status, "failed")
            test = f"status {status}"
    finally:
        timer.cancel()
        children.end(process)
    if children.stopped:
        raise Interrupted
    if late.is_set() and end != "not built":
        end, test = "hung", ""
    elif end == "failed" and test.startswith("status "):
        hints = (hint for line in reversed(lines) if (hint := first_match(HINTS, line)))
        test = next(hints, test)
    return Run(end, round(time.monotonic() - started, 1), test)


def first_match(patterns, line):
    return next((match[1] for pattern in patterns if (match := re.search(pattern, line))), None)


class Copy:
    """A copy of the tree to build mutants in. Kept from run to run, since a build that starts anew takes minutes."""

    def __init__(self, directory):
        self.directory = directory
        self.refresh()

    def refresh(self):
        """Makes it the tree again. What is the same already is left alone, or it would be built once more."""
        command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
        wanted = {name for name in listed.split("\0") if name and (ROOT / name).is_file()}
        for name in wanted:
            source, target = ROOT / name, self.directory / name
            content = source.read_bytes()
            if not target.is_file() or target.read_bytes() != content:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)
            target.chmod(source.stat().st_mode & 0o777)
        for path in self.directory.rglob("*.rs"):
            name = path.relative_to(self.directory)
            if str(name) not in wanted and "target" not in name.parts:
                path.unlink()

    def mutated(self, site, weaker):
        return Mutated(self.directory / "src" / site.file, site, weaker)


class Mutated:
    """A file with one ordering weakened, until the end of the `with`."""

    def __init__(self, path, site, weaker):
        self.path, self.text = path, path.read_text()
        self.changed = site.mutate(self.text, weaker)

    def __enter__(self):
        self.path.write_text(self.changed)

    def __exit__(self, *_):
        self.path.write_text(self.text)


@dataclass
class Outcome:
    """What became of a mutant: `killed`, `hung` or `survived`, by whom, and how far each killer came."""

    outcome: str = ""
    killer: str = ""
    test: str = ""
    seconds: float = 0.0
    tried: dict = field(default_factory=dict)
    # Of the mutated code, to tell whether a result still means anything.
    code: str = ""

    def finding(self):
        if self.outcome == "killed":
            return f"{self.killer} {self.test}"
        return SURVIVES if self.outcome == "survived" else NO_END


class Results:
    """Outcomes by mutant, in a file that is whole at any time."""

    def __init__(self, path, resume):
        self.path, self.lock = path, threading.Lock()
        self.outcomes = {}
        if resume and path.exists():
            for key, value in json.loads(path.read_text())["mutants"].items():
                self.outcomes[key] = Outcome(**value)

    def get(self, site, weaker):
        return self.outcomes.get(f"{site.key} -> {weaker}")

    def put(self, site, weaker, outcome):
        with self.lock:
            self.outcomes[f"{site.key} -> {weaker}"] = outcome
            mutants = {key: vars(value) for key, value in sorted(self.outcomes.items())}
            self.path.parent.mkdir(parents=True, exist_ok=True)
            whole = self.path.with_suffix(".new")
            whole.write_text(json.dumps({"mutants": mutants}, indent=1) + "\n")
            whole.replace(self.path)


class Campaign:
    """One run of mutants against killers."""

    def __init__(self, sites, killers, results, options):
        self.sites, self.killers, self.results = sites, killers, results
        self.scratch, self.again, self.complete = options.scratch, options.again, not options.killers
        self.jobs = max(1, min(options.jobs, len(sites)))
        self.children, self.baseline = Children(), {}
        self.copies, self.errors, self.done = queue.Queue(), [], 0

    def run(self):
        self.scratch.mkdir(parents=True, exist_ok=True)
        (self.scratch / "logs").mkdir(exist_ok=True)
        with open(self.scratch / "lock", "w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Misfit(f"another run uses {self.scratch}") from None
            self.sites = [site for site in self.sites if self.has_work(site)]
            if self.sites:
                self.run_locked()

    def run_locked(self):
        first = Copy(self.scratch / "copy-0")
        self.measure(first)
        self.copies.put(first)
        for number in range(1, self.jobs):
            self.copies.put(Copy(self.scratch / f"copy-{number}"))
        with concurrent.futures.ThreadPoolExecutor(self.jobs) as pool:
            running = [pool.submit(self.site, site) for site in self.sites]
            try:
                for future in concurrent.futures.as_completed(running):
                    future.result()
            except BaseException:
                self.children.stop()
                pool.shutdown(cancel_futures=True)
                raise

    def measure(self, copy):
        """Runs each killer on the tree as it is: what fails now says nothing about a mutant."""
        for killer in self.killers:
            if not any(re.search(killer.files, site.file) for site in self.sites):
                continue
            for _ in range(1 if killer.steady else SOUND_RUNS):
                run = self.check(killer, copy, f"{killer.name} as it is")
                if run.end != "passed":
                    break
            if run.end == "skipped":
                say(f"left out  {killer.name}: a tool that it needs is missing")
            elif run.end == "passed":
                self.baseline[killer.name] = run.seconds
                say(f"baseline  {killer.name}: {run.seconds:.0f} s")
            else:
                raise Misfit(f"{killer.name} does not pass on the tree as it is: {run.end} {run.test}")
        self.killers = [killer for killer in self.killers if killer.name in self.baseline]

    def verdict(self, killer, copy, title):
        """Runs a killer on a mutant. One failure of an unsteady one is none."""
        run = self.check(killer, copy, title)
        seconds, runs = run.seconds, 0 if killer.steady or run.end != "failed" else CONFIRMING_RUNS
        for _ in range(runs):
            again = self.check(killer, copy, title)
            seconds += again.seconds
            if again.end == "failed":
                return Run("failed", seconds, again.test)
        return Run("failed once" if runs else run.end, seconds, run.test)

    def check(self, killer, copy, title):
        log = self.scratch / "logs" / (re.sub(r"[^\w.]+", "-", title) + ".log")
        return run_killer(killer, copy.directory, log, self.children)

    def to_try(self, site, weaker):
        """The killers that have not tried this mutant yet."""
        able = [killer for killer in self.killers if re.search(killer.files, site.file)]
        known = self.known(site, weaker)
        if not known:
            return able
        if known.outcome == "killed":
            return []
        return able if self.again else [killer for killer in able if killer.name not in known.tried]

    def known(self, site, weaker):
        outcome = self.results.get(site, weaker)
        return outcome if outcome and outcome.code == digest(site, weaker) else None

    def has_work(self, site):
        first, last = site.mutants()
        return any(self.to_try(site, weaker) for weaker in self.wanted(site, first, last))

    def wanted(self, site, first, last):
        """The mutants of a site that are to be tried: the last resort only when all others have survived."""
        known = [self.known(site, weaker) for weaker in first]
        return first + (last if all(outcome and outcome.outcome != "killed" for outcome in known) else [])

    def site(self, site):
        copy = self.copies.get()
        try:
            first, last = site.mutants()
            for weaker in first:
                self.mutant(site, weaker, copy)
            for weaker in self.wanted(site, first, last)[len(first) :]:
                self.mutant(site, weaker, copy)
        finally:
            self.copies.put(copy)

    def mutant(self, site, weaker, copy):
        killers = self.to_try(site, weaker)
        if not killers:
            return
        outcome = (not self.again and self.known(site, weaker)) or Outcome(code=digest(site, weaker))
        outcome.outcome = outcome.outcome or "survived"
        with copy.mutated(site, weaker):
            for killer in killers:
                run = self.verdict(killer, copy, f"{site.key} to {weaker} {killer.name}")
                if run.end in ("not built", "skipped"):
                    self.errors.append(f"{site.key} -> {weaker}: {killer.name}: {run.end}")
                    return say(f"error     {self.errors[-1]}")
                self.judge(outcome, killer, run)
                if outcome.outcome == "killed":
                    break
        self.results.put(site, weaker, outcome)
        self.done += 1
        say(f"{outcome.outcome:9} {site.key} -> {weaker}: {outcome.finding()} ({outcome.seconds:.0f} s)")

    def judge(self, outcome, killer, run):
        outcome.tried[killer.name] = run.end
        outcome.seconds = round(outcome.seconds + run.seconds, 1)
        if run.end == "failed":
            outcome.outcome, outcome.killer, outcome.test = "killed", killer.name, run.test
        elif run.end == "hung":
            # Weaker orderings give a model more to explore, so one that takes long has found nothing yet.
            quick = self.baseline[killer.name] <= QUICK * killer.timeout
            outcome.outcome, outcome.killer, outcome.test = "killed" if quick else "hung", killer.name, "hangs"


def digest(site, weaker):
    """Of the code of a mutant's file, without comments and white space."""
    text = site.mutate((ROOT / "src" / site.file).read_text(), weaker)
    return hashlib.sha256("".join(code_of(text).split()).encode()).hexdigest()[:16]


def say(line):
    print(line, flush=True)


# ----------------------------------------------------------------------------------------------------------------------
# The document

COLUMNS = ("site", "ordering", "partner", "why weaker is wrong", "found by")
SURVIVORS = ("site", "weaker", "why it stays")
# What stands in the last column of the first table besides the names of checks.
NOT_RUN, SURVIVES, NO_END = "-", "survives", "no end"


class Document:
    """docs/orderings.md: a table of sites for each file, under its name, and a table of survivors."""

    def __init__(self, path):
        self.path = path
        self.lines = path.read_text().splitlines() if path.exists() else []
        self.rows, self.survivors, self.faults = {}, {}, []
        file, table = None, None
        for number, line in enumerate(self.lines):
            if match := re.match(r"#+ +`?([\w/.]+\.rs)`?\s*$", line):
                file = match[1]
            cells = [cell.strip() for cell in line.strip().strip("|").split("|")] if line.startswith("|") else None
            if cells is None:
                table = None
            elif tuple(cells) in (COLUMNS, SURVIVORS):
                table = tuple(cells)
            elif table and not set(line) <= set("|-: "):
                self.row(number, file, table, cells)

    def row(self, number, file, table, cells):
        if len(cells) != len(table) or not all(cells):
            self.faults.append(f"line {number + 1}: a row needs {len(table)} cells, none of them empty")
            return
        if table == SURVIVORS:
            rows, key = self.survivors, (plain(cells[0]), plain(cells[1]))
        else:
            rows, key = self.rows, f"{file} {plain(cells[0])} {plain(cells[1])}"
        if key in rows:
            self.faults.append(f"line {number + 1}: a second row for {key}")
        rows[key] = (number, cells)

    def found(self, key):
        """What the row of a site says that its mutants were found by."""
        cell = self.rows[key][1][-1]
        return {} if cell == NOT_RUN else dict(part.partition(": ")[::2] for part in cell.split("; "))

    def check(self, sites):
        """Everything that is wrong with the document."""
        keys = {site.key: site for site in sites}
        faults = list(self.faults)
        faults += [f"no row for: {key}" for key in keys if key not in self.rows]
        faults += [f"a row for what is not there (any more): {key}" for key in self.rows if key not in keys]
        for key in self.rows.keys() & keys.keys():
            faults += self.check_finds(keys[key])
        for key, weaker in self.survivors:
            if key not in keys:
                faults.append(f"a survivor of what is not there (any more): {key}")
            elif key in self.rows and self.found(key).get(weaker, SURVIVES) not in (SURVIVES, NO_END):
                faults.append(f"listed as a survivor, but found: {key} -> {weaker}")
        return faults

    def check_finds(self, site):
        found, (first, last) = self.found(site.key), site.mutants()
        if not found:
            return [f"its mutants have not been run: {site.key}"]
        faults = [f"{site.key}: `found by` says nothing of {weaker}" for weaker in first if not found.get(weaker)]
        for weaker, by in found.items():
            if weaker not in first + last:
                faults.append(f"{site.key}: `found by` speaks of {weaker}, which is no mutant")
            elif by in (SURVIVES, NO_END) and (site.key, weaker) not in self.survivors:
                faults.append(f"{by} without a reason: {site.key} -> {weaker}")
        return faults

    def write(self, sites, results):
        """Puts what was found into the rows of the sites of which all mutants were tried."""
        written = 0
        for site in sites:
            if site.key not in self.rows:
                continue
            first, last = site.mutants()
            outcomes = [(weaker, results.get(site, weaker)) for weaker in first + last]
            outcomes = [(weaker, outcome) for weaker, outcome in outcomes if outcome]
            if not {weaker for weaker, _ in outcomes} >= set(first):
                continue
            number, cells = self.rows[site.key]
            cells[-1] = "; ".join(f"{weaker}: {outcome.finding()}" for weaker, outcome in outcomes)
            self.lines[number] = "| " + " | ".join(cells) + " |"
            written += 1
        self.path.write_text("\n".join(self.lines) + "\n")
        return written


def plain(cell):
    return cell.replace("`", "")


# ----------------------------------------------------------------------------------------------------------------------
# The command


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", action="store_true", help="show sites and mutants, run nothing")
    parser.add_argument("--check", action="store_true", help="compare docs/orderings.md with the code, run nothing")
    parser.add_argument("--write", action="store_true", help="put what was found into docs/orderings.md")
    parser.add_argument("--only", metavar="REGEX", default="", help="only sites whose key matches")
    parser.add_argument("--killers", metavar="A,B", help="only these; there are " + ", ".join(k.name for k in KILLERS))
    parser.add_argument("--jobs", metavar="N", type=int, default=os.cpu_count() or 1, help="mutants at a time")
    parser.add_argument("--resume", metavar="FILE", type=Path, help="go on with the run whose results are in FILE")
    parser.add_argument("--again", action="store_true", help="with --resume: try survivors again with every killer")
    parser.add_argument("--scratch", metavar="DIR", type=Path, default=SCRATCH, help="where to build mutants")
    return parser.parse_args()


def selected_killers(names):
    known = {killer.name: killer for killer in KILLERS}
    names = names.split(",") if names else list(known)
    if unknown := [name for name in names if name not in known]:
        raise Misfit(f"no such killer: {', '.join(unknown)}; there are {', '.join(known)}")
    return [killer for killer in KILLERS if killer.name in names]


def show(sites, skipped):
    for site in sites:
        first, last = site.mutants()
        say(f"{site.key} -> {', '.join(first)}{''.join(f' ({weaker})' for weaker in last)}")
    total = sum(len(site.mutants()[0]) for site in sites)
    say(f"{len(sites)} sites, {total} mutants; {skipped} orderings stand in code for tests")


def check(sites):
    document = Document(DOCUMENT)
    faults = document.check(sites)
    for fault in faults:
        print(f"docs/orderings.md: {fault}", file=sys.stderr)
    if not faults:
        say(f"docs/orderings.md has a row for each of {len(sites)} sites")
    return 1 if faults else 0


def run(sites, options):
    results = Results(options.resume or options.scratch / "results.json", bool(options.resume))
    campaign = Campaign(sites, selected_killers(options.killers), results, options)
    try:
        campaign.run()
    except (KeyboardInterrupt, Interrupted):
        say(f"\ninterrupted; go on with --resume {results.path}")
        return 130
    document = Document(DOCUMENT)
    if options.write:
        say(f"docs/orderings.md: {document.write(sites, results)} rows written")
    return report(sites, results, document, campaign)


def report(sites, results, document, campaign):
    """Says how it stands with all sites, and whether a survivor lacks a reason."""
    counts, unexplained = Counter(), []
    for site in sites:
        first, last = site.mutants()
        for weaker in first + last:
            outcome = results.get(site, weaker)
            if not outcome:
                counts["not tried"] += weaker in first
                continue
            counts[outcome.outcome] += 1
            if outcome.outcome != "killed" and (site.key, weaker) not in document.survivors:
                unexplained.append(f"{outcome.outcome} without a reason: {site.key} -> {weaker}")
    say("\n" + ", ".join(f"{number} {outcome}" for outcome, number in sorted(counts.items()) if number))
    for line in unexplained + [f"error: {error}" for error in campaign.errors]:
        print(line, file=sys.stderr)
    say(f"results: {results.path}; output of every run: {campaign.scratch / 'logs'}")
    if counts["not tried"] and campaign.complete:
        campaign.errors.append("not every mutant could be tried")
        print(campaign.errors[-1], file=sys.stderr)
    return 2 if campaign.errors else 1 if unexplained else 0


def interrupt(*_):
    raise KeyboardInterrupt


def main():
    signal.signal(signal.SIGTERM, interrupt)
    options = arguments()
    try:
        sites, skipped = all_sites(ROOT)
        if options.check:
            return check(sites)
        sites = [site for site in sites if re.search(options.only, site.key)]
        if not sites:
            raise Misfit(f"no site matches {options.only!r}")
        if options.list:
            show(sites, skipped)
            return 0
        return run(sites, options)
    except Misfit as misfit:
        print(f"orderings: {misfit}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
