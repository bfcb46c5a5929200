"""Changed rules and wiring: parameters, scenarios, feeds, and what a log leaves unsaid."""

from typing import Any

import pytest

from keeper.protocols.derive.logs import events as ev
from keeper.protocols.derive.logs.fold import watch_addresses
from keeper.protocols.derive.tables import (
    SPOT,
    BasisRow,
    CollateralRow,
    FeedRow,
    MarginRow,
    OtherRow,
    ScenarioRow,
    SkewRow,
    VolShockRow,
)
from keeper.protocols.derive.wiring import NOWHERE
from tests.unit.protocols.derive.deployment import (
    ASK_FEED,
    AUCTION,
    BID_FEED,
    CASH,
    COIN,
    COIN_FEED,
    FORWARD_FEED,
    LIB,
    MANAGER,
    OTHER_LIB,
    PERP,
    PERP_FEED,
    RATE_FEED,
    RATE_MODEL,
    SPOT_FEED,
    STABLE_FEED,
    VOL_FEED,
    at,
)
from tests.unit.protocols.derive.scene import STRANGER, Scene


NEW_FEED, NEW_MODEL, NEW_COIN = at(970), at(971), at(972)


@pytest.fixture
def scene() -> Scene:
    return Scene()


@pytest.mark.parametrize(
    ("role", "field"),
    [
        ("spot", "spot_feed"),
        ("stable", "stable_feed"),
        ("forward", "forward_feed"),
        ("vol", "vol_feed"),
        ("rate", "rate_feed"),
    ],
)
def test_an_unread_feed_makes_its_manager_undecided(scene: Scene, role: str, field: str) -> None:
    told = scene.fold(ev.FeedRewired(MANAGER, role, NEW_FEED))
    assert getattr(scene.tables.managers[MANAGER], field) == NEW_FEED
    assert scene.tables.unread[MANAGER] == 1
    fields = {"venue": "derive", "source": MANAGER, "role": role, "unread": NEW_FEED}
    assert told == [("rewired", fields)]
    assert NEW_FEED in watch_addresses(scene.tables)


def test_a_feed_that_is_known_can_be_read_at_once(scene: Scene) -> None:
    assert scene.fold(ev.FeedRewired(MANAGER, "spot", STABLE_FEED)) == []
    assert scene.tables.managers[MANAGER].spot_feed == STABLE_FEED
    assert MANAGER not in scene.tables.unread


def test_a_feed_nobody_reads_any_more_is_still_watched(scene: Scene) -> None:
    scene.fold(ev.FeedRewired(MANAGER, "rate", NEW_FEED))
    assert RATE_FEED in watch_addresses(scene.tables)


@pytest.mark.parametrize(
    ("source", "role", "table", "field"),
    [
        (PERP, "spot", "perps", "spot_feed"),
        (PERP, "perp", "perps", "perp_feed"),
        (FORWARD_FEED, "spot", "feeds", "spot_feed"),
        (PERP_FEED, "spot", "feeds", "spot_feed"),
    ],
)
def test_rewiring_below_a_manager_makes_it_undecided(
    scene: Scene, source: str, role: str, table: str, field: str
) -> None:
    told = scene.fold(ev.FeedRewired(source, role, NEW_FEED))
    assert getattr(getattr(scene.tables, table)[source], field) == NEW_FEED
    assert scene.tables.unread[MANAGER] == 1
    assert [kind for kind, _ in told] == ["rewired"]


def test_impact_feeds_are_two(scene: Scene) -> None:
    assert scene.fold(ev.ImpactFeedsRewired(PERP, BID_FEED, ASK_FEED)) == []
    row = scene.tables.perps[PERP]
    assert (row.ask_feed, row.bid_feed) == (BID_FEED, ASK_FEED)
    told = scene.fold(ev.ImpactFeedsRewired(PERP, NEW_FEED, ASK_FEED))
    assert [fields["unread"] for _, fields in told] == [NEW_FEED]
    assert scene.tables.unread[MANAGER] == 1


@pytest.mark.parametrize(
    "event",
    [
        ev.FeedRewired(STRANGER, "spot", NEW_FEED),
        ev.FeedRewired(MANAGER, "perp", NEW_FEED),
        ev.FeedRewired(VOL_FEED, "vol", NEW_FEED),
        ev.ImpactFeedsRewired(STRANGER, NEW_FEED, NEW_FEED),
        ev.CollateralFeedSet(STRANGER, COIN, NEW_FEED),
        ev.RateModelChanged(STRANGER, NEW_MODEL),
        ev.LibOverridden(STRANGER, 7, OTHER_LIB),
        ev.ParametersSet(STRANGER, BasisRow(1, 2, 3, 4)),
        ev.CollateralSet(STRANGER, COIN, CollateralRow(False, False, 0, 0)),
        ev.ScenariosSet(STRANGER, ()),
        ev.AccountSizeMaxSet(STRANGER, 3),
        ev.AuctionRulesSet(STRANGER, (0,) * 7),
        ev.MtmCutoffSet(STRANGER, 3),
        ev.ManagerWhitelisted(STRANGER, MANAGER, False),
        ev.ManagerWhitelisted(AUCTION, STRANGER, True),
        ev.DiffCapSet(STRANGER, 1),
    ],
)
def test_a_stranger_changes_nothing(scene: Scene, event: object) -> None:
    before = scene.portfolio.contents()
    assert scene.fold(event) == []
    assert scene.portfolio.contents() == before


def test_an_unread_collateral_feed_concerns_its_holders_only(scene: Scene) -> None:
    assert scene.fold(ev.CollateralFeedSet(MANAGER, COIN, SPOT_FEED)) == []
    told = scene.fold(ev.CollateralFeedSet(MANAGER, NEW_COIN, NEW_FEED))
    assert [fields["role"] for _, fields in told] == ["collateral"]
    assert scene.tables.collateral_feeds[MANAGER, NEW_COIN] == NEW_FEED
    assert MANAGER not in scene.tables.unread
    assert COIN_FEED in watch_addresses(scene.tables)


def test_an_unread_rate_model_concerns_everybody(scene: Scene) -> None:
    told = scene.fold(ev.RateModelChanged(CASH, NEW_MODEL))
    assert scene.tables.cash_state[CASH].rate_model == NEW_MODEL
    assert scene.tables.unread[MANAGER] == 1
    assert [fields["role"] for _, fields in told] == ["rate_model"]
    assert scene.fold(ev.RateModelChanged(CASH, RATE_MODEL)) == []


def test_an_override_is_set_told_and_taken_back(scene: Scene) -> None:
    scene.open(7)
    told = scene.fold(ev.LibOverridden(MANAGER, 7, OTHER_LIB))
    manager = scene.tables.managers[MANAGER]
    assert scene.tables.lib_of(7, manager) == OTHER_LIB
    assert [fields["role"] for _, fields in told] == ["lib"]
    assert OTHER_LIB in watch_addresses(scene.tables)
    assert scene.fold(ev.LibOverridden(MANAGER, 7, NOWHERE)) == []
    assert scene.tables.lib_of(7, manager) == LIB
    scene.fold(ev.LibOverridden(MANAGER, 7, LIB))
    assert 7 not in scene.tables.overrides


@pytest.mark.parametrize(
    ("table", "row"),
    [
        ("basis", BasisRow(1, 2, 3, 4)),
        ("other", OtherRow(*range(8))),
        ("margin", MarginRow(*range(8))),
        ("vol_shock", VolShockRow(*range(6))),
        ("skew", SkewRow(*range(8))),
    ],
)
def test_parameters_go_to_the_table_of_their_group(scene: Scene, table: str, row: Any) -> None:
    scene.fold(ev.ParametersSet(LIB, row))
    assert getattr(scene.tables, table)[LIB] == row


def test_a_collateral_set_to_nothing_is_one_the_lib_does_not_know(scene: Scene) -> None:
    row = CollateralRow(True, False, 1, 2)
    scene.fold(ev.CollateralSet(LIB, NEW_COIN, row))
    assert scene.tables.collaterals[LIB, NEW_COIN] == row
    scene.fold(ev.CollateralSet(LIB, NEW_COIN, CollateralRow(False, False, 0, 0)))
    assert (LIB, NEW_COIN) not in scene.tables.collaterals


def test_a_shorter_list_of_scenarios_leaves_none_of_the_longer(scene: Scene) -> None:
    rows = tuple(ScenarioRow(each, 0, each) for each in (1, 2))
    scene.fold(ev.ScenariosSet(MANAGER, rows))
    assert [row for _, row in scene.tables.scenarios.items()] == list(rows)


@pytest.mark.parametrize(
    ("event", "changes"),
    [
        (ev.AccountSizeMaxSet(MANAGER, 9), {"account_size_max": 9}),
        (ev.ExpiriesMaxSet(MANAGER, 8), {"expiries_max": 8}),
        (ev.AdjustmentsPausedSet(MANAGER, True), {"paused": True}),
    ],
)
def test_a_managers_limits_are_written(scene: Scene, event: Any, changes: dict[str, Any]) -> None:
    before = scene.tables.managers[MANAGER]
    scene.fold(event)
    assert scene.tables.managers[MANAGER] == before._replace(**changes)


def test_auction_rules_keep_what_other_events_set(scene: Scene) -> None:
    scene.fold(
        ev.MtmCutoffSet(AUCTION, -9),
        ev.SecurityAccountSet(AUCTION, 44),
        ev.AuctionRulesSet(AUCTION, tuple(range(7))),
    )
    assert scene.tables.auction_rules[AUCTION] == (*range(7), -9, 44)


def test_the_whitelist_and_the_cap_are_written(scene: Scene) -> None:
    scene.fold(ev.ManagerWhitelisted(AUCTION, MANAGER, False), ev.DiffCapSet(PERP_FEED, 5))
    assert scene.tables.whitelist[MANAGER] is False
    assert scene.tables.feeds[PERP_FEED].diff_cap == 5
    assert scene.tables.feeds[SPOT_FEED] == FeedRow(SPOT, 180, 0, NOWHERE, 0)
