"""`make demo`: a market crashes on a local node while the keeper keeps the venue solvent.

Sets the stage, runs the real keeper beside it, plays the market, then judges the run by the chain's
own word and writes build/demo.json. Exit code 0 means that every condition of a good run held.
"""

from __future__ import annotations

import argparse
import json
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deploy.devnet.chain.contract import TransactionFailed
from deploy.devnet.chain.node import NodeError
from deploy.devnet.demo.evidence import Run, gather
from deploy.devnet.demo.keeper_process import ROOT, KeeperFailed, KeeperProcess, Samples, activate
from deploy.devnet.demo.report import Evidence, checks, document
from deploy.devnet.demo.stage import Stage, set_stage
from deploy.devnet.demo.table import Row, Show
from deploy.devnet.venue.market import Moment
from deploy.devnet.venue.scene import Scene


OUT = ROOT / "build"  # demo.json, and all else under demo/
READY_TIMEOUT_S = 120.0
HOLD_TIMEOUT_S = 120.0
# Chain seconds are short before the market's start: an idle block costs one of them.
IDLE_PACE_S = 0.6
# After the last block: time for the last decision, and for nothing to be under way any more.
SETTLE_S = 2.0
FAILED, INTERRUPTED = 1, 130
FIGURES = (
    "accounts", "blocks", "breaches", "breaches_per_block_max", "lane_capacity",
    "auctions_started", "bids_won", "missed", "false_starts", "healed_before_inclusion",
    "start_latency_blocks_p50", "start_latency_blocks_max", "received_to_decided_ms_p50",
    "received_to_decided_ms_p99", "decided_to_sent_ms_p50", "decided_to_sent_ms_p99",
    "bad_debt_usd", "margin_error_rel_max",
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo and return its exit code."""
    chosen = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    scene = Scene(chosen.seed, chosen.accounts, chosen.blocks)
    report = chosen.out / "demo.json"
    report.unlink(missing_ok=True)
    with Show() as show:
        try:
            evidence = perform(scene, chosen.out / "demo", chosen.pace, show)
        except KeyboardInterrupt:
            show.close()
            show.tell("interrupted: node and keeper are stopped")
            return INTERRUPTED
        except (KeeperFailed, NodeError, TransactionFailed) as failure:
            show.close()
            show.tell(f"the demo failed: {failure}")
            return FAILED
        return conclude(evidence, report, show)


def perform(
    scene: Scene,
    folder: Path,
    pace_s: float,
    show: Show,
    *,
    through_helper: bool = True,
    held: bool = False,
) -> Evidence:
    """Play a scene with a keeper beside it and return the evidence.

    `held`: by no clock, each block waits until the keeper is done with the one before. What then
    comes late is not the machine's doing.
    """
    show.tell(
        f"seed {scene.seed}: {scene.accounts} accounts, {scene.blocks} blocks, {pace_s:g} s a block"
    )
    with set_stage(scene, folder, pace_s, through_helper=through_helper, held=held) as stage:
        show.tell(f"the venue stands at {stage.driver.node.url}; keeper config: {stage.config}")
        run = play(stage, pace_s, show, held=held)
        return gather(stage, run, pace_s, show.tell)


def play(stage: Stage, pace_s: float, show: Show, *, held: bool) -> Run:
    """Start the keeper, play the market block by block, stop the keeper."""
    driver = stage.driver
    log = stage.folder / "keeper.log"
    leave = activate(stage.config, stage.folder / "activate.log", _idle_beat(stage, show))
    show.tell("; ".join(line for line in leave if line.startswith(("dry run", "activated"))))
    with KeeperProcess(stage.config, log, stage.telemetry_port) as keeper:
        keeper.wait_ready(READY_TIMEOUT_S, _idle_beat(stage, show))
        show.tell("the keeper is ready; the market opens")
        first = driver.head + 1
        due = time.monotonic()
        while not driver.done:
            due += pace_s
            samples = keeper.metrics()
            moment = driver.step()
            keeper.expect_alive()
            show.show(_row(stage, moment, samples))
            if held:
                keeper.wait_settled(driver.head, HOLD_TIMEOUT_S)
            else:
                time.sleep(max(0.0, due - time.monotonic()))
        time.sleep(SETTLE_S)
        samples = keeper.metrics()
        show.show(_row(stage, driver.moments[-1], samples))
        show.close()
        code = keeper.stop()
    show.tell(f"the keeper ended with code {code}")
    return Run(first, driver.head, code, tuple(keeper.lines()), samples)


def conclude(evidence: Evidence, path: Path, show: Show) -> int:
    """Write the report, show it, and return the exit code."""
    report = document(evidence)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=2) + "\n")
    for name in FIGURES:
        show.tell(f"  {name:<30} {_figure(report[name])}")
    found = checks(evidence)
    for each in found:
        if each.passed:
            show.tell(f"  ok      {each.name}")
    failed = [each for each in found if not each.passed]
    for each in failed:
        show.tell(f"  FAILED  {each.name}: {each.detail}")
    words = "green" if not failed else f"{len(failed)} condition(s) failed"
    show.tell(f"{words}; the whole report: {path}")
    return FAILED if failed else 0


def _idle_beat(stage: Stage, show: Show) -> Any:
    told: list[str] = []

    def beat(reason: str) -> None:
        if reason not in told[-1:]:
            told.append(reason)
            show.tell(f"waiting for the keeper: {reason}")
        # Without a block there is no head, and without a head no readiness.
        stage.driver.idle()
        time.sleep(IDLE_PACE_S)

    return beat


def _row(stage: Stage, moment: Moment, samples: Samples) -> Row:
    driver = stage.driver
    spots = {each.underlying: each.spot for each in moment.underlyings}
    return Row(driver.played, driver.scene.blocks, driver.head, spots, samples)


def _figure(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.3g}"


def _interrupt(*_: object) -> None:
    """Leave in order on SIGTERM too: every child is stopped on the way out."""
    # Once is enough: a second word must not cut the clean-up short.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1, help="of market and accounts")
    parser.add_argument("--accounts", type=int, default=300)
    parser.add_argument("--blocks", type=int, default=120, help="played after the market opens")
    parser.add_argument("--pace", type=float, default=1.0, help="seconds a block")
    parser.add_argument("--out", type=Path, default=OUT, help="folder of demo.json and demo/")
    return parser
