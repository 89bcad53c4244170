#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Holds the generated parts of README.md against the program: readme_check.py VTRACE [--write]."""

import json
import pathlib
import subprocess
import sys

README = pathlib.Path(__file__).resolve().parents[1] / "README.md"


def tools_table(vtrace):
    listed = subprocess.run([vtrace, "list", "--format", "json"], check=True, capture_output=True)
    rows = ["| tool | answers |", "|---|---|"]
    for tool in json.loads(listed.stdout)["tools"]:
        rows.append(f"| `{tool['name']}` | {tool['summary']} |")
    return "\n".join(rows)


def rules_table(vtrace):
    listed = subprocess.run([vtrace, "rules", "--format", "json"], check=True, capture_output=True)
    rows = ["| rule | finds | by the figures of |", "|---|---|---|"]
    for rule in json.loads(listed.stdout)["rules"]:
        tools = ", ".join(f"`{tool}`" for tool in rule["tools"])
        rows.append(f"| `{rule['rule']}` | {rule['summary']} | {tools} |")
    return "\n".join(rows)


def help_text(vtrace):
    shown = subprocess.run([vtrace, "runqlat", "--help"], check=True, capture_output=True, text=True)
    # The path that the program was started by is not of interest.
    text = shown.stdout.replace(str(vtrace), "vtrace")
    return "```\n" + text.strip() + "\n```"


def replaced(text, name, content):
    begin, end = f"<!-- {name}:begin -->\n", f"\n<!-- {name}:end -->"
    head, _, rest = text.partition(begin)
    _, marker, tail = rest.partition(end)
    if not marker:
        sys.exit(f"README.md: no marks for the part {name}")
    return head + begin + content + end + tail


def main():
    vtrace, write = sys.argv[1], "--write" in sys.argv[2:]
    before = README.read_text()
    after = replaced(before, "tools", tools_table(vtrace))
    after = replaced(after, "rules", rules_table(vtrace))
    after = replaced(after, "help", help_text(vtrace))
    if before == after:
        return
    if not write:
        sys.exit("README.md is stale: python3 tests/readme_check.py build/vtrace --write")
    README.write_text(after)


if __name__ == "__main__":
    main()
