"""Every event we read, well formed and malformed."""

from dataclasses import dataclass
from typing import Any

import pytest

from keeper.domain.errors import UndecodableLog
from keeper.domain.events import Log
from keeper.protocols.derive.abi import EVENTS, TOPIC
from keeper.protocols.derive.logs import events as ev
from keeper.protocols.derive.logs.authority import AUTHORITY
from keeper.protocols.derive.logs.decode import DECODERS, decode
from keeper.protocols.derive.tables import (
    BasisRow,
    CollateralRow,
    ForwardRow,
    MarginRow,
    OtherRow,
    ScenarioRow,
    SkewRow,
    VolRow,
    VolShockRow,
)
from tests.unit.protocols.derive.logs import SOURCE, log_of


A, B, C = "0x" + "0a" * 20, "0x" + "0b" * 20, "0x" + "00" * 19 + "0c"
WAD = 10**18
PACKED = bytes.fromhex(B[2:]) + (77).to_bytes(12, "big")
NINE = (-1, 2, -3, -4, 5, 6, 7, 8, 9)
EIGHT = (1, 2, -3, -4, 5, -6, -7, 8)


@dataclass(frozen=True)
class Case:
    name: str
    arguments: tuple[Any, ...]
    event: Any


CASES = [
    Case("AccountCreated", (A, 5, B), ev.AccountCreated(SOURCE, A, 5, B)),
    Case(
        "BalanceAdjusted",
        (5, A, PACKED, -4, 3, -1, 9),
        ev.BalanceAdjusted(SOURCE, 5, A, B, 77, -1),
    ),
    Case("Transfer", (A, B, 5), ev.OwnerChanged(SOURCE, 5, B)),
    Case("InterestAccrued", (9, 1, 2, 3, 4), ev.InterestAccrued(SOURCE, 1, 2, 3, 4)),
    Case(
        "InterestAccruedOnAccount",
        (5, -7, -1, WAD),
        ev.AccountInterestAccrued(SOURCE, 5, -7, -1, WAD),
    ),
    Case("SettledCashUpdated", (3, -4), ev.CashPrinted(SOURCE, -4)),
    Case("SmFeeSet", (WAD,), ev.FeeSet(SOURCE, WAD)),
    Case("InterestRateModelSet", (C,), ev.RateModelChanged(SOURCE, C)),
    Case("WithdrawFeeEnabled", (5,), ev.WithdrawFeeEnabled(SOURCE, 5)),
    Case("WithdrawFeeDisabled", (5,), ev.WithdrawFeeDisabled(SOURCE, 5)),
    Case("PositionSettled", (5, 1, -2, 3), ev.PositionSettled(SOURCE, 5, -2, 3)),
    Case("FundingAppliedOnAccount", (5, -1, -2), ev.FundingApplied(SOURCE, 5, -1, -2)),
    Case("PositionCleared", (5,), ev.PositionCleared(SOURCE, 5)),
    Case("AggregatedFundingUpdated", (-1, 2, 3), ev.FundingAggregated(SOURCE, -1, 3)),
    Case("RateBoundsUpdated", (4,), ev.RateBoundsSet(SOURCE, 4)),
    Case("StaticUnderlyingInterestRateUpdated", (-4,), ev.StaticRateSet(SOURCE, -4)),
    Case("ConvergencePeriodUpdated", (8,), ev.ConvergenceSet(SOURCE, 8)),
    Case("Disabled", (8, -9), ev.PerpDisabled(SOURCE, 8, -9)),
    Case("PerpFeedUpdated", (A,), ev.FeedRewired(SOURCE, "perp", A)),
    Case("ImpactFeedsUpdated", (A, B), ev.ImpactFeedsRewired(SOURCE, A, B)),
    Case("SpotFeedUpdated", (A,), ev.FeedRewired(SOURCE, "spot", A)),
    Case("StableFeedUpdated", (A,), ev.FeedRewired(SOURCE, "stable", A)),
    Case("ForwardFeedUpdated", (A,), ev.FeedRewired(SOURCE, "forward", A)),
    Case("VolFeedUpdated", (A,), ev.FeedRewired(SOURCE, "vol", A)),
    Case("InterestRateFeedUpdated", (A,), ev.FeedRewired(SOURCE, "rate", A)),
    Case(
        "SpotPriceUpdated",
        (2**96 - 1, WAD, 2**64 - 1),
        ev.SpotPosted(SOURCE, 2**96 - 1, WAD, 2**64 - 1),
    ),
    Case("SpotDiffUpdated", (-(2**95), WAD, 7), ev.DiffPosted(SOURCE, -(2**95), WAD, 7)),
    Case("SpotDiffCapUpdated", (WAD,), ev.DiffCapSet(SOURCE, WAD)),
    Case(
        "ForwardDataUpdated",
        (99, (-1, 2, 3), (4, 5)),
        ev.ForwardPosted(SOURCE, 99, ForwardRow(-1, 2, 3, 4, 5)),
    ),
    Case("VolDataUpdated", (99, NINE), ev.VolPosted(SOURCE, 99, VolRow(*NINE))),
    Case("RateUpdated", (99, -1, 2, 3), ev.RatePosted(SOURCE, 99, -1, 2, 3)),
    Case("StaticSpotUpdated", (1, 2), ev.SpotPosted(SOURCE, 1, 2, 0)),
    Case("StaticDiffUpdated", (1, 2), ev.DiffPosted(SOURCE, 1, 2, 0)),
    Case("StaticRateUpdated", (-1, 2), ev.RatePosted(SOURCE, 0, -1, 2, 0)),
    Case(
        "ScenariosUpdated",
        ([(1, 2, 3), (4, 0, 6)],),
        ev.ScenariosSet(SOURCE, (ScenarioRow(1, 2, 3), ScenarioRow(4, 0, 6))),
    ),
    Case("CollateralSpotFeedUpdated", (A, B), ev.CollateralFeedSet(SOURCE, A, B)),
    Case("LibOverrideUpdated", (5, A), ev.LibOverridden(SOURCE, 5, A)),
    Case("MaxAccountSizeUpdated", (5,), ev.AccountSizeMaxSet(SOURCE, 5)),
    Case("MaxExpiriesUpdated", (5,), ev.ExpiriesMaxSet(SOURCE, 5)),
    Case("AdjustmentsPausedSet", (True,), ev.AdjustmentsPausedSet(SOURCE, True)),
    Case(
        "BasisContingencyParamsUpdated",
        ((1, 2, 3, 4),),
        ev.ParametersSet(SOURCE, BasisRow(1, 2, 3, 4)),
    ),
    Case(
        "OtherContingencyParamsUpdated",
        (tuple(range(8)),),
        ev.ParametersSet(SOURCE, OtherRow(*range(8))),
    ),
    Case("MarginParamsUpdated", (tuple(range(8)),), ev.ParametersSet(SOURCE, MarginRow(*range(8)))),
    Case(
        "VolShockParamsUpdated",
        ((1, 2, -3, -4, 5, 6),),
        ev.ParametersSet(SOURCE, VolShockRow(1, 2, -3, -4, 5, 6)),
    ),
    Case("SkewShockParamsUpdated", (EIGHT,), ev.ParametersSet(SOURCE, SkewRow(*EIGHT))),
    Case(
        "CollateralParametersUpdated",
        (A, (True, False, 1, 2)),
        ev.CollateralSet(SOURCE, A, CollateralRow(True, False, 1, 2)),
    ),
    Case("SolventAuctionStarted", (5, 2, -3, 4), ev.SolventAuctionStarted(SOURCE, 5, 2)),
    Case("InsolventAuctionStarted", (5, 2, -3), ev.InsolventAuctionStarted(SOURCE, 5, 2, -3)),
    Case("Bid", (5, 6, 7, 8, 9), ev.BidWon(SOURCE, 5, 8)),
    Case("AuctionEnded", (5, 6), ev.AuctionEnded(SOURCE, 5)),
    Case("ScenarioIdUpdated", (5, 6), ev.ScenarioUpdated(SOURCE, 5, 6)),
    Case("AuctionParamsSet", (tuple(range(7)),), ev.AuctionRulesSet(SOURCE, tuple(range(7)))),
    Case("MtmCutOffSet", (-5,), ev.MtmCutoffSet(SOURCE, -5)),
    Case("ManagerWhitelisted", (A, True), ev.ManagerWhitelisted(SOURCE, A, True)),
    Case("SMAccountSet", (5,), ev.SecurityAccountSet(SOURCE, 5)),
    Case("SettlementHeartbeatUpdated", (90,), ev.SettlementHeartbeatSet(SOURCE, 90)),
]

EACH = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def test_every_event_we_know_has_a_case_and_a_decoder() -> None:
    assert [case.name for case in CASES if case.name not in EVENTS] == []
    # Those of authority take any body: they have tests of their own.
    assert sorted(case.name for case in CASES) == sorted(set(EVENTS) - set(AUTHORITY))
    assert sorted(DECODERS) == sorted(TOPIC.values())


@EACH
def test_a_log_becomes_its_event(case: Case) -> None:
    event = decode(log_of(case.name, *case.arguments))
    assert event == case.event
    assert type(event) is type(case.event)


@EACH
@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data + "00",
        lambda data: data + "00" * 32,
        lambda data: data[:-2] if len(data) > 2 else "0",
        lambda data: data[:-64] if len(data) > 2 else "",
        lambda data: data[:-1] + "g" if len(data) > 2 else "0xg",
        lambda data: data[:-2] + "  " if len(data) > 2 else "0x  ",
        lambda data: data[:-2] + "_0" if len(data) > 2 else "0x_0",
        lambda data: "1y" + data[2:],
        lambda data: "",
    ],
    ids=["byte", "word", "cut", "word_cut", "letter", "blanks", "bar", "prefix", "none"],
)
def test_a_malformed_body_is_undecodable(case: Case, spoil: Any) -> None:
    log = log_of(case.name, *case.arguments)
    with pytest.raises(UndecodableLog) as raised:
        decode(log._replace(data=spoil(log.data)))
    error = raised.value
    assert (error.address, error.topic, error.log_index) == (SOURCE, TOPIC[case.name], 3)
    assert error.problem


@EACH
def test_a_missing_or_further_topic_is_undecodable(case: Case) -> None:
    log = log_of(case.name, *case.arguments)
    topics = [(*log.topics, "0x" + "00" * 32)] + ([log.topics[:-1]] if len(log.topics) > 1 else [])
    for each in topics:
        with pytest.raises(UndecodableLog):
            decode(log._replace(topics=each))


@pytest.mark.parametrize(
    "topic", ["0x" + "0" * 63, "0x" + "0" * 65, "0x" + "g" * 64, "0x" + " " * 64, ""]
)
def test_a_malformed_topic_is_undecodable(topic: str) -> None:
    log = log_of("PositionCleared", 5)
    with pytest.raises(UndecodableLog):
        decode(log._replace(topics=(log.topics[0], topic)))


@pytest.mark.parametrize(
    ("name", "arguments", "word"),
    [
        ("SpotPriceUpdated", (1, 2, 3), 0),
        ("SpotPriceUpdated", (1, 2, 3), 2),
        ("SpotDiffUpdated", (1, 2, 3), 0),
        ("SpotFeedUpdated", (A,), 0),
        ("AdjustmentsPausedSet", (True,), 0),
        ("RateUpdated", (9, 1, 2, 3), 0),
        ("ForwardDataUpdated", (9, (1, 2, 3), (4, 5)), 1),
        ("VolDataUpdated", (9, NINE), 6),
        ("ScenariosUpdated", ([(1, 2, 3)],), 0),
        ("ScenariosUpdated", ([(1, 2, 3)],), 1),
        ("ScenariosUpdated", ([(1, 2, 3)],), 3),
        ("CollateralParametersUpdated", (A, (True, False, 1, 2)), 1),
    ],
)
def test_a_word_beyond_its_type_is_undecodable(
    name: str, arguments: tuple[Any, ...], word: int
) -> None:
    log = log_of(name, *arguments)
    start = 2 + 64 * word
    data = log.data[:start] + "7f" + "00" * 31 + log.data[start + 64 :]
    with pytest.raises(UndecodableLog):
        decode(log._replace(data=data))


def test_a_vol_shock_that_does_not_exist_is_undecodable() -> None:
    log = log_of("ScenariosUpdated", [(1, 4, 3)])
    with pytest.raises(UndecodableLog, match="no vol shock 5"):
        decode(log._replace(data=log.data.replace(f"{4:064x}", f"{5:064x}")))


def test_a_topic_we_do_not_know_says_nothing() -> None:
    assert decode(Log(SOURCE, ("0x" + "12" * 32,), "0xzz", 0, "0x")) is None


def test_a_log_without_topics_says_nothing() -> None:
    assert decode(Log(SOURCE, (), "0x", 0, "0x")) is None


def test_an_empty_list_of_scenarios_is_a_list() -> None:
    assert decode(log_of("ScenariosUpdated", [])) == ev.ScenariosSet(SOURCE, ())
