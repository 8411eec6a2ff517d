"""Tests of compare.py: `python3 -m unittest discover -s benches/go`."""

import re
import tempfile
import unittest
from pathlib import Path

import compare

OUTPUT = """goos: linux
BenchmarkLoadMostlyHits/*sync.Map           \t  758341\t        30.23 ns/op
BenchmarkMapLoadMostlyHits/*sync.Map-2      \t 1683064\t        12.26 ns/op\t       5 B/op\t       0 allocs/op
BenchmarkMapClear/SyncMap-16                \t     500\t     12345 ns/op
PASS
"""


def row(benchmark, go, ours):
    made = compare.Row(benchmark, 1)
    for go_ns, our_ns in zip(go, ours):
        made.add("Go", 10, go_ns)
        made.add(compare.SYNC_MAP, 20, our_ns)
    return made


class Results(unittest.TestCase):
    def test_are_read_with_and_without_threads_and_allocations(self):
        expected = [
            ("LoadMostlyHits", 1, 758341, 30.23),
            ("LoadMostlyHits", 2, 1683064, 12.26),
            ("Clear", 16, 500, 12345.0),
        ]
        self.assertEqual(compare.parse(OUTPUT), expected)

    def test_are_written_as_they_are_read(self):
        with tempfile.TemporaryDirectory() as directory:
            compare.write_for_benchstat(Path(directory), [row("Clear", [20, 30], [10, 10])])
            lines = (Path(directory) / "go.txt").read_text(encoding="utf-8").splitlines()
        self.assertEqual(lines[-2:], ["BenchmarkClear 10 20 ns/op", "BenchmarkClear 10 30 ns/op"])


class Ratios(unittest.TestCase):
    def test_are_taken_within_a_round(self):
        self.assertEqual(row("Clear", [2, 20, 200], [1, 10, 100]).ratio("Go"), compare.Ratio(2, 2, 2))

    def test_that_spread_further_than_they_differ_from_one_are_unclear(self):
        self.assertTrue(compare.Ratio(2.0, 1.6, 2.4).is_clear())
        self.assertEqual(str(compare.Ratio(2.0, 1.6, 2.4)), "2.00 (1.60 .. 2.40)")
        self.assertFalse(compare.Ratio(1.1, 1.0, 1.2).is_clear())
        self.assertEqual(str(compare.Ratio(0.9, 0.8, 1.0)), "unclear (0.80 .. 1.00)")

    def test_of_a_single_round_have_no_spread(self):
        self.assertEqual(row("Clear", [3], [2]).ratio("Go"), compare.Ratio(1.5, 1.5, 1.5))


class Goals(unittest.TestCase):
    def test_are_to_be_faster_than_go(self):
        self.assertIsNone(row("Clear", [3, 3], [2, 2]).verdict("Go"))
        self.assertIn("slower than Go", row("Clear", [2, 2], [3, 3]).verdict("Go"))
        self.assertIn("not clearly faster", row("Clear", [2, 4], [3, 3]).verdict("Go"))

    def test_are_met_if_only_the_factor_is_unclear(self):
        unclear = row("Clear", [22, 22, 24, 60, 60], [20] * 5)
        self.assertFalse(unclear.ratio("Go").is_clear())
        self.assertIsNone(unclear.verdict("Go"))

    def test_are_twice_as_fast_for_loads(self):
        self.assertIsNone(row("LoadMostlyHits", [4, 4], [2, 2]).verdict("Go"))
        self.assertIn("less than 2 x as fast", row("LoadMostlyHits", [3, 3], [2, 2]).verdict("Go"))

    def test_name_benchmarks_that_exist(self):
        source = (compare.REPOSITORY / "benches/src/go/benchmarks.rs").read_text(encoding="utf-8")
        names = re.findall(r'name: "(\w+)"', source)
        self.assertEqual(len(names), 24)
        self.assertLessEqual(set(compare.GOALS), set(names))


class Tables(unittest.TestCase):
    def test_align_all_columns_but_the_first_to_the_right(self):
        self.assertEqual(compare.table(["a", "b"], [["x", "100"], ["yy", "1"]]), "a     b\n--  ---\nx   100\nyy    1")


if __name__ == "__main__":
    unittest.main()
