"""The machine's gates: a backup's patience, the owner's mandate, and a chain that stood still."""

from typing import Any

import pytest

from keeper.domain.events import (
    ChainRewound,
    RulesObserved,
    StateAudited,
    TransactionIncluded,
)
from keeper.liquidation.halt import HaltRule
from keeper.liquidation.strategy import Appraisal, Opportunity, Service, Stock
from keeper.machine import Machine, MachineParameters
from tests.unit.fake_venue import StartAll
from tests.unit.test_machine import World, accounts, hash_of


def world(strategy: StartAll | None = None, **parameters: Any) -> World:
    made = World()
    rules = MachineParameters(chain_id=1, **parameters)
    made.machine = Machine(rules, made.portfolio, [made.venue], {"fake": strategy or StartAll()})
    return made


def test_a_backup_serves_a_breach_only_after_its_blocks() -> None:
    made = world(act_after_blocks=2)
    assert accounts(made.block(1, "7:-5")) == []
    assert accounts(made.block(2, "8:-9")) == []
    assert accounts(made.block(3)) == [7]
    assert accounts(made.block(4)) == [8]


def test_a_backup_leaves_what_somebody_served_in_time() -> None:
    made = world(act_after_blocks=2)
    made.block(1, "7:-5")
    made.block(2, "7:5")
    assert accounts(made.block(3, "7:-5")) == []


def test_a_backup_is_late_and_not_early_after_a_reorg() -> None:
    made = world(act_after_blocks=2)
    made.block(1)
    made.block(2, "7:-5")
    made.apply(ChainRewound(1, 1, hash_of(1)))
    assert accounts(made.block(2, "7:-5", branch="b")) == []
    assert accounts(made.block(3, branch="b")) == []
    assert accounts(made.block(4, branch="b")) == [7]


class BidAll(StartAll):
    """Bids on whatever is in breach."""

    def appraise(self, opportunity: Opportunity, stock: Stock) -> Appraisal | None:
        return Appraisal(Service.BID, 0.0, 1.0, 0.0, 100_000)


@pytest.mark.parametrize(
    ("strategy", "gap_s", "served"),
    [(BidAll(), 1, []), (BidAll(), 2, [8]), (BidAll(), 0, [8]), (StartAll(), 1, [8])],
)
def test_bids_wait_for_the_first_blocks_after_a_halt_and_starts_do_not(
    strategy: StartAll, gap_s: int, served: list[int]
) -> None:
    # Blocks of this world are a second apart.
    made = world(strategy, halt=HaltRule(gap_s=gap_s, hold_blocks=1))
    assert accounts(made.block(1, "7:-5")) == [7], "the first block ends no halt"
    assert accounts(made.block(2, "8:-5")) == served


def kinds(made: World, event: StateAudited | RulesObserved) -> list[str]:
    return [notice.kind for notice in made.apply(event).notices]


def audited(number: int, drift: str = "", full: bool = True, venue: str = "fake") -> StateAudited:
    return StateAudited(venue, number, hash_of(number), 1, full, drift)


def test_drift_stops_what_is_served_and_not_what_is_margined() -> None:
    made = world()
    made.block(1)
    assert kinds(made, audited(1, "account 7: mm", full=False)) == ["decisions_stopped"]
    effects = made.block(2, "7:-5")
    assert accounts(effects) == []
    assert effects.assessments[0].breaches == 1


def test_only_a_full_audit_that_agrees_lets_decisions_go_on() -> None:
    made = world()
    made.block(1)
    made.apply(audited(1, "account 7: mm"))
    made.block(2, "7:-5")
    assert kinds(made, audited(2, full=False)) == []
    assert accounts(made.block(3)) == []
    assert kinds(made, audited(3)) == ["decisions_resumed"]
    assert accounts(made.block(4)) == [7]


def test_a_changed_rule_stops_what_is_served_in_its_own_block() -> None:
    made = world()
    effects = made.block(1, "rule haircut", "7:-5")
    assert accounts(effects) == []
    assert [notice.kind for notice in effects.notices] == ["decisions_stopped"]


def test_an_audit_of_a_block_before_the_change_proves_nothing() -> None:
    made = world()
    made.block(1)
    made.block(2, "rule haircut", "7:-5")
    assert kinds(made, audited(1)) == []
    assert accounts(made.block(3)) == []
    made.apply(audited(2))
    assert accounts(made.block(4)) == [7]


def test_an_audit_of_a_branch_we_left_proves_nothing() -> None:
    made = world()
    made.block(1)
    made.block(2, "rule haircut", "7:-5")
    made.apply(ChainRewound(1, 1, hash_of(1)))
    made.block(2, "7:-5", branch="b")
    assert kinds(made, audited(2)) == []
    assert accounts(made.block(3, branch="b")) == []


def test_a_doubt_of_a_block_that_left_the_chain_is_ended_by_the_next_one_s_audit() -> None:
    made = world()
    for number in (1, 2, 3):
        made.block(number)
    made.block(4, "rule haircut")
    made.apply(ChainRewound(1, 1, hash_of(1)))
    made.block(2, "7:-5", branch="b")
    made.apply(StateAudited("fake", 2, hash_of(2, "b"), 1, True, ""))
    assert accounts(made.block(3, branch="b")) == [7]


def test_a_change_that_no_log_told_stops_what_is_served() -> None:
    made = world()
    made.block(1)
    assert kinds(made, RulesObserved("fake", "manager", "code")) == ["decisions_stopped"]
    assert accounts(made.block(2, "7:-5")) == []


def test_a_doubt_about_one_venue_is_not_ended_by_another() -> None:
    made = world()
    made.block(1)
    made.apply(audited(1, "account 7: mm"))
    made.apply(audited(1, venue="other"))
    assert accounts(made.block(2, "7:-5")) == []


def test_an_account_held_back_is_not_served_on_receipt_while_its_venue_is_doubted() -> None:
    made = world()
    command = made.block(1, "7:-5").commands[0]
    made.block(2)
    made.apply(audited(2, "account 7: mm"))
    included = TransactionIncluded(command.id, hash_of(9), 2, hash_of(2), 1, 1)
    assert accounts(made.apply(included)) == []
