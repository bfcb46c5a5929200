"""The report: a good run is green, and every single condition can turn it red by name."""

from typing import Any

import pytest

from deploy.devnet.demo.report import checks, document
from deploy.devnet.judge.payout import Payout
from deploy.devnet.judge.spending import CapUse
from deploy.devnet.judge.truth import BlockTruth
from deploy.devnet.judge.verdict import Start, judge
from tests.unit.devnet.runs import (
    TRIES,
    evidence,
    margins,
    service,
    starts,
    through,
    toy,
    truths,
)


PROMISED = (
    "accounts", "blocks", "breaches", "breaches_per_block_max", "lane_capacity",
    "auctions_started", "bids_won", "missed", "false_starts", "healed_before_inclusion",
    "start_latency_blocks_p50", "start_latency_blocks_max", "received_to_decided_ms_p50",
    "received_to_decided_ms_p99", "decided_to_sent_ms_p50", "decided_to_sent_ms_p99",
    "bad_debt_usd", "margin_error_rel_max",
)  # fmt: skip


def failed(**changes: Any) -> list[str]:
    return [each.name for each in checks(evidence(**changes)) if not each.passed]


def test_a_good_run_passes_every_condition() -> None:
    assert failed() == []
    assert document(evidence())["passed"] is True


def test_the_document_has_every_promised_key() -> None:
    assert set(PROMISED) <= document(evidence()).keys()


def test_bad_debt_is_what_was_paid_socialised_and_left() -> None:
    assert document(evidence())["bad_debt_usd"] == 123.0


def test_the_document_says_what_went_through_the_executor_and_what_the_guard_refused() -> None:
    told = document(evidence())
    assert told["through_executor"] == {
        "sent": 3,
        "included": 2,
        "reverted": 1,
        "by_function": {"advancedBid": 3},
    }
    assert told["guard_refusals"] == {
        "before_sending": {"EX_GainTooSmall": 2},
        "on_chain": {"EX_ConditionFailed: spot price": 1},
    }
    assert told["caps"]["day_wei_max"] == {
        "configured_wei": 100,
        "reserved_wei": 0,
        "settled_wei": 100,
    }
    assert told["executor"]["owner"] != told["executor"]["address"]
    assert told["payout"]["slices"] == 3


def taken_by(way: str, how: str) -> Payout:
    """A payout in which one way out ends so."""
    return Payout(accounts=6, slices=3, worth_usd=1_000.0, tries={**TRIES, way: how})


# Account 100 is left alone for two blocks.
ABANDONED = [*truths()[:2], BlockTruth(11, (100,), 1)]
SPOILED: list[tuple[str, dict[str, Any]]] = [
    ("missed = 0", {"verdict": judge(ABANDONED, starts()[1:], 64, ())}),
    ("false_starts = 0", {"service": service(false_starts=1)}),
    ("every refused start was decided", {"service": service(undecided_starts=1)}),
    (
        "judge and chain agree on who is far from the line",
        {"far_allowed": 1},
    ),
    ("keeper exits with 0", {"exit_code": 70}),
    ("journal replays equal", {"replayed": "diverged"}),
    ("margin error <= 1e-08", {"margins": margins(error_rel_max=2e-8)}),
    ("margin error <= 1e-08", {"margins": margins(compared=0)}),
    ("reverting views are exactly the no-trade set", {"margins": margins(unequal=(3,))}),
    ("every account is margined", {"margins": margins(missing=(3,))}),
    ("every bid goes through the executor contract", {"service": service(bids_direct=1)}),
    ("every bid goes through the executor contract", {"service": service(through_executor={})}),
    (
        "every cap is set and holds",
        {"through": through(caps={"day_wei_max": CapUse(100, 1, 100)})},
    ),
    ("every cap is set and holds", {"through": through(caps={})}),
    (
        "only the cold owner can take what was bought",
        {"through": through(payout=taken_by("lane execute", "taken"))},
    ),
    (
        "only the cold owner can take what was bought",
        {"through": through(payout=taken_by("owner administer", "EX_NotOwner"))},
    ),
    ("no toy: auctions_started >= 20", {"starts": starts()[:19]}),
    (
        "no toy: insolvent_starts >= 1",
        {"starts": [Start(each.block, each.account, insolvent=False) for each in starts()]},
    ),
    ("no toy: partial_bids >= 1", {"service": service(partial_bids=0)}),
    ("no toy: interest_only_breaches >= 1", {"toy": toy(interest_only_breaches=0)}),
    ("no toy: basis_worst_accounts >= 1", {"toy": toy(basis_worst_accounts=0)}),
    ("no toy: books_of_30_options >= 5", {"toy": toy(books_of_30_options=4)}),
    ("no toy: expiries >= 3", {"toy": toy(expiries=2)}),
]


@pytest.mark.parametrize(("name", "changes"), SPOILED)
def test_each_condition_alone_turns_the_run_red(name: str, changes: dict[str, Any]) -> None:
    assert failed(**changes) == [name]
    assert document(evidence(**changes))["passed"] is False


def test_a_late_start_turns_the_run_red() -> None:
    late = [Start(12, 100, insolvent=True), *starts()[1:]]
    blocks = [*truths()[:2], BlockTruth(11, (100,), 1), truths()[3]]
    names = failed(verdict=judge(blocks, late, 64, ()), starts=late)
    assert names == ["start latency <= 1 block where breaches fit the lanes"]


def test_too_few_breaches_at_once_turn_the_run_red() -> None:
    blocks = [BlockTruth(number, (account,), 1) for number, account in enumerate(range(25), 1)]
    steady = [
        Start(number + 1, account, insolvent=True) for number, account in enumerate(range(25), 1)
    ]
    names = failed(verdict=judge(blocks, steady, 64, ()), starts=steady)
    assert names == ["no toy: breaches_per_block_max >= 5"]
