"""The backup acts on what is unserved for some blocks, and a reorg makes it late, not early."""

from dataclasses import replace

import pytest

from keeper.liquidation.patience import Patience
from keeper.liquidation.priority import Appraised
from keeper.liquidation.strategy import Appraisal, Service
from tests.unit.liquidation.opportunities import AUCTION, opportunity


def wanting(account: int, service: Service = Service.START, **changes) -> Appraised:
    return Appraised(
        opportunity(account=account, **changes), Appraisal(service, 0.0, 0.0, 0.0, 100)
    )


def ripe(patience: Patience, number: int, *appraised: Appraised, venue: str = "derive") -> list:
    return [each.opportunity.account for each in patience.ripe(venue, number, appraised)]


def test_a_primary_waits_for_nothing_and_remembers_nothing() -> None:
    patience = Patience(0)
    assert ripe(patience, 5, wanting(1), wanting(2)) == [1, 2]
    assert len(patience) == 0


def test_a_breach_is_acted_on_after_the_blocks_and_not_before() -> None:
    patience = Patience(3)
    found = [ripe(patience, number, wanting(1)) for number in range(10, 15)]
    assert found == [[], [], [], [1], [1]]


def test_the_order_given_is_kept() -> None:
    patience = Patience(1)
    rows = [wanting(9), wanting(2), wanting(5)]
    ripe(patience, 10, *rows)
    assert ripe(patience, 11, *rows) == [9, 2, 5]


def test_what_is_served_in_between_begins_anew() -> None:
    patience = Patience(2)
    ripe(patience, 10, wanting(1))
    ripe(patience, 11)
    assert len(patience) == 0
    assert [ripe(patience, number, wanting(1)) for number in (12, 13, 14)] == [[], [], [1]]


@pytest.mark.parametrize(
    "progress",
    [
        {"reserved_usd": 500.0},
        {"started_s": 1_060},
        {"insolvent": True},
    ],
)
def test_an_auction_that_somebody_moves_is_being_served(progress) -> None:
    patience = Patience(2)
    first = wanting(1, Service.BID, auction=AUCTION)
    moved = wanting(1, Service.BID, auction=replace(AUCTION, **progress))
    assert ripe(patience, 10, first) == ripe(patience, 11, first) == []
    assert ripe(patience, 12, moved) == []
    assert ripe(patience, 14, moved) == [1]


def test_a_started_auction_is_another_need_than_the_start() -> None:
    patience = Patience(1)
    ripe(patience, 10, wanting(1))
    assert ripe(patience, 11, wanting(1, Service.BID, auction=AUCTION)) == []


def test_margin_that_only_moves_does_not_restart_the_clock() -> None:
    patience = Patience(2)
    for number, equity in ((10, 900.0), (11, 800.0)):
        ripe(patience, number, wanting(1, excess_usd=-equity, at_s=number))
    assert ripe(patience, 12, wanting(1, excess_usd=-700.0)) == [1]


def test_blocks_that_were_not_decided_on_count_as_blocks() -> None:
    patience = Patience(3)
    ripe(patience, 10, wanting(1))
    assert ripe(patience, 40, wanting(1)) == [1]


def test_what_was_seen_before_a_reorg_counts_and_what_was_seen_on_the_lost_branch_does_not() -> (
    None
):
    patience = Patience(3)
    ripe(patience, 10, wanting(1))
    ripe(patience, 12, wanting(1), wanting(2))
    patience.rewind(11)
    assert ripe(patience, 12, wanting(1), wanting(2)) == []
    assert ripe(patience, 13, wanting(1), wanting(2)) == [1]
    assert ripe(patience, 15, wanting(1), wanting(2)) == [1, 2]


def test_after_a_reorg_nothing_is_ripe_sooner_than_its_new_height_allows() -> None:
    patience = Patience(3)
    ripe(patience, 10, wanting(1))
    patience.rewind(4)
    assert [ripe(patience, number, wanting(1)) for number in (5, 6, 7, 8)] == [[], [], [], [1]]


def test_a_second_asking_for_the_same_block_adds_and_forgets_nothing() -> None:
    patience = Patience(1)
    assert ripe(patience, 10, wanting(1)) == ripe(patience, 10, wanting(2)) == []
    assert len(patience) == 2
    assert ripe(patience, 11, wanting(1), wanting(2)) == [1, 2]
    # What our own action held is new when it comes back: late rather than early.
    assert ripe(patience, 12, wanting(1)) == [1]
    assert ripe(patience, 12, wanting(2)) == []
    assert ripe(patience, 13, wanting(1), wanting(2)) == [1, 2]


def test_the_same_number_on_another_branch_is_another_block() -> None:
    patience = Patience(1)
    ripe(patience, 10, wanting(1))
    ripe(patience, 11, wanting(1), wanting(2))
    patience.rewind(10)
    ripe(patience, 11, wanting(1))
    assert len(patience) == 1


def test_venues_do_not_forget_each_other() -> None:
    patience = Patience(1)
    ripe(patience, 10, wanting(1))
    ripe(patience, 10, wanting(1, venue="other"), venue="other")
    assert len(patience) == 2
    assert ripe(patience, 11, wanting(1)) == [1]
    assert ripe(patience, 11, wanting(1, venue="other"), venue="other") == [1]
