"""Rules in motion: what of the logs stops decisions, what no stranger can stop, what looks tell."""

from dataclasses import replace

import pytest

from keeper.domain.events import Log
from keeper.protocols.derive.abi import EVENTS, TOPIC
from keeper.protocols.derive.logs import events as ev
from keeper.protocols.derive.logs.authority import AUTHORITY, CHANGES, AuthorityChanged, role
from keeper.protocols.derive.logs.decode import decode
from keeper.protocols.derive.logs.fold import WRITERS, watch_addresses
from keeper.protocols.derive.tables import BasisRow, CollateralRow, ScenarioRow
from keeper.protocols.derive.views.authority_standing import (
    heartbeat_asks,
    heartbeat_changes,
    standing,
    standing_asks,
)
from keeper.protocols.derive.wiring import NOWHERE
from tests.unit.protocols.derive import deployment as on
from tests.unit.protocols.derive.chain_views import raw
from tests.unit.protocols.derive.deployment import Deployment, wad
from tests.unit.protocols.derive.logs import SOURCE, log_of
from tests.unit.protocols.derive.scene import STRANGER, Scene


NEW = on.at(77)
OWNERS_WORD = [
    ev.FeeSet(on.CASH, wad(0.3)),
    ev.RateModelChanged(on.CASH, NEW),
    ev.RateBoundsSet(on.PERP, wad(0.001)),
    ev.StaticRateSet(on.PERP, 5),
    ev.ConvergenceSet(on.PERP, wad(9)),
    ev.PerpDisabled(on.PERP, wad(2_000), 0),
    ev.FeedRewired(on.MANAGER, "vol", NEW),
    ev.ImpactFeedsRewired(on.PERP, NEW, NEW),
    ev.CollateralFeedSet(on.MANAGER, on.COIN, NEW),
    ev.DiffCapSet(on.PERP_FEED, wad(0.1)),
    ev.SettlementHeartbeatSet(on.FORWARD_FEED, 60),
    ev.ScenariosSet(on.MANAGER, (ScenarioRow(wad(1.1), 1, wad(1.0)),)),
    ev.LibOverridden(on.MANAGER, 1, on.OTHER_LIB),
    ev.AccountSizeMaxSet(on.MANAGER, 9),
    ev.ExpiriesMaxSet(on.MANAGER, 9),
    ev.AdjustmentsPausedSet(on.MANAGER, True),
    ev.ParametersSet(on.LIB, BasisRow(1, 2, 3, 4)),
    ev.CollateralSet(on.LIB, on.COIN, CollateralRow(True, True, 1, 2)),
    ev.AuctionRulesSet(on.AUCTION, (1, 2, 3, 4, 5, 6, 7)),
    ev.MtmCutoffSet(on.AUCTION, 1),
    ev.ManagerWhitelisted(on.AUCTION, on.MANAGER, False),
    ev.SecurityAccountSet(on.AUCTION, 2),
    AuthorityChanged(on.MANAGER, "Upgraded", (NEW,)),
]


def moved(*events: object) -> tuple[str, ...]:
    scene = Scene()
    scene.open(1, 100.0)
    scene.fold(*events)
    return scene.folding.moved()


@pytest.mark.parametrize("event", OWNERS_WORD, ids=lambda event: type(event).__name__)
def test_each_word_of_an_owner_is_told_once_with_who_said_it(event: object) -> None:
    (told,) = moved(event)
    assert event.source in told  # type: ignore[attr-defined]
    assert told.startswith(role(Scene().tables, event.source))  # type: ignore[attr-defined]


def test_every_kind_of_rule_has_its_case() -> None:
    assert {type(event) for event in OWNERS_WORD} == set(CHANGES)
    assert set(CHANGES) <= set(WRITERS)


@pytest.mark.parametrize(
    "event",
    [
        ev.WithdrawFeeDisabled(on.CASH, wad(1.0)),
        ev.WithdrawFeeEnabled(on.CASH, wad(0.9)),
        ev.LibOverridden(on.MANAGER, 1, NOWHERE),
        ev.SpotPosted(on.SPOT_FEED, wad(1.0), wad(1.0), on.NOW + 1),
        ev.SolventAuctionStarted(on.AUCTION, 1, 0),
        ev.InterestAccrued(on.CASH, 1, 1, 1, 1),
    ],
    ids=lambda event: type(event).__name__,
)
def test_what_anybody_may_cause_stops_nothing(event: object) -> None:
    assert moved(event) == ()


def test_clearing_an_override_stops_nothing_setting_one_does() -> None:
    set_, cleared = ev.LibOverridden(on.MANAGER, 1, NEW), ev.LibOverridden(on.MANAGER, 1, NOWHERE)
    assert len(moved(set_, cleared)) == 1


@pytest.mark.parametrize(
    "event",
    [
        ev.ParametersSet(STRANGER, BasisRow(1, 2, 3, 4)),
        ev.ScenariosSet(STRANGER, (ScenarioRow(1, 1, 1),)),
        ev.DiffCapSet(on.SPOT_FEED, 1),
        ev.ManagerWhitelisted(STRANGER, on.MANAGER, False),
    ],
    ids=lambda event: type(event).__name__,
)
def test_the_same_event_of_a_contract_nobody_reads_stops_nothing(event: object) -> None:
    assert moved(event) == ()


def test_what_moved_is_told_once() -> None:
    scene = Scene()
    scene.fold(ev.ExpiriesMaxSet(on.MANAGER, 9))
    assert len(scene.folding.moved()) == 1
    assert scene.folding.moved() == ()


def test_a_settlement_heartbeat_is_written() -> None:
    scene = Scene()
    scene.fold(ev.SettlementHeartbeatSet(on.FORWARD_FEED, 60))
    scene.fold(ev.SettlementHeartbeatSet(on.VOL_FEED, 61))
    assert scene.tables.feeds[on.FORWARD_FEED].settlement_heartbeat_s == 60
    assert scene.tables.feeds[on.VOL_FEED].settlement_heartbeat_s == 0


# ── logs of authority ──


@pytest.mark.parametrize(
    ("name", "arguments", "about"),
    [
        ("Upgraded", ("0x" + "0a" * 20,), ("0x" + "0a" * 20,)),
        (
            "AdminChanged",
            ("0x" + "0a" * 20, "0x" + "0b" * 20),
            ("0x" + "0a" * 20, "0x" + "0b" * 20),
        ),
        ("Paused", ("0x" + "0a" * 20,), ("0x" + "0a" * 20,)),
        (
            "CallScheduled",
            (b"\1" * 32, 0, "0x" + "0c" * 20, 0, b"\2" * 68, b"\0" * 32, 86_400),
            ("0x" + "0c" * 20,),
        ),
        (
            "QueueTransaction",
            (b"\1" * 32, "0x" + "0c" * 20, 0, "f()", b"\2" * 36, 1_800_000_000),
            ("0x" + "0c" * 20,),
        ),
    ],
)
def test_a_log_of_authority_tells_whom_it_is_about(
    name: str, arguments: tuple[object, ...], about: tuple[str, ...]
) -> None:
    event = decode(log_of(name, *arguments))
    assert event == AuthorityChanged(SOURCE, name, about)


@pytest.mark.parametrize("name", AUTHORITY)
@pytest.mark.parametrize("data", ["0x", "0x00", "0x" + "ff" * 4_000, "0xzz", ""])
def test_a_log_of_authority_is_told_whatever_its_body(name: str, data: str) -> None:
    # Its form is a proxy's or a timelock's, not the venue's: a halt for the run would be too much.
    event = decode(Log(SOURCE, (TOPIC[name], "0x12"), data, 1, "0x"))
    assert isinstance(event, AuthorityChanged)
    assert event.name == name


def test_all_of_authority_is_known_by_its_signature() -> None:
    assert set(AUTHORITY) <= set(EVENTS)


def test_a_timelock_is_watched_where_there_is_one() -> None:
    assert NEW not in watch_addresses(Deployment().tables)
    tables = Deployment(timelock=NEW).tables
    assert NEW in watch_addresses(tables)
    assert role(tables, NEW) == "timelock"


# ── what a look tells ──


def test_owner_and_guardian_are_read_and_none_is_a_value_too() -> None:
    assert len(standing_asks(on.MANAGER)) == 2
    assert standing([raw(on.ALICE), None]) == {"owner": on.ALICE, "guardian": "none"}
    assert standing([b"", raw(2**255)])["guardian"] == f"0x{2**255:064x}"


def answers_of(deployment: Deployment) -> list[bytes | None]:
    feeds = deployment.tables.feeds
    return [
        raw(feeds[feed].heartbeat_s if data == "0x3defb962" else feeds[feed].settlement_heartbeat_s)
        for feed, data in heartbeat_asks(deployment.tables)
    ]


def test_a_heartbeat_that_is_another_now_is_told() -> None:
    ours, theirs = Deployment(), Deployment()
    assert heartbeat_changes(ours.tables, answers_of(theirs)) == []
    row = theirs.tables.feeds[on.VOL_FEED]
    theirs.tables.feeds.set(on.VOL_FEED, row._replace(heartbeat_s=60))
    row = theirs.tables.feeds[on.FORWARD_FEED]
    theirs.tables.feeds.set(on.FORWARD_FEED, row._replace(settlement_heartbeat_s=30))
    assert heartbeat_changes(ours.tables, answers_of(theirs)) == [
        (on.VOL_FEED, "heartbeat 1200 s -> 60 s"),
        (on.FORWARD_FEED, "settlementHeartbeat 180 s -> 30 s"),
    ]


def test_the_configured_timelock_is_an_address() -> None:
    assert replace(on.config(), timelock="0x" + "AB" * 20).timelock == "0x" + "ab" * 20
