"""The machine's gates: a backup's patience, the owner's mandate, and a chain that stood still."""

from typing import Any

import pytest

from keeper.domain.events import ChainRewound
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
