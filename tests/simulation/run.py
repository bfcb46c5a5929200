"""Many seeds, in as many processes as there are cores: `make simulate SEEDS=n FIRST=k`.

Every seed drives the pure machine; every `SHELL_EVERY`th drives the real shell too. A seed that
fails prints the rule it broke and the command that repeats it alone, and the exit code is 1.
"""

import argparse
import multiprocessing
import os
import sys
import time
import traceback
from collections.abc import Iterator
from typing import NamedTuple

from tests.simulation.checkers import Violated
from tests.simulation.machine_run import MachineRun, Tally
from tests.simulation.shell_run import run_shell


REPLAY_EVERY = 5  # replaying costs a third of a run
SHELL_EVERY = 40
FAILURES_SHOWN_MAX = 10


class Outcome(NamedTuple):
    """What became of one seed; `problem` is None where every rule held."""

    seed: int
    machine: Tally
    shell: Tally
    problem: str | None


def simulate(seed: int, *, replay: bool, shell: bool) -> Outcome:
    """Run one seed; never raises."""
    machine, in_shell = Tally(), Tally()
    try:
        machine = MachineRun(seed).run(replay=replay)
        if shell:
            in_shell = run_shell(seed)
    except Exception as error:  # noqa: BLE001 - whatever ends a run is what the seed found
        return Outcome(seed, machine, in_shell, told(error))
    return Outcome(seed, machine, in_shell, None)


def told(error: BaseException) -> str:
    """Return what failed in a line or, where it was no rule, with where it happened."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, Violated):
        return str(error)
    return "".join(traceback.format_exception(error, limit=-4)).rstrip()


def command(seed: int) -> str:
    """Return the command that repeats a seed alone, machine and shell."""
    return f"python -m tests.simulation.run --seeds 1 --first {seed} --all"


def _simulate(task: tuple[int, bool]) -> Outcome:
    seed, everything = task
    replay = everything or seed % REPLAY_EVERY == 0
    return simulate(seed, replay=replay, shell=everything or seed % SHELL_EVERY == 0)


def outcomes(seeds: range, *, everything: bool, processes: int) -> Iterator[Outcome]:
    """Yield what became of each seed, in order."""
    tasks = [(seed, everything) for seed in seeds]
    if processes == 1 or len(tasks) == 1:
        yield from map(_simulate, tasks)
        return
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        yield from pool.imap(_simulate, tasks, chunksize=4)


def main(arguments: list[str] | None = None) -> int:
    """Run the seeds asked for; return the exit code."""
    parser = argparse.ArgumentParser(prog="tests.simulation.run", description=__doc__)
    parser.add_argument("--seeds", type=int, default=100, help="how many")
    parser.add_argument("--first", type=int, default=1, help="the first of them")
    parser.add_argument("--all", action="store_true", help="replay and shell on every seed")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args(arguments)
    started = time.monotonic()
    machine, shell, failed = Tally(), Tally(), 0
    seeds = range(given.first, given.first + given.seeds)
    shells = 0
    for each in outcomes(seeds, everything=given.all, processes=given.processes):
        machine.add(each.machine)
        shell.add(each.shell)
        shells += each.shell.events > 0
        if each.problem is not None:
            failed += 1
            if failed <= FAILURES_SHOWN_MAX:
                print(f"seed {each.seed}: {each.problem}\n  repeat: {command(each.seed)}")
        if each.seed % 200 == 0:
            print(f"  ... seed {each.seed}, {failed} failed", flush=True)
    spent_s = time.monotonic() - started
    for name, count, tally in (("machine", given.seeds, machine), ("shell", shells, shell)):
        print(
            f"{name}: {count} seeds, {tally.events} events, {tally.blocks} blocks, "
            f"{tally.rewinds} rewinds, {tally.commands} commands {tally.by_kind}"
        )
    rate = (machine.events + shell.events) / spent_s
    print(f"{failed} of {given.seeds} seeds failed in {spent_s:.1f} s ({rate:.0f} events/s)")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
