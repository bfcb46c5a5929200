"""What the keeper starts: every breach in the next block, under the scenario that shows it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.devnet.venue.parameters import wad
from tests.integration.keeper_rig import SHORT_VENUE, Rig, rig_in


pytestmark = pytest.mark.node

HOUR_S = 3_600


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with rig_in(tmp_path, SHORT_VENUE) as standing:
        yield standing


def test_a_breach_is_started_in_the_next_block_under_its_worst_scenario(rig: Rig) -> None:
    btc = rig.venue.books[1]
    put = rig.open_with("300", rig.option(2800, False, "-10"))
    call = rig.open_with("300", (btc.option, *rig.option(3200, True, "-10")[1:]), book=btc)
    safe = rig.open(rig.cash("50000"), rig.perp("10"))
    keeper = rig.keeper()
    line = rig.play(keeper)
    assert (line["breaches"], line["commands"]) == (0, 0)
    keeper.ready()
    rig.spots["BTC"] = 3_100
    line = rig.play(keeper, spot=2_900)
    assert (line["breaches"], line["commands"]) == (2, 2)
    worst = {put: rig.margin(put)[2], call: rig.margin(call, btc)[2]}
    assert worst[put] != worst[call], "one index for all would pass"
    decided = rig.number
    rig.play(keeper)
    for account, scenario in worst.items():
        (start,) = rig.starts(account)
        assert start["number"] == decided + 1
        assert start["scenarioId"] == scenario
    assert rig.starts(safe) == []
    rig.play(keeper)
    assert len(rig.starts(put)) == len(rig.starts(call)) == 1, "a live auction is not started again"


def test_an_account_whose_basis_contingency_is_worst_is_started(rig: Rig) -> None:
    # A synthetic forward against the perpetual: flat to spot, so that only the basis can hurt.
    legs = (
        rig.option(3000, True, "10"),
        rig.option(3000, False, "-10"),
        rig.perp("-10"),
    )
    account = rig.open_with("-5", *legs)
    count = len(rig.view(rig.book.manager, "getScenarios"))
    keeper = rig.keeper()
    rig.play(keeper)
    assert rig.margin(account)[2] == count, "the basis contingency is not what is worst"
    rig.play(keeper)
    (start,) = rig.starts(account)
    assert start["scenarioId"] < count, "the contingency has no index: any valid one shows it"
    assert rig.live(account)


def test_a_breach_by_interest_alone_is_started_though_the_view_says_healthy(rig: Rig) -> None:
    # Borrowed cash against a coin: as long as nothing moves, only interest takes it over the line.
    account = rig.open_with("2", rig.coin("10"))
    assert rig.stored(account, rig.core.cash) < -wad("20000")
    keeper = rig.keeper()
    line = rig.play(keeper)
    assert line["breaches"] == 0
    hours = 0
    while line["breaches"] == 0:
        hours += 1
        assert hours < 48, "no interest within two days"
        line = rig.play(keeper, after_s=HOUR_S)
    assert line["commands"] == 1
    assert rig.margin(account)[0] > 0, "the view, on stored cash, says healthy"
    decided = rig.number
    rig.play(keeper)
    (start,) = rig.starts(account)
    assert start["number"] == decided + 1


def test_accounts_of_an_unknown_manager_are_counted_and_never_decided(rig: Rig) -> None:
    btc = rig.venue.books[1]
    stranger = rig.open_with("-500", (btc.perp, 0, wad("10")), book=btc)
    ours = rig.open_with("-500", rig.perp("10"))
    document = rig.document()
    venue = document["venues"]["derive"]
    venue["managers"], venue["underlyings"] = venue["managers"][:1], ["ETH"]
    venue["required_quotes"] = ["ETH.spot"]
    keeper = rig.follow(rig.process(document))
    line = rig.play(keeper)
    # The security module's own account is nobody's to margin either.
    assert (line["unsupported"], line["breaches"], line["commands"]) == (2, 1, 1)
    later = rig.open(rig.cash("1"), (btc.perp, 0, wad("10")), book=btc)
    line = rig.play(keeper)
    assert line["unsupported"] == 3
    assert rig.margin(later, btc)[0] < 0
    assert rig.live(ours)
    assert rig.starts(stranger) == rig.starts(later) == []
    told = keeper.lines("manager_unsupported")
    assert {each["manager"] for each in told} >= {btc.manager.address.lower()}, keeper.tail()
