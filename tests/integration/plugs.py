"""Pulling plugs while the demo's market crashes: what each is, a run with one, and its verdict.

A run is a fresh node, the market, and one keeper in live mode; the plug is pulled in mid-crash, as
often as asked, at moments drawn from a seed: sometimes while the keeper is at it, sometimes when it
is done. Then the market is held still until nobody is unserved, and chain, ledger and journal are
asked whether all is as it must be. `make plugs` runs many and prints a table.

    python -m tests.integration.plugs [--runs N] [--first SEED] [PLUG ...]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from deploy.devnet.chain.node import Node, NodeOptions
from deploy.devnet.venue.scene import GENESIS_S, Scene
from keeper.app.assembly import Places
from tests.integration.crash_world import Crash
from tests.integration.keeper_process import KeeperProcess, wait_for


BLOCK_TIME_MS = 500
FROZEN_S = 2.0  # more than three block times: the watchdog must bark
DOWN_S = 0.5
DEPTH_MAX = 8
DISK_FULL = 74
# Every file of a keeper is longer than that when its market crashes: nothing can be appended.
NO_BYTES = 1
FILLER_ROWS = 2_000  # each its own transaction, of two pages at least: longer than any journal here


@dataclass
class Run:
    """One crash with plugs pulled in it: who is at work, and what was seen so far."""

    stand: Crash
    keeper: KeeperProcess
    document: dict[str, Any]
    chance: random.Random
    pulls: int = 0
    exits: list[int] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def restart(self, **sections: Any) -> None:
        """Start the keeper again on what it left, with other sections of its configuration."""
        self.keeper = self.stand.follow(self.stand.process(self.document | sections))


Pull = Callable[[Run], None]


@dataclass(frozen=True)
class Plug:
    """What is pulled, and what the configuration must say for it to be possible."""

    pull: Pull
    sections: dict[str, Any] = field(default_factory=dict)
    pulls: int = 3


# ── the plugs ──


def kill_node(run: Run) -> None:
    """End the node as a power cut would; it comes back from a dump some blocks old."""
    stand = run.stand
    dump = stand.node.options.state_file
    assert dump is not None
    kept = wait_for("a whole dump", lambda: _whole(dump, stand.floor), 30.0)
    if run.chance.random() < 0.5:
        stand.driver.step()
    stand.node.kill()
    time.sleep(DOWN_S)
    dump.write_text(kept)  # the kill may have torn the one that was being written
    stand.node.restart()
    assert run.keeper.running, f"a dead node is no reason to end: {run.keeper.tail()}"


def _whole(path: Path, floor: int) -> str:
    """Return the node's dump if it is whole, and of a block with the venue on it; else nothing."""
    text = path.read_text() if path.exists() else ""
    try:
        best = int(str(json.loads(text)["best_block_number"]), 0)
    except json.JSONDecodeError:
        return ""
    return text if best > floor else ""


def freeze_node(run: Run) -> None:
    """Stop the node in the middle of whatever it is answering, and let it go on later."""
    stand = run.stand
    pid = stand.node.pid
    assert pid is not None
    stand.driver.step()
    time.sleep(run.chance.choice((0.0, 0.01, 0.05)))
    os.kill(pid, signal.SIGSTOP)
    try:
        time.sleep(FROZEN_S / 2)
        before = len(run.keeper.events("CommandCommitted"))
        time.sleep(FROZEN_S / 2)
        # The trial of a command has its deadline: without an answer nothing is bound, or sent.
        if len(run.keeper.events("CommandCommitted")) > before:
            run.wrong.append("bound while the node was frozen")
        assert run.keeper.running, f"a frozen node is no reason to end: {run.keeper.tail()}"
    finally:
        os.kill(pid, signal.SIGCONT)


def reorganise(run: Run, depth: int | None = None) -> None:
    """Replace the last blocks by as many empty ones; what was in them leaves the pool too."""
    stand = run.stand
    most = min(DEPTH_MAX, stand.number - stand.floor - 1)
    chosen = run.chance.randint(1, most) if depth is None else depth
    if run.chance.random() < 0.5:
        stand.driver.step()  # and do not wait: the keeper is still at it
    stand.node.call("anvil_reorg", chosen, [])


def fill_journal(run: Run) -> None:
    """Let the keeper run until its journals have all the room they may have."""
    code = _crash_until_it_ends(run)
    if code != DISK_FULL:
        run.wrong.append(f"ended with {code}, not {DISK_FULL}")
    run.restart(journal={})


def fill_disk(run: Run) -> None:
    """Let no file grow any more, as a full disk does: journal, ledger and log at once."""
    resource.prlimit(run.keeper.pid, resource.RLIMIT_FSIZE, (NO_BYTES, NO_BYTES))
    code = _crash_until_it_ends(run)
    if code != DISK_FULL:
        run.wrong.append(f"ended with {code}, not {DISK_FULL}")
    run.restart()


def fill_ledger(run: Run) -> None:
    """Leave the ledger alone without room: the keeper goes on watching and binds nothing new.

    A limit on the length of files tells them apart by their length, so the ledger's write-ahead log
    is made the longest of all first, as after months without a checkpoint.
    """
    stand = run.stand
    run.keeper.kill()
    log = lengthen(Places(run.keeper.data_dir).ledger)
    run.restart()
    keeper = run.keeper
    size = log.stat().st_size
    resource.prlimit(keeper.pid, resource.RLIMIT_FSIZE, (size, size))
    for _ in range(4):
        if not stand.driver.done:
            stand.driver.step()
            keeper.block(stand.head["hash"])
    keeper.wait("closed lanes", lambda: any("PAUSED" in each for each in keeper.readiness()))
    bound = len(keeper.events("CommandCommitted"))
    stand.hold(keeper)
    if len(keeper.events("CommandCommitted")) > bound:
        run.wrong.append("bound without a ledger")
    run.wrong += [f"watching, but {each}" for each in stand.apart(keeper)]
    run.exits.append(keeper.stop())
    run.restart()


def lengthen(ledger: Path) -> Path:
    """Add routes' answers to a ledger nobody has open until its log is megabytes long; the log."""
    log = ledger.with_name(f"{ledger.name}-wal")
    with closing(sqlite3.connect(ledger, isolation_level=None)) as db:
        db.execute("PRAGMA wal_autocheckpoint = 0")
        db.executemany(
            "INSERT INTO delivery VALUES(?, 'filler', 0, 'accepted', NULL, 0)",
            ((f"0x{number:064x}",) for number in range(FILLER_ROWS)),
        )
        # Closing folds the log into the file: what is there before that is put back after it.
        whole = {path: path.read_bytes() for path in (ledger, log)}
    for path, content in whole.items():
        path.write_bytes(content)
    return log


PLUGS: dict[str, Plug] = {
    "node killed": Plug(kill_node),
    "node frozen": Plug(freeze_node),
    "chain reorganised": Plug(reorganise),
    "journal full": Plug(
        fill_journal, {"journal": {"file_bytes_max": 65_536, "total_bytes_max": 1_200_000}}, 1
    ),
    "disk full": Plug(fill_disk),
    "ledger full": Plug(fill_ledger),
}


def _crash_until_it_ends(run: Run) -> int:
    """Play on, waiting for nobody, until the keeper has ended; its exit code."""
    stand = run.stand
    for _ in range(400):
        if not run.keeper.running:
            break
        if stand.driver.done:
            stand.still()
        else:
            stand.driver.step()
        time.sleep(0.02)
    code = run.keeper.exited()
    run.exits.append(code)
    return code


# ── a run ──


@dataclass(frozen=True)
class Outcome:
    """What came of one run, for the table; `wrong` is empty in a good one."""

    pulls: int
    blocks: int
    starts: int
    bids: int
    reverted: int
    orphaned: int
    exits: tuple[int, ...]
    wrong: tuple[str, ...]
    seconds: float


def play(
    name: str, folder: Path, seed: int, *, blocks: int = 40, moments: Sequence[int] | None = None
) -> Outcome:
    """Play one crash with a plug pulled at the given blocks of it, or at some that are drawn."""
    began, plug, chance = time.monotonic(), PLUGS[name], random.Random(seed)
    when = moments if moments is not None else drawn(chance, plug, blocks)
    options = NodeOptions(
        mining=False,
        timestamp=GENESIS_S,
        state_file=folder / "node.json" if plug.pull is kill_node else None,
        state_interval_s=1,
    )
    with Node(options) as node:
        run = begin(node, folder, plug, seed, blocks)
        try:
            while not run.stand.driver.done:
                played = run.stand.driver.played
                if run.pulls < len(when) and played >= when[run.pulls]:
                    run.pulls += 1
                    plug.pull(run)
                else:
                    run.stand.play(run.keeper)
            return replace(conclude(run), seconds=time.monotonic() - began)
        finally:
            for each in run.stand.keepers:
                each.kill()


def drawn(chance: random.Random, plug: Plug, blocks: int) -> list[int]:
    """Return at which blocks a plug is pulled."""
    return sorted(chance.sample(range(10, blocks - 10), plug.pulls))


def begin(node: Node, folder: Path, plug: Plug, seed: int, blocks: int) -> Run:
    """Open the market and start the keeper."""
    stand = Crash(node, folder, Scene(seed=seed, accounts=60, blocks=blocks))
    document = stand.document(
        strategy="dutch_auction", bidders=stand.bidders, profit_min_usd=1.0, risk_rate=0.0
    )
    # Deadlines as shipped: a node that is frozen must be left, and nothing be bound meanwhile.
    document["chain"] |= {"block_time_ms": BLOCK_TIME_MS, "call_deadline_ms": 2_000}
    document["preflight"] = {"deadline_ms_max": 1_000}
    keeper = stand.follow(stand.process(document | plug.sections))
    return Run(stand, keeper, document, random.Random(seed))


def conclude(run: Run) -> Outcome:
    """Hold the market still until all are served, end the keeper, and judge."""
    stand, wrong = run.stand, run.wrong
    stand.settle(run.keeper)
    wrong += [f"state: {each}" for each in stand.apart(run.keeper)]
    run.exits.append(run.keeper.stop())
    if run.exits[-1] != 0:
        wrong.append(f"ended with {run.exits[-1]}")
    wrong += stand.wrong(run.keeper, [stand.address])
    orphaned = sum(len(each.events("TransactionOrphaned")) for each in stand.keepers[-1:])
    on_chain = stand.sent(stand.address)
    return Outcome(
        pulls=run.pulls,
        blocks=stand.number - stand.floor,
        starts=len(stand.happened("SolventAuctionStarted")),
        bids=len(stand.happened("Bid")),
        reverted=sum(not each.succeeded for each in on_chain),
        orphaned=orphaned,
        exits=tuple(run.exits),
        wrong=tuple(wrong),
        seconds=0.0,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run every plug so many times and print a line for each; 1 where anything was wrong."""
    parser = argparse.ArgumentParser(prog="make plugs")
    parser.add_argument("--runs", type=int, default=3, help="of each plug")
    parser.add_argument("--first", type=int, default=1, help="seed of the first run")
    parser.add_argument("plugs", nargs="*", metavar="PLUG", help=f"of: {', '.join(PLUGS)}")
    chosen = parser.parse_args(arguments)
    failed = False
    print(f"{'plug':<18} {'seed':>4}  {HEADS}")
    for name in chosen.plugs or PLUGS:
        for seed in range(chosen.first, chosen.first + chosen.runs):
            with tempfile.TemporaryDirectory(prefix="keeper-plugs-") as folder:
                outcome = play(name, Path(folder), seed)
            print(f"{name:<18} {seed:>4}  {line_of(outcome)}", flush=True)
            for each in outcome.wrong:
                print(f"    WRONG: {each}", flush=True)
            failed |= bool(outcome.wrong)
    print(
        "wrong, see above" if failed else "state equal to the chain's, nothing sent that should not"
    )
    return 1 if failed else 0


HEADS = "pulls blocks starts  bids reverted orphaned exits           wrong seconds"


def line_of(outcome: Outcome) -> str:
    """Return an outcome as a row of the table."""
    exits = ",".join(map(str, outcome.exits))
    return (
        f"{outcome.pulls:>5} {outcome.blocks:>6} {outcome.starts:>6} {outcome.bids:>5} "
        f"{outcome.reverted:>8} {outcome.orphaned:>8} {exits:<15} {len(outcome.wrong):>5} "
        f"{outcome.seconds:>7.1f}"
    )


if __name__ == "__main__":
    sys.exit(main())
