"""A small slice of the demo: the real keeper beside a crash, and a judge that can also condemn."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from deploy.devnet.chain.node import Node, NodeOptions
from deploy.devnet.demo.keeper_process import ROOT
from deploy.devnet.demo.performance import conclude, perform
from deploy.devnet.demo.report import checks
from deploy.devnet.demo.table import Show
from deploy.devnet.judge.history import History
from deploy.devnet.judge.service import starts_of
from deploy.devnet.judge.truth import Truth
from deploy.devnet.judge.verdict import judge
from deploy.devnet.venue.driver import Driver
from deploy.devnet.venue.scene import GENESIS_S, Scene
from tests.integration.keeper_process import wait_for
from tests.unit.chain.scripted_node import PATIENCE_S


pytestmark = pytest.mark.node

SLICE = Scene(seed=11, accounts=60, blocks=34)


def test_a_crash_with_the_keeper_beside_it_misses_nothing(tmp_path: Path) -> None:
    show = Show(Console(file=io.StringIO(), width=400))
    evidence = perform(SLICE, tmp_path / "demo", 4.0, show, through_helper=False, held=True)
    # Too short for interest to take anybody over the line; all else must hold.
    allowed = {"no toy: interest_only_breaches >= 1"}
    failed = {each.name: each.detail for each in checks(evidence) if not each.passed}
    late = [f'"account": {each.account},' for each in evidence.verdict.late]
    log = (tmp_path / "demo" / "keeper.log").read_text().splitlines()
    told = [line for line in log if any(each in line for each in late)]
    assert set(failed) <= allowed, "\n".join([str(failed), *told])
    assert evidence.service.bids_won > 0
    assert evidence.service.by_function.get("advancedBid", 0) == 0
    # Every bid through the contract, and the contract's to nobody but its owner.
    assert sum(evidence.service.through_executor.values()) >= evidence.service.bids_won
    assert evidence.service.bids_direct == 0
    assert evidence.through.payout.slices == 0, "a direct bidder keeps what it bought"
    assert evidence.through.payout.tries["lane execute"] == "EX_NotPermitted"
    assert evidence.through.payout.tries["owner administer"] == "taken"
    assert all(each.kept for each in evidence.through.caps.values())
    assert evidence.through.caps["total_wei_max"].settled_wei > 0
    assert conclude(evidence, tmp_path / "demo.json", show) in (0, 1)
    assert (tmp_path / "demo.json").is_file()


def test_a_crash_without_a_keeper_is_judged_as_missed() -> None:
    with Node(NodeOptions(mining=False, timestamp=GENESIS_S)) as node:
        driver = Driver(node, SLICE)
        driver.prepare()
        first = driver.head + 1
        while not driver.done:
            driver.step()
        history = History(node, driver.venue, first, driver.head)
        truths = list(Truth(driver, history).blocks())
    verdict = judge(truths, starts_of(history), 64, ())
    assert len(verdict.missed) >= 5
    assert verdict.latencies == ()
    assert sum(len(each.far) for each in truths) == 0


def test_an_interrupted_demo_leaves_no_process_behind(tmp_path: Path) -> None:
    words = ["--accounts", "40", "--blocks", "30", "--pace", "1.0", "--out", str(tmp_path)]
    children: list[int] = []
    with subprocess.Popen(
        [sys.executable, "-m", "deploy.devnet.demo", *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            if "market opens" in line:
                children = children_of(demo.pid)
                demo.send_signal(signal.SIGTERM)
        assert demo.wait(PATIENCE_S) == 130
    assert len(children) >= 2
    wait_for("their end", lambda: not any(Path(f"/proc/{pid}").exists() for pid in children))


def children_of(parent: int) -> list[int]:
    """Process ids whose parent is `parent`, by the kernel's own list."""
    listed = Path(f"/proc/{parent}/task/{parent}/children")
    if not listed.is_file():
        pytest.skip("this kernel does not list a process's children")
    return [int(each) for each in listed.read_text().split()]
