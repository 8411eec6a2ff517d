"""Tests of instructions.py: `python3 -m unittest discover -s ci`."""

import unittest

import instructions
from instructions import Count, judge, tolerances

PROFILE = """events: Ir

ob=/usr/lib/libc.so.6
fn=malloc
10 200
11 50

ob=/target/instructions
fn=instructions::counted
5 1000
cob=/usr/lib/libc.so.6
cfn=malloc
calls=20 10
6 250
cfn=readmostly::insert
calls=10 7
6 90
7 30
fn=readmostly::insert
7 90

totals: 1370
"""


class Profiles(unittest.TestCase):
    def test_are_summed_up_without_what_is_called(self):
        self.assertEqual(instructions.parse(PROFILE, "/target/instructions"), (1120, 20, 250))

    def test_of_another_program_have_nothing(self):
        self.assertEqual(instructions.parse(PROFILE, "/target/other"), (0, 0, 1370))


class Judgements(unittest.TestCase):
    def judge(self, instructions, allocations=1.0):
        return judge(Count(instructions, allocations), Count(100.0, 1.0), 0.03, 0.01)

    def test_allow_three_percent(self):
        self.assertEqual(self.judge(102.9), ("", False))
        self.assertEqual(self.judge(97.5), ("", False))

    def test_fail_above(self):
        self.assertEqual(self.judge(103.2), ("FAILED: more than +3%", True))

    def test_fail_on_another_allocation(self):
        self.assertEqual(self.judge(90.0, 2.0), ("FAILED: more than 1 allocations", True))

    def test_mention_what_got_better(self):
        self.assertIn("better", self.judge(96.0)[0])
        self.assertIn("better", self.judge(100.0, 0.0)[0])
        self.assertFalse(self.judge(96.0)[1])

    def test_give_room_to_what_depends_on_the_clock(self):
        expected = Count(400.0, 0.5)
        # As if nothing were used again: half an allocation more, with 95 instructions.
        measured = Count(495.0, 1.0)
        self.assertEqual(judge(measured, expected, *tolerances("overwrite u64", expected, True)), ("", False))
        for worse in (Count(510.0, 1.0), Count(400.0, 1.1)):
            self.assertTrue(judge(worse, expected, *tolerances("overwrite u64", expected, True))[1])
        self.assertEqual(tolerances("get-hit u64", expected, True), (0.03, 0.01))
        self.assertEqual(tolerances("overwrite u64", None, True), (0.03, 0.01))

    def test_fail_without_a_baseline(self):
        self.assertTrue(judge(Count(1.0, 0.0), None, 0.03, 0.01)[1])


if __name__ == "__main__":
    unittest.main()
