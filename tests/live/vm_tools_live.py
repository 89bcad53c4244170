# SPDX-License-Identifier: GPL-2.0-only
"""What the live tests of the tools about VMs share: a round of a known guest under one of them."""

import collections

import kvm_live as kvm
import vtrace_live as live


def value(row, name):
    """A metric of a row; 0 if it is not there."""
    return row["metrics"].get(name, {"value": 0})["value"]


def labels(row):
    return row["entity"].get("labels", {})


class Tool(live.TestCase):
    """`self.tool` is traced."""

    tool = None

    def setUp(self):
        kvm.need_kvm()
        super().setUp()

    def need_exits(self):
        if kvm.exit_codes() is None:
            self.skipTest(f"KVM is neither SVM nor VMX here ({kvm.flavour()}): no kvm_exit")

    def traced(self, work, *arguments, prefix=()):
        """What work() returns, and the reports of the windows that it was in."""
        with live.Tracer(self.tool, *arguments, "--format", "json", 0.5, prefix=prefix) as tracer:
            tracer.wait_report()
            first = len(tracer.lines)
            result = work()
            tracer.stop()
            reports = tracer.reports(first)
        for report in reports:
            self.assertEqual(report["loss"]["map_full"], 0, report["loss"])
            for text in report["loss"]["fallbacks"]:
                self.assertNotIn("no room", text)
                self.assertNotIn("without their time", text)
        return result, reports

    def rows(self, reports, guest, nested):
        """The nested rows of one VM, by its process."""
        return [inner for report in reports for row in report["rows"]
                if row["entity"].get("pid") == guest.pid for inner in row[nested]]

    def counts(self, reports, guest, nested):
        """{name of a nested row: how often}"""
        found = collections.Counter()
        for row in self.rows(reports, guest, nested):
            found[row["entity"]["name"]] += value(row, "count")
        return found

    def sum_of(self, reports, guest, nested, name, metric):
        return sum(value(row, metric) for row in self.rows(reports, guest, nested)
                   if row["entity"]["name"] == name)
