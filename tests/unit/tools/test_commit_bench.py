# SPDX-License-Identifier: BSD-3-Clause
"""What tools/bench commit makes of the metrics page, and how it judges."""
import os
import sys
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(sys.argv.pop(), "tools", "lib"))
import commit_bench as cb  # noqa: E402

PAGE = """# TYPE headrace_ack_latency_seconds histogram
headrace_ack_latency_seconds_bucket{worker="0",le="0.001"} 10
headrace_ack_latency_seconds_bucket{worker="0",le="0.002"} 30
headrace_ack_latency_seconds_bucket{worker="0",le="+Inf"} 30
headrace_ack_latency_seconds_bucket{worker="1",le="0.001"} 5
headrace_ack_latency_seconds_bucket{worker="1",le="0.002"} 5
headrace_ack_latency_seconds_bucket{worker="1",le="+Inf"} 6
headrace_view_latency_seconds_bucket{view="redis",le="0.001"} 1
headrace_view_latency_seconds_bucket{view="redis",le="+Inf"} 1
headrace_view_latency_seconds_bucket{view="topics",le="0.001"} 0
headrace_view_latency_seconds_bucket{view="topics",le="+Inf"} 7
"""
INF = float("inf")


class Histograms(unittest.TestCase):
    def test_rows_of_all_workers_are_added_bucket_by_bucket(self):
        self.assertEqual(cb.histogram(PAGE, cb.ACK), {0.001: 15, 0.002: 20, INF: 1})

    def test_only_the_view_that_is_asked_for_counts(self):
        self.assertEqual(cb.histogram(PAGE, cb.VIEW, view="topics"), {0.001: 0, INF: 7})
        self.assertEqual(cb.histogram(PAGE, cb.VIEW, view="nobody"), {})

    def test_what_was_there_before_the_load_does_not_count(self):
        before, after = {0.001: 100, 0.002: 0}, {0.001: 100, 0.002: 10}
        found = cb.quantiles(before, after)
        self.assertEqual(found["n"], 10)
        self.assertAlmostEqual(found["p50"], 1.5)
        self.assertAlmostEqual(found["p99"], 1.99)

    def test_nothing_counted_is_no_figure(self):
        self.assertIsNone(cb.quantiles({0.001: 5}, {0.001: 5}))
        self.assertIsNone(cb.quantiles({}, {}))

    def test_what_is_above_the_last_bound_counts_as_that(self):
        found = cb.quantiles({}, {0.001: 0, 0.002: 1, INF: 99})
        self.assertAlmostEqual(found["p99"], 2.0)


class Judging(unittest.TestCase):
    def results(self, p50, cycle):
        results = cb.Results(time.monotonic() + 60)
        results.add("whole, 100k", {"ack": {"p50": p50, "p99": 9.0}})
        results.add("plain, 100k", {"cycle": {"p50": cycle}})
        return results

    def find(self, results, words):
        return next(r for r in cb.wanted(results) if words in r[0])

    def test_the_ratio_is_of_the_same_rate(self):
        _, found, limit = self.find(self.results(2.0, 20.0), "cycle, at 100,000/s")
        self.assertAlmostEqual(found, 0.1)
        self.assertEqual(limit, 0.2)

    def test_what_was_not_measured_has_no_figure(self):
        _, found, _ = self.find(self.results(2.0, None), "cycle, at 100,000/s")
        self.assertIsNone(found)
        self.assertIsNone(self.find(self.results(2.0, 20.0), "30 partitions")[1])

    def test_rounds_are_judged_by_their_median(self):
        results = self.results(2.0, 20.0)
        for p50 in (9.0, 3.0):
            results.add("whole, 100k", {"ack": {"p50": p50}})
        self.assertEqual(results.get("whole, 100k", "ack", "p50"), 3.0)

    def test_a_cell_that_fails_is_named_and_stops_nothing(self):
        results = self.results(2.0, 20.0)
        with results.trying("broken") as go:
            self.assertTrue(go)
            raise cb.Trouble("no broker")
        self.assertIn("broken", results.troubles[0])

    def test_when_the_time_is_over_cells_are_left_out_by_name(self):
        results = cb.Results(time.monotonic() - 1)
        with results.trying("late") as go:
            self.assertFalse(go)
        self.assertIn("late", results.troubles[0])


if __name__ == "__main__":
    unittest.main()
