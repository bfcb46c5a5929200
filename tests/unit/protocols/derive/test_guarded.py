"""What is decided becomes ranges on the venue's views: which view, which word, which bounds."""

from dataclasses import replace

import pytest
from eth_utils.crypto import keccak

from keeper.domain.effects import Call
from keeper.domain.errors import InvariantViolation
from keeper.domain.units import WAD
from keeper.liquidation.mechanisms.dutch_auction import Auction, AuctionParameters
from keeper.liquidation.strategy import Greeks, Opportunity, Proposal, Service
from keeper.protocols.derive import guarded as at
from keeper.protocols.derive.guarded import Decided, GuardRule


AUCTION, MANAGER, SPOT, DIFF = ("0x" + digit * 40 for digit in "1234")
DECIDED = Decided(100, 5_000, AUCTION, MANAGER, SPOT, DIFF, 3_000 * WAD)
RULE = GuardRule(price_ppm_max=10_000, margin_slack_usd=5.0, feed_age_s_max=60)
CURVE = AuctionParameters(0.95, 0.7, 900, 43_200, 3_600, 0.1, 0.15, 0.0)
LIVE = Auction(CURVE, False, 4_000, 12, 250.0, 1_000.0, -100.0)
BREACH = Opportunity(
    "derive", 7, "ETH", (), (), 1_000.0, -100.0, 20_000.0, 33, 0, (), Greeks(0, 0, 0, 0), 2, None,
    False, 5_000,
)  # fmt: skip
CALL = Call(AUCTION, "0x11223344")
SLACK = 205 * WAD  # one percent of gross, and five dollars


def asked(signature: str, *words: int) -> str:
    return "0x" + keccak(text=signature)[:4].hex() + "".join(f"{word:064x}" for word in words)


def bounds(conditions) -> list[tuple]:
    return [(each.target, each.data, each.word, each.least, each.most) for each in conditions]


def test_a_start_is_for_a_breach_no_deeper_than_decided() -> None:
    step = at.step_of(CALL, BREACH, Proposal(Service.START), DECIDED, RULE)
    view = asked("getMarginAndMarkToMarket(uint256,bool,uint256)", 7, 0, 0)
    assert bounds(step.conditions) == [
        (MANAGER, view, 0, -100 * WAD - SLACK, SLACK),
        (MANAGER, view, 1, 1_000 * WAD - SLACK, 1_000 * WAD + SLACK),
    ]
    assert (step.call, step.optional) == (CALL, False)


def test_a_bid_is_for_the_same_auction_with_margin_in_range() -> None:
    opportunity = replace(BREACH, auction=LIVE)
    step = at.step_of(CALL, opportunity, Proposal(Service.BID), DECIDED, RULE)
    state = asked("getAuction(uint256)", 7)
    margin = asked("getMarginAndMarkToMarket(uint256,uint256)", 7, 12)
    ulp = 250 * WAD >> 50
    assert bounds(step.conditions) == [
        (AUCTION, state, 1, 12, 12),
        (AUCTION, state, 2, 0, 0),
        (AUCTION, state, 3, 1, 1),
        (AUCTION, state, 6, 250 * WAD - ulp, 250 * WAD + ulp),
        (AUCTION, margin, 0, -100 * WAD - SLACK, -100 * WAD + SLACK),
        (AUCTION, margin, 2, 1_000 * WAD - SLACK, 1_000 * WAD + SLACK),
    ]
    insolvent = replace(BREACH, auction=replace(LIVE, insolvent=True))
    other = at.step_of(CALL, insolvent, Proposal(Service.BID), DECIDED, RULE)
    assert bounds(other.conditions)[1] == (AUCTION, state, 2, 1, 1)


@pytest.mark.parametrize("service", [Service.TERMINATE, Service.CONVERT, Service.UPDATE_SCENARIO])
def test_upkeep_of_an_auction_asks_only_that_it_is_on(service: Service) -> None:
    opportunity = replace(BREACH, auction=LIVE)
    step = at.step_of(CALL, opportunity, Proposal(service), DECIDED, RULE)
    assert bounds(step.conditions) == [(AUCTION, asked("getAuction(uint256)", 7), 3, 1, 1)]


def test_a_bid_without_an_auction_is_a_bug() -> None:
    with pytest.raises(InvariantViolation):
        at.step_of(CALL, BREACH, Proposal(Service.BID), DECIDED, RULE)


def test_the_market_must_stand_where_it_stood_and_be_fresh() -> None:
    spot, age = at.market_conditions(DECIDED, RULE)
    assert bounds([spot]) == [(SPOT, asked("getSpot()"), 0, 2_970 * WAD, 3_030 * WAD)]
    assert (age.target, age.data, age.word) == (DIFF, asked("spotDiffDetails()"), 2)
    assert (age.is_age, age.most) == (True, 60)
    assert not spot.is_age


@pytest.mark.parametrize(
    ("decided", "rule"),
    [(replace(DECIDED, diff_feed=None), RULE), (DECIDED, replace(RULE, feed_age_s_max=0))],
)
def test_no_age_is_asked_of_a_feed_that_keeps_none_or_by_a_rule_that_wants_none(
    decided: Decided, rule: GuardRule
) -> None:
    assert len(at.market_conditions(decided, rule)) == 1


def test_gains_are_of_our_own_account() -> None:
    worth = at.worth_gain(MANAGER, 9, 3 * WAD)
    view = asked("getMarginAndMarkToMarket(uint256,bool,uint256)", 9, 0, 0)
    assert (worth.target, worth.data, worth.word, worth.least) == (MANAGER, view, 1, 3 * WAD)
    cash = at.cash_gain(SPOT, DIFF, 9, -WAD)
    data = asked("getBalance(uint256,address,uint256)", 9, int(DIFF, 16), 0)
    assert (cash.target, cash.data, cash.word, cash.least) == (SPOT, data, 0, -WAD)


def test_both_deadlines_count_from_the_block_decided_on() -> None:
    step = at.step_of(CALL, BREACH, Proposal(Service.START), DECIDED, RULE)
    call = at.guarded("0x" + "e" * 40, step, DECIDED, replace(RULE, blocks_max=3, seconds_max=40))
    head = bytes.fromhex(call.data[10:])
    place = int.from_bytes(head[32:64], "big")
    deadlines = [int.from_bytes(head[place + at : place + at + 32], "big") for at in (0, 32)]
    assert deadlines == [103, 5_040]
    assert call.to == "0x" + "e" * 40


def test_guarding_costs_more_gas_the_larger_the_book() -> None:
    assert at.guarded_gas(10**6, 50) - at.guarded_gas(10**6, 2) > 48 * 60_000
