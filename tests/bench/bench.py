#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""What vtrace costs, beside an empty program on the same hook and beside its peers, in one run.

Run as root from the top of the repository, after a build. In every round every tracer has its turn,
and figures are compared within a round: ratios carry over to other machines, nanoseconds do not.
"""

import argparse
import datetime
import os
import pathlib
import platform
import sys

# Root must not leave compiled files in the user's checkout.
sys.dont_write_bytecode = True

try:
    import common
    import loads
    import table
    from measure import Setup, log
    from part_block import part_block
    from part_cpu import part_cpu
    from part_diagnose import part_diagnose
    from part_diagnosis import diagnosis
    from part_drop import part_drop
    from part_entities import part_entities
    from part_guest import part_guest
    from part_irq import part_irq
    from part_kvm import part_kvm
    from part_net import part_net, part_traffic
    from part_netq import part_netq
    from part_offcpu import part_offcpu
    from part_scale import part_scale
    from part_small import part_small
    from part_startup import part_startup
except OSError as error:  # no libbpf.so.1, or a kernel without BTF
    sys.exit(f"bench: {error}")

README = pathlib.Path("README.md")
PARTS = {"small": part_small, "cpu": part_cpu, "offcpu": part_offcpu, "startup": part_startup,
         "scale": part_scale, "entities": part_entities, "kvm": part_kvm,
         "guest": part_guest, "block": part_block, "net": part_net, "traffic": part_traffic,
         "irq": part_irq, "drop": part_drop, "netq": part_netq, "diagnose": part_diagnose}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--rounds", type=int, default=5, help="of every measurement (default 5)")
    add("--seconds", type=float, default=1, help="of a window; twice that at scale (default 1)")
    add("--only", choices=PARTS, help="one part instead of all")
    add("--build", default="build", metavar="DIR", help="where the programs are (default build)")
    add("--write-readme", action="store_true", help="put the tables into README.md")
    add("--ratios", action="store_true", help="print no times: for an emulated machine")
    add("--diagnosis", action="store_true", help="instead: how often diagnose is right")
    add("--runs", type=int, default=20, help="of each bottleneck, with --diagnosis (default 20)")
    add("--seed", type=int, help="of what is random, with --diagnosis (default: another each time)")
    add("--bottleneck", metavar="NAME", help="one, with --diagnosis: a rule, or as in the tables")
    add("--strict", action="store_true", help="exit with 1 if a target is missed")
    args = parser.parse_args()
    if args.rounds < 1 or args.seconds <= 0 or args.runs < 1:
        parser.error("--rounds, --seconds and --runs must be positive")
    if args.write_readme and (args.only or args.bottleneck):
        parser.error("--write-readme needs all parts")
    return args


def table_of(args: argparse.Namespace) -> str:
    """Which table of the README the run makes."""
    return "diagnosis" if args.diagnosis else "bench"


def heading(what: str) -> str:
    return f"Linux {platform.release()}, {os.cpu_count()} CPUs, {datetime.date.today()}; {what}"


def prepare(args: argparse.Namespace) -> Setup:
    build = pathlib.Path(args.build)
    vtrace = os.environ.get("VTRACE", str(build / "vtrace"))
    herd, pingpong = str(build / "wl_herd"), str(build / "wl_pingpong")
    for program in (vtrace, herd, pingpong):
        if not os.access(program, os.X_OK):
            sys.exit(f"bench: {program} is not there: build first")
    if os.geteuid() != 0:
        sys.exit("bench: needs root")
    if args.write_readme:
        try:
            table.around_markers(README, table_of(args))
        except (OSError, ValueError) as problem:
            sys.exit(f"bench: {problem}")
    # The last CPU, as the first one serves most interrupts.
    cpu = max(os.sched_getaffinity(0))
    return Setup(args.rounds, args.seconds, vtrace, herd, loads.PingPong(pingpong, cpu))


def run_parts(names: list[str], setup: Setup, only_ratios: bool) -> str:
    texts = [
        heading(f"medians of {setup.rounds} interleaved rounds")
        + ("." if only_ratios else ", lowest and highest in brackets.")
    ]
    for name in names:
        try:
            section = PARTS[name](setup)
            texts.append((section.only_ratios() if only_ratios else section).markdown())
        except (common.NotMeasured, OSError) as problem:
            setup.problems.append(f"{name}: {problem}")
    return "\n\n".join(texts)


def main() -> int:
    args = arguments()
    setup = prepare(args)
    common.exit_on_signals()
    common.private_tracefs()
    if args.diagnosis:
        text = heading(diagnosis(setup.vtrace, args.build, args.runs, args.seed, args.bottleneck,
                                 setup.targets, setup.problems))
    else:
        common.look_at_once()
        text = run_parts([args.only] if args.only else list(PARTS), setup, args.ratios)
    print(text)
    for problem in dict.fromkeys(setup.problems):
        log(f"not measured as it should be: {problem}")
    for target in setup.targets.missed:
        log(f"target missed: {target}")
    if setup.problems:
        return 1  # nor does it belong into the README
    if args.write_readme:
        table.write_between_markers(README, table_of(args), text)
    return 1 if args.strict and setup.targets.missed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
