#!/usr/bin/env python3
"""Counts the instructions of the hot paths under callgrind and holds them against a baseline.

Counted are the instructions of the program itself: what the C library does (allocation, comparing bytes) depends on its
version and the machine, so it is shown but not judged. Calls of the allocator are counted instead, and are judged. The
counts do not depend on how busy the machine is: on one machine they are the same in every run. Overwrites are the
exception: they use memory again that has become free, and when it does depends on the clock, so they get more room.

Usage: instructions.py PROGRAM [--write]
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

BASELINE = Path(__file__).resolve().parents[1] / "benches" / "instructions.json"
OPERATIONS = ["get-hit", "pinned-get-hit", "get-miss", "overwrite", "insert", "remove"]
KEYS = ["u64", "string"]

# By how much an entry may be above its baseline. Another compiler makes other code, so that it gets more room.
TOLERANCE = 0.03
TOLERANCE_ACROSS_COMPILERS = 0.15
# Allocations per operation are small whole numbers, and a few while a map grows.
ALLOCATION_TOLERANCE = 0.01
# An overwrite uses memory again that has become free, and when it does depends on the clock. Without that it would
# allocate once, and an allocation comes with up to 190 instructions of the program.
REUSING = "overwrite"
MOST_ALLOCATIONS_OF_REUSE = 1.0
INSTRUCTIONS_OF_AN_ALLOCATION = 190

# The function whose calls are counted: the profile starts at nothing when it is entered and is written when it returns.
COUNTED = "instructions::counted"

ALLOCATORS = {"malloc", "calloc", "realloc", "posix_memalign", "aligned_alloc", "memalign"}


@dataclass(frozen=True)
class Count:
    """What one operation does, on average."""

    instructions: float
    allocations: float
    library: float = 0.0  # instructions outside the program


def parse(profile, program):
    """Sums up a callgrind profile: instructions of the program, calls of allocators, instructions elsewhere."""
    own = elsewhere = allocations = 0
    in_program, callee, after_call = False, None, False
    for line in profile.splitlines():
        if line.startswith("ob="):
            in_program = line == f"ob={program}"
        elif line.startswith("cfn="):
            callee = line[4:]
        elif line.startswith("calls="):
            if in_program and callee in ALLOCATORS:
                allocations += int(line[6:].split()[0])
            after_call = True
        elif re.fullmatch(r"\d+ \d+", line):
            # The line after a call has the cost of what was called, which is counted where it arises.
            if not after_call:
                cost = int(line.split()[1])
                own, elsewhere = (own + cost, elsewhere) if in_program else (own, elsewhere + cost)
            after_call = False
    return own, allocations, elsewhere


def count(program, operation, key):
    """Runs one kind of operation under callgrind."""
    with tempfile.TemporaryDirectory() as directory:
        profile = Path(directory) / "profile"
        flags = [f"--zero-before={COUNTED}", f"--dump-after={COUNTED}", "--compress-strings=no", "--compress-pos=no"]
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={profile}", *flags, program, operation, key]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"{' '.join(map(str, command))} failed with status {done.returncode}:\n{done.stderr.strip()}")
        counted = Path(f"{profile}.1")
        if not counted.exists():
            sys.exit(f"{' '.join(map(str, command))}: callgrind found no function {COUNTED}")
        operations = int(done.stdout)
        own, allocations, elsewhere = parse(counted.read_text(encoding="utf-8"), program)
    return Count(round(own / operations, 2), round(allocations / operations, 3), round(elsewhere / operations, 2))


def judge(measured, expected, tolerance, allocation_tolerance):
    """What is to be said of an entry, and whether it fails."""
    if expected is None:
        return "no baseline: take it with --write", True
    change = measured.instructions / expected.instructions - 1
    if measured.allocations > expected.allocations + allocation_tolerance:
        return f"FAILED: more than {expected.allocations:g} allocations", True
    if change > tolerance:
        return f"FAILED: more than +{tolerance:.0%}", True
    if change < -tolerance or measured.allocations < expected.allocations - allocation_tolerance:
        return "better: refresh the baseline with --write", False
    return "", False


def tolerances(name, expected, same_compiler):
    """By how much an entry may be above its baseline: instructions, relatively, and allocations."""
    instructions = TOLERANCE if same_compiler else TOLERANCE_ACROSS_COMPILERS
    if expected is None or not name.startswith(REUSING):
        return instructions, ALLOCATION_TOLERANCE
    allocations = MOST_ALLOCATIONS_OF_REUSE - expected.allocations
    instructions += allocations * INSTRUCTIONS_OF_AN_ALLOCATION / expected.instructions
    return instructions, allocations + ALLOCATION_TOLERANCE


def compiler():
    return subprocess.run(["rustc", "--version"], capture_output=True, text=True, check=True).stdout.strip()


def read_baseline():
    """The compiler of the baseline and its entries; none if there is no baseline."""
    if not BASELINE.exists():
        return None, {}
    baseline = json.loads(BASELINE.read_text(encoding="utf-8"))
    return baseline["compiler"], {name: Count(**entry) for name, entry in baseline["entries"].items()}


def write_baseline(version, counts):
    entries = {
        name: {"instructions": count.instructions, "allocations": count.allocations} for name, count in counts.items()
    }
    BASELINE.write_text(json.dumps({"compiler": version, "entries": entries}, indent=2) + "\n", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=Path, help="the program `instructions` of readmostly-bench")
    parser.add_argument("--write", action="store_true", help="take the counts as the new baseline")
    options = parser.parse_args()
    program = options.program.resolve()
    if not program.exists():
        sys.exit(f"{program} does not exist; expected a release build of `instructions`")

    version = compiler()
    baseline_version, baseline = read_baseline()
    same = version == baseline_version
    tolerance = TOLERANCE if same else TOLERANCE_ACROSS_COMPILERS
    if baseline_version and not same:
        print(f"The baseline was taken with {baseline_version}, this is {version}: an entry may be {tolerance:.0%} above it.")

    row = "{:<24}{:>14}{:>10}{:>9}{:>13}{:>12}  {}"
    print(row.format("per operation", "instructions", "baseline", "change", "allocations", "C library", ""))
    counts, failed = {}, False
    for name in (f"{operation} {key}" for key in KEYS for operation in OPERATIONS):
        counts[name] = measured = count(program, *name.split())
        expected = baseline.get(name)
        verdict, fails = judge(measured, expected, *tolerances(name, expected, same))
        failed |= fails
        before, change = "-", "-"
        if expected:
            before = f"{expected.instructions:.2f}"
            change = f"{measured.instructions / expected.instructions - 1:+.2%}"
        figures = f"{measured.instructions:.2f}", before, change, f"{measured.allocations:g}", f"{measured.library:.2f}"
        print(row.format(name, *figures, "" if options.write else verdict).rstrip(), flush=True)
    if options.write:
        write_baseline(version, counts)
        print(f"written to {BASELINE.name}")
        return 0
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
