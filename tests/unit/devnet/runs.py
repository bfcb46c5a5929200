"""Evidence of a made-up run in which all went well, to be spoiled by tests one part at a time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from deploy.devnet.demo.report import Evidence, Latencies, Through, Toy
from deploy.devnet.judge.margins import MarginCheck
from deploy.devnet.judge.payout import Payout
from deploy.devnet.judge.service import ServiceRecord
from deploy.devnet.judge.spending import CapUse
from deploy.devnet.judge.truth import BlockTruth
from deploy.devnet.judge.verdict import Start, judge


ACCOUNTS = tuple(range(100, 130))


def truths() -> list[BlockTruth]:
    """Thirty accounts are allowed at the end of block 10, none after it."""
    return [
        BlockTruth(9, (), 5),
        BlockTruth(10, ACCOUNTS, 40),
        BlockTruth(11, (), 12, live=30),
        BlockTruth(12, (), 11, live=30),
    ]


def starts() -> list[Start]:
    """All of them are started in the next block, one of them insolvent."""
    return [Start(11, account, insolvent=account == ACCOUNTS[0]) for account in ACCOUNTS]


def service(**changes: Any) -> ServiceRecord:
    record = ServiceRecord(
        sent=33,
        by_function={"startAuction": 30, "advancedBid": 3},
        bids_won=3,
        partial_bids=2,
        false_starts=0,
        healed_before_inclusion=0,
        undecided_starts=0,
        reverted={},
        through_executor={"advancedBid": 3},
        executor_reverted=1,
        bids_direct=0,
        guard_refused={"EX_ConditionFailed: spot price": 1},
    )
    return replace(record, **changes)


TRIES = {
    "lane transfer": "NotOwnerNorApproved",
    "lane execute": "EX_NotPermitted",
    "stranger administer": "EX_NotOwner",
    "owner administer": "taken",
}


def through(**changes: Any) -> Through:
    part = Through(
        executor="0x" + 40 * "e",
        owner="0x" + 40 * "c",
        bidders=3,
        payout=Payout(accounts=6, slices=3, worth_usd=1_000.0, tries=TRIES),
        caps={"day_wei_max": CapUse(100, 0, 100)},
        guard_refused_before={"EX_GainTooSmall": 2},
    )
    return replace(part, **changes)


def margins(**changes: Any) -> MarginCheck:
    check = MarginCheck(
        number=12,
        compared=300,
        error_rel_max=1e-15,
        worst_account=100,
        reverting=(7,),
        unequal=(),
        missing=(),
    )
    return replace(check, **changes)


def toy(**changes: Any) -> Toy:
    counts = Toy(
        interest_only_breaches=1,
        basis_worst_accounts=1,
        basis_worst_breaches=1,
        books_of_30_options=5,
        expiries=3,
    )
    return replace(counts, **changes)


def evidence(**changes: Any) -> Evidence:
    """A run that deserves to be green, with some parts replaced."""
    good = Evidence(
        seed=1,
        accounts=300,
        blocks=4,
        pace_s=1.0,
        lane_capacity=64,
        verdict=judge(truths(), starts(), 64, ()),
        starts=starts(),
        far_allowed=0,
        service=service(),
        through=through(),
        latencies=Latencies((10.0, 20.0), (5.0, 9.0)),
        module_paid_usd=100.0,
        socialised_usd=20.0,
        negative_equity_usd=3.0,
        margins=margins(),
        toy=toy(),
        exit_code=0,
        replayed="equal: 10 entries",
        versions={},
    )
    return replace(good, **changes)
