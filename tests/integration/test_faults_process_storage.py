"""Rows 31 and 33 of the fault matrix: a disk that takes nothing more, and power that goes away."""

from __future__ import annotations

import asyncio
import os
import random
import resource
import shutil
import signal
import sqlite3
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.devnet.chain.node import Node, NodeOptions
from keeper.chain.ledger.rows import CapParameters
from keeper.chain.ledger.store import Ledger
from keeper.domain.errors import StorageError
from tests.integration.keeper_process import KeeperProcess
from tests.integration.keeper_rig import SHORT_VENUE, Rig, rig_in
from tests.integration.lane_world import CHAIN_ID, counted, prepare
from tests.kill9.keeper import Errand, start
from tests.unit.chain.scripted_node import PATIENCE_S


pytestmark = pytest.mark.node


# Row 31: the disk is full -------------------------------------------------------------------------


def fill_the_disk(keeper: KeeperProcess, ledger: Path) -> None:
    """Let no file of the process grow beyond the ledger's log as it is: the largest it writes to.

    What it tells (log, journal) goes on; what it must make durable before it sends cannot.
    """
    size = ledger.with_name(f"{ledger.name}-wal").stat().st_size
    assert size > 2 * max(path.stat().st_size for path in [keeper.log, *keeper.journals()])
    resource.prlimit(keeper.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def used(rig: Rig) -> int:
    return int(rig.node.call("eth_getTransactionCount", rig.lane(), "pending"), 16)


def test_row_31_disk_full_no_send_while_watching_goes_on_and_readiness_is_red(
    tmp_path: Path,
) -> None:
    with rig_in(tmp_path, SHORT_VENUE) as rig:
        first, second = (rig.open_with(usd, rig.perp("10")) for usd in ("100", "900"))
        document = rig.document()
        document["keeper"]["tick_ms"] = 600_000  # a journal that does not grow as time goes by
        keeper = rig.follow(rig.process(document))
        rig.play(keeper, spot=2_970)
        rig.play(keeper)
        assert rig.live(first)
        sent = used(rig)
        fill_the_disk(keeper, keeper.data_dir / "ledger.sqlite")
        lines = [rig.play(keeper, spot=spot) for spot in (2_870, 2_860, 2_850)]
        assert [line["breaches"] for line in lines] == [2, 2, 2], "it watches on, and decides"
        assert used(rig) == sent, "nothing is sent that cannot be made durable"
        assert not rig.live(second)
        refused = {each["reason"] for each in keeper.events("CommandRefused")}
        assert refused
        assert refused <= {"storage", "read_only", "lane_not_ready"}
        assert keeper.lines("ledger_failed")
        assert any(why.startswith("ledger: ") for why in keeper.readiness())
        assert "keeper_refusals_total" in keeper.metrics()
        # With room again, and started again: everything as if nothing had been.
        resource.prlimit(
            keeper.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        )
        assert keeper.stop() == 0
        rig.follow(keeper)
        rig.play(keeper)
        rig.play_until(keeper, lambda: rig.live(second))
        assert used(rig) == sent + 1


@pytest.mark.parametrize("spoiled", ["folder", "file", "neither"])
def test_row_31_a_ledger_that_may_not_be_written_refuses_the_start_with_74(spoiled: str) -> None:
    # Not pytest's own folder, which lies in one that is root's alone.
    with tempfile.TemporaryDirectory() as name:
        ledger = Path(name) / "ledger.sqlite"
        asyncio.run(_open(ledger))
        Path(f"{ledger}.lock").unlink()
        if os.geteuid() == 0:  # root may write everywhere: be somebody whom a mode can stop
            for path in (Path(name), ledger):
                os.chown(path, 65_534, 65_534)
        if spoiled != "neither":
            (ledger if spoiled == "file" else Path(name)).chmod(0o500)
        child = os.fork()
        if child == 0:
            os._exit(_start_as_somebody(ledger))
        _, status = os.waitpid(child, 0)
        Path(name).chmod(0o700)
    assert os.waitstatus_to_exitcode(status) == (0 if spoiled == "neither" else 74)


async def _open(ledger: Path) -> None:
    await (await Ledger.open(ledger, CHAIN_ID, CapParameters())).close()


def _start_as_somebody(ledger: Path) -> int:
    """Open the ledger with the rights of an ordinary user; return the exit code of a keeper."""
    try:
        if os.geteuid() == 0:
            os.setgid(65_534)
            os.setuid(65_534)
        asyncio.run(_open(ledger))
    except StorageError as error:
        return error.exit_code
    except BaseException:  # noqa: BLE001 - a child must never return into its parent's code
        return 1
    return 0


# Row 33: the power goes away ----------------------------------------------------------------------


ACCOUNTS, LATER_ACCOUNTS = 12, 4
STAGE = 3  # accounts that come to need an action at once
BLOCK_S = 0.04
IDLE_BLOCKS = 20


@dataclass
class Outage:
    """The ledger's files as they were at one instant, and what share of the log the disk lost."""

    ledger: Path
    torn: float = 0.0

    def restored_to(self, folder: Path) -> Path:
        folder.mkdir()
        file = folder / "ledger"
        shutil.copy(self.ledger, file)
        log = Path(f"{self.ledger}-wal")
        if log.exists():
            kept = int(log.stat().st_size * (1 - self.torn))
            Path(f"{file}-wal").write_bytes(log.read_bytes()[:kept])
        return file


def run_with_outages(node: Node, folder: Path, chance: random.Random) -> list[list[Outage]]:
    """Serve all accounts in stages; the copies taken of the ledger in each.

    They are taken at random instants, with the process standing still, and when a stage is over.
    """
    ledger, stages = folder / "ledger", list[list[Outage]]()
    for accounts in range(STAGE, ACCOUNTS + 1, STAGE):
        outages: list[Outage] = []
        stages.append(outages)
        child, until = start(Errand(node.port, ledger, accounts)), time.monotonic() + PATIENCE_S
        while stands_still(child):
            assert time.monotonic() < until, "the keeper is stuck"
            if ledger.exists() and _tables(ledger):
                outages.append(copied(ledger, folder / f"outage{len(stages)}.{len(outages)}"))
            os.kill(child, signal.SIGCONT)
            time.sleep(chance.uniform(0.0, BLOCK_S))
            node.call("evm_mine")
            time.sleep(chance.uniform(0.0, BLOCK_S))
        outages.append(copied(ledger, folder / f"outage{len(stages)}.{len(outages)}"))
    return stages


def stands_still(child: int) -> bool:
    """Stop a child and wait until all of it stands; False where it has ended."""
    os.kill(child, signal.SIGSTOP)
    _, status = os.waitpid(child, os.WUNTRACED)
    return os.WIFSTOPPED(status)


def copied(ledger: Path, copy: Path) -> Outage:
    """Copy the ledger's files as they are."""
    for end in ("", "-wal"):
        if Path(f"{ledger}{end}").exists():
            shutil.copy(f"{ledger}{end}", f"{copy}{end}")
    return Outage(copy)


def _tables(ledger: Path) -> bool:
    """Tell whether the tables are there yet: a ledger without any is a new one, not an old one."""
    log = Path(f"{ledger}-wal")
    return ledger.stat().st_size > 0 or (log.exists() and log.stat().st_size > 100_000)


def live_on(node: Node, ledger: Path, *, free: bool) -> None:
    """Let a keeper work on a restored ledger until it is done.

    Where no lane is free to it: for a while after it has found out.
    """
    errand = Errand(node.port, ledger, ACCOUNTS + LATER_ACCOUNTS)
    child, until, idle = start(errand), time.monotonic() + PATIENCE_S, 0
    while stands_still(child):
        assert time.monotonic() < until, "the keeper is stuck"
        if not free and ledger.stat().st_size > 0:
            seen = lanes_of(copied(ledger, ledger.with_name("seen")).ledger).values()
            idle += all(state == "QUARANTINE" for state, _ in seen)
        if idle > IDLE_BLOCKS:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return
        os.kill(child, signal.SIGCONT)
        node.call("evm_mine")
        time.sleep(BLOCK_S)


def lanes_of(ledger: Path) -> dict[str, tuple[str, int]]:
    """Return lane → (state, next nonce) of a ledger that nobody has open."""
    db = sqlite3.connect(ledger)
    try:
        rows = db.execute("SELECT address, state, next_nonce FROM lane").fetchall()
    finally:
        db.close()
    return {row[0]: (row[1], row[2]) for row in rows}


def test_row_33_power_loss_restores_to_a_ledger_that_recovers_or_quarantines(
    tmp_path: Path,
) -> None:
    """Whatever the disk had at that instant, against a chain that went on since: nothing twice."""
    chance = random.Random(1)
    with Node(NodeOptions(mining=False)) as node:
        lanes = prepare(node, 2)
        stages = run_with_outages(node, tmp_path, chance)
        assert any(len(outages) > 1 for outages in stages), "never in the midst of it"
        old, last = stages[0][-1], stages[-1][-1]
        midst = chance.choice([outage for outages in stages for outage in outages])
        # As they were, and as a disk that lies about what it has synced would leave them.
        chosen = [old, midst, last, Outage(old.ledger, chance.random())]
        chosen.append(Outage(last.ledger, chance.uniform(0.0, 0.02)))
        verdicts = set()
        for number, outage in enumerate(chosen):
            place = node.call("evm_snapshot")
            ledger = outage.restored_to(tmp_path / f"restored{number}")
            known = lanes_of(ledger)
            nonces = {
                lane: int(node.call("eth_getTransactionCount", lane, "latest"), 16)
                for lane in lanes
            }
            # What the copy does not know of is foreign to it, though it was ours.
            behind = {lane for lane in known if nonces[lane] > known[lane][1]}
            live_on(node, ledger, free=len(behind) < len(lanes))
            after = lanes_of(ledger)
            assert {lane for lane, row in after.items() if row[0] == "QUARANTINE"} >= behind
            times = [counted(node, each) for each in range(1, ACCOUNTS + LATER_ACCOUNTS + 1)]
            assert max(times) == 1, f"acted twice: {times}"
            assert min(times[:ACCOUNTS]) == 1
            if len(behind) < 2:
                assert times == [1] * (ACCOUNTS + LATER_ACCOUNTS), f"a lane was free: {times}"
            verdicts.add(bool(behind))
            node.call("evm_revert", place)
        assert verdicts == {True, False}, "some recover, and some are known to be old"
