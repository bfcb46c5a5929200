"""Gathers all that a report needs, after the last block: from the chain, the keeper's files, truth.

It joins the judge's parts and adds no opinion of its own.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

from deploy.devnet.demo.keeper_process import Samples, replay
from deploy.devnet.demo.report import Evidence, Latencies, Through, Toy
from deploy.devnet.demo.stage import CAPS_WEI, Stage, addresses
from deploy.devnet.judge.history import History
from deploy.devnet.judge.margins import compare, negative_equity_usd, read_accounts, view_all
from deploy.devnet.judge.payout import payout
from deploy.devnet.judge.service import service_record, starts_of
from deploy.devnet.judge.spending import caps_used, decided_hashes
from deploy.devnet.judge.truth import BlockTruth, Truth
from deploy.devnet.judge.verdict import judge, quantile


LARGE_OPTIONS = 30
TOLD_EVERY_BLOCKS = 20

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Run:
    """What is left of a run: its blocks, and what the keeper said of itself."""

    first: int
    last: int
    exit_code: int
    lines: Sequence[Mapping[str, Any]]
    samples: Samples


def gather(stage: Stage, run: Run, pace_s: float, tell: Tell) -> Evidence:
    """Return the evidence of a run. Raises KeeperFailed when its journal does not replay."""
    driver, scene = stage.driver, stage.driver.scene
    history = History(driver.node, driver.venue, run.first, run.last)
    accounts = stage.folder / "accounts.json"
    tell("replaying the journal ...")
    replayed = replay(stage.config, _journal(stage.data_dir), accounts)
    rows = read_accounts(accounts)
    tell(f"comparing {len(rows)} margins with the chain's views ...")
    views = view_all(history, int(rows[0]["number"]))
    truth = Truth(driver, history)
    truths = _truths(truth, tell)
    starts = starts_of(history)
    lanes, treasury = addresses(stage.lanes), stage.treasury
    ours = {each.lower() for each in (*lanes, treasury.address)}
    own = {account for account, owner in history.owners.items() if owner in ours}
    tell("reading the receipts ...")
    ledger = stage.data_dir / "ledger.sqlite"
    owed = sum(needed for needed, _ in history.payouts)
    paid = sum(paid for _, paid in history.payouts)
    return Evidence(
        seed=scene.seed,
        accounts=len(driver.seeded),
        blocks=scene.blocks,
        pace_s=pace_s,
        lane_capacity=stage.capacity,
        verdict=judge(truths, starts, stage.capacity, own),
        starts=starts,
        far_allowed=sum(len(each.far) for each in truths),
        service=service_record(history, treasury, lanes, decided_hashes(ledger)),
        through=Through(
            executor=treasury.address,
            owner=treasury.owner,
            bidders=len(stage.bidders),
            payout=payout(history, treasury, lanes, stage.bidders, views),
            caps=caps_used(ledger, CAPS_WEI),
            guard_refused_before=guard_refusals(run.samples),
        ),
        latencies=latencies(run),
        module_paid_usd=paid / 1e18,
        socialised_usd=(owed - paid) / 1e18,
        negative_equity_usd=negative_equity_usd(views),
        margins=compare(rows, views),
        toy=_toy(history, truths),
        exit_code=run.exit_code,
        replayed=replayed,
        versions=_versions(driver.node.call("web3_clientVersion")),
    )


def latencies(run: Run) -> Latencies:
    """Return the keeper's latencies: of each block from its lines, of sending from its metrics."""
    decided = [
        float(line["received_to_decided_ms"])
        for line in run.lines
        if line.get("event") == "block" and run.first <= line["number"] <= run.last
    ]
    return Latencies(
        received_to_decided_ms=(quantile(decided, 0.5), quantile(decided, 0.99)),
        decided_to_sent_ms=(
            histogram_quantile_ms(run.samples, "decided_to_sent", 0.5),
            histogram_quantile_ms(run.samples, "decided_to_sent", 0.99),
        ),
    )


def guard_refusals(samples: Samples) -> dict[str, int]:
    """Return how many calls the executor refused in the trial before the send, by reason."""
    found: dict[str, int] = {}
    for (name, labels), count in samples.items():
        reason = dict(labels).get("reason", "")
        if name == "keeper_refusals_total" and reason.startswith("EX_"):
            found[reason] = found.get(reason, 0) + int(count)
    return dict(sorted(found.items()))


def histogram_quantile_ms(samples: Samples, stage: str, share: float) -> float:
    """Return a quantile of a stage in milliseconds, interpolated within its bucket."""
    buckets = sorted(
        (float(dict(labels)["le"]), count)
        for (name, labels), count in samples.items()
        if name == "keeper_stage_seconds_bucket" and dict(labels)["stage"] == stage
    )
    total = buckets[-1][1] if buckets else 0.0
    wanted = share * total
    for (low, before), (high, count) in pairwise([(0.0, 0.0), *buckets]):
        if count >= wanted > before:
            # Nothing is known of how far past the last bound the rest lies.
            within = 0.0 if high == float("inf") else (wanted - before) / (count - before)
            return 1_000.0 * (low + within * ((high if within else low) - low))
    return 0.0


def _truths(truth: Truth, tell: Tell) -> list[BlockTruth]:
    history = truth.history
    count = history.last - history.first + 1
    tell(f"asking the chain about {count} blocks ...")
    truths = []
    for at, each in enumerate(truth.blocks(), start=1):
        truths.append(each)
        if at % TOLD_EVERY_BLOCKS == 0 or at == count:
            tell(f"  block {at}/{count}: {each.asked} asked, {len(each.allowed)} allowed")
    return truths


def _toy(history: History, truths: Sequence[BlockTruth]) -> Toy:
    """Count what makes the run hard: by holdings before its first block, and by its truths."""
    options = {book.option.address.lower() for book in history.venue.books}
    held: dict[int, dict[int, int]] = {}
    for change in history.balances:
        if change.block < history.first and change.asset[0] in options:
            held.setdefault(change.account, {})[change.asset[1]] = change.balance
    books = [[sub_id for sub_id, balance in book.items() if balance != 0] for book in held.values()]
    return Toy(
        interest_only_breaches=len({a for each in truths for a in each.interest_only}),
        basis_worst_accounts=len({a for each in truths for a in each.basis_worst}),
        basis_worst_breaches=len(
            {a for each in truths for a in each.basis_worst if a in each.allowed}
        ),
        books_of_30_options=sum(1 for book in books if len(book) >= LARGE_OPTIONS),
        expiries=len({sub_id & 0xFFFFFFFF for book in books for sub_id in book}),
    )


def _journal(data_dir: Path) -> Path:
    """Return the first file of the run's journal; the latest where a snapshot was taken anew."""
    first = sorted(
        (data_dir / "journal").glob("*.0001.jsonl"), key=lambda path: path.stat().st_mtime
    )
    return first[-1]


def _versions(node: str) -> dict[str, str]:
    return {
        "keeper": version("margin-keeper"),
        "python": platform.python_version(),
        "numpy": version("numpy"),
        "node": node,
    }
