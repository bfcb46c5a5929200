"""Pyth prices: what a stored one is worth, which update is brought, and what nobody may slip in."""

from dataclasses import replace

import pytest

from keeper.domain.events import PayloadReceived, PriceObserved
from keeper.market.opinions import Opinions
from keeper.market.payloads import PayloadRule, Policy
from keeper.market.pulls import BYTES_MAX, ROWS_MAX
from keeper.market.pyth import PythPrice
from keeper.market.quotes import JudgeRule, QuoteRule, QuoteState
from tests.unit.market.pyth_bytes import BTC, ETH, NOW, USD, packed, price


PYTH, OTHER = "0x" + "f3" * 20, "0x" + "f4" * 20
WAD = 10**18
KEY, BTC_KEY = (PYTH, ETH), (PYTH, BTC)
LASTS_S = 60
STORED = PriceObserved(
    source="pyth_eth",
    subject="ETH",
    feed=PYTH,
    price_id=ETH,
    price=2_000 * USD,
    confidence=USD,
    decimals=8,
    decimals_expected=-1,
    published_s=NOW - 10,
    heartbeat_s=LASTS_S,
    confidence_min_ppm=950_000,
    fee_wei=7,
)
LONG_AGO = replace(STORED, published_s=NOW - 5_000)


def opinions(*seen: PriceObserved, policy: Policy = "best_valid", **rule: object) -> Opinions:
    judged = JudgeRule(**rule)  # type: ignore[arg-type]
    made = Opinions(judged, QuoteRule(), PayloadRule(policy, margin_s=15))
    for each in seen:
        made.pulls.hear_price(each)
    return made


def update(*prices: PythPrice, feed: str = PYTH, lasts_s: int = LASTS_S) -> PayloadReceived:
    oldest = min(each.published_s for each in prices)
    data = "0x" + packed(*prices).hex()
    return PayloadReceived("hermes", feed, data, oldest, oldest + lasts_s)


# ── what a contract holds ──


def test_a_stored_price_counts_as_an_opinion_in_18_decimals() -> None:
    said = opinions(STORED)
    assert said.second("ETH", NOW) == 2_000 * WAD
    assert said.second("BTC", NOW) is None
    assert said.reference("ETH", NOW) is QuoteState.OK


@pytest.mark.parametrize(
    ("change", "state", "check"),
    [
        ({"price": 0}, QuoteState.HALTED, "not_positive"),
        ({"price": -2_000 * USD}, QuoteState.HALTED, "not_positive"),
        ({"decimals": 5}, QuoteState.HALTED, "decimals"),
        ({"published_s": NOW - 9, "heartbeat_s": 8}, QuoteState.STALE, "age"),
        ({"published_s": 0}, QuoteState.STALE, "age"),
        ({"published_s": NOW + LASTS_S + 1}, QuoteState.STALE, "age"),
        ({"confidence": 101 * USD}, QuoteState.SUSPECT, "confidence"),
        ({"confidence": 3_000 * USD}, QuoteState.SUSPECT, "confidence"),
        ({"price": 3_000 * USD}, QuoteState.SUSPECT, "jump"),
        ({"confidence": 99 * USD}, QuoteState.OK, ""),
        ({"published_s": NOW + LASTS_S}, QuoteState.OK, ""),
    ],
)
def test_a_stored_price_is_judged_by_the_one_table_and_only_a_good_one_is_an_opinion(
    change: dict[str, int], state: QuoteState, check: str
) -> None:
    # What a node that is behind shows is passed over, so that a zero time is a first look.
    first = [] if change.get("published_s") == 0 else [STORED]
    said = opinions(*first)
    said.pulls.hear_price(replace(STORED, **change))  # type: ignore[arg-type]
    assert said.pulls.verdict(KEY, NOW) == (state, check)
    assert said.reference("ETH", NOW) is state
    assert (said.second("ETH", NOW) is not None) == (state is QuoteState.OK)


def test_the_venue_may_ask_for_more_confidence_than_the_price_does() -> None:
    doubted = replace(STORED, confidence=50 * USD)
    assert opinions(doubted).reference("ETH", NOW) is QuoteState.OK
    strict = opinions(doubted, confidence_min_ppm=990_000)
    assert strict.reference("ETH", NOW) is QuoteState.SUSPECT


def test_configured_decimals_count_from_the_first_look() -> None:
    said = opinions(replace(STORED, decimals_expected=18))
    assert said.pulls.verdict(KEY, NOW).check == "decimals"


def test_an_underlying_that_must_be_checked_is_by_a_pyth_price_too() -> None:
    assert opinions(checked=("ETH",)).reference("ETH", NOW) is QuoteState.STALE
    assert opinions(STORED, checked=("ETH",)).reference("ETH", NOW) is QuoteState.OK


def test_a_look_through_a_node_that_is_behind_takes_no_price_back() -> None:
    said = opinions(STORED, replace(STORED, published_s=NOW - 11, price=USD))
    assert said.second("ETH", NOW) == 2_000 * WAD


# ── what could be brought ──


def test_a_price_that_is_only_old_is_in_order_while_an_update_could_be_brought() -> None:
    said = opinions(LONG_AGO)
    assert said.reference("ETH", NOW) is QuoteState.STALE
    said.pulls.hear_update(update(price(2_100, NOW - 20)))
    assert said.reference("ETH", NOW) is QuoteState.OK
    assert said.second("ETH", NOW) == 2_100 * WAD
    late = NOW - 20 + LASTS_S
    assert said.reference("ETH", late) is QuoteState.STALE, "it could not be brought any more"
    assert said.second("ETH", late) is None


@pytest.mark.parametrize(
    "said_of_it",
    [
        price(0, NOW - 20),
        price(-5, NOW - 20),
        price(2_100, NOW - 20)._replace(exponent=-5),
        price(2_100, NOW - 20, within=200),
    ],
    ids=["zero", "negative", "other decimals", "unsure"],
)
def test_an_update_that_is_not_in_order_mends_nothing_and_halts_nothing(
    said_of_it: PythPrice,
) -> None:
    stale, fresh = opinions(LONG_AGO), opinions(STORED)
    for each in (stale, fresh):
        each.pulls.hear_update(update(said_of_it))
    assert stale.reference("ETH", NOW) is QuoteState.STALE
    assert fresh.reference("ETH", NOW) is QuoteState.OK


def test_what_the_contract_holds_is_halted_whatever_could_be_brought() -> None:
    said = opinions(replace(STORED, price=0))
    said.pulls.hear_update(update(price(2_100, NOW - 5)))
    assert said.reference("ETH", NOW) is QuoteState.HALTED


@pytest.mark.parametrize(("policy", "usd"), [("best_valid", 2_000), ("latest_only", None)], ids=str)
def test_the_newest_that_still_counts_is_brought_or_none_but_the_latest(
    policy: Policy, usd: int | None
) -> None:
    pulls = opinions(LONG_AGO, policy=policy).pulls
    for said, at in ((1_900, NOW - 50), (2_000, NOW - 40), (2_100, NOW + 5)):
        pulls.hear_update(update(price(said, at)))
    found = pulls.bring([KEY], NOW)
    assert [each.data for each in found] == ([] if usd is None else [packed(price(usd, NOW - 40))])


def test_an_update_outside_its_validity_is_not_offered() -> None:
    pulls = opinions(LONG_AGO).pulls
    pulls.hear_update(update(price(2_000, NOW)))
    last = NOW + LASTS_S - 15
    offered = {now: bool(pulls.bring([KEY], now)) for now in (NOW - 1, NOW, last, last + 1)}
    assert offered == {NOW - 1: False, NOW: True, last: True, last + 1: False}


def test_what_is_no_newer_than_the_contract_holds_is_not_brought() -> None:
    pulls = opinions(STORED).pulls
    pulls.hear_update(update(price(2_000, STORED.published_s)))
    assert pulls.bring([KEY], NOW) == ()
    pulls.hear_update(update(price(2_000, STORED.published_s + 1)))
    assert len(pulls.bring([KEY], NOW)) == 1


def test_one_update_of_two_prices_is_brought_once_with_its_fee() -> None:
    btc = replace(LONG_AGO, subject="BTC", price_id=BTC)
    pulls = opinions(LONG_AGO, btc).pulls
    pulls.hear_update(update(price(2_000, NOW - 5), price(60_000, NOW - 4, about=BTC)))
    (found,) = pulls.bring([KEY, BTC_KEY], NOW)
    assert found.fee_wei == 7
    pulls.hear_update(update(price(60_100, NOW - 3, about=BTC)))
    assert len(pulls.bring([KEY, BTC_KEY], NOW)) == 2
    assert len(pulls.bring([KEY], NOW)) == 1


def test_what_a_chain_refused_is_not_brought_again() -> None:
    pulls = opinions(LONG_AGO).pulls
    pulls.hear_update(update(price(2_000, NOW - 5)))
    (found,) = pulls.bring([KEY], NOW)
    pulls.refuse([found.data])
    pulls.hear_update(update(price(2_000, NOW - 5)))
    assert pulls.bring([KEY], NOW) == ()


# ── what nobody may slip in ──


def test_updates_are_kept_of_prices_that_are_read_and_of_no_others() -> None:
    pulls = opinions(LONG_AGO).pulls
    pulls.hear_update(update(price(2_000, NOW - 5), price(60_000, NOW - 5, about=BTC)))
    assert pulls.bring([KEY, BTC_KEY, (OTHER, ETH)], NOW)[0].data == packed(
        price(2_000, NOW - 5), price(60_000, NOW - 5, about=BTC)
    )
    pulls.hear_price(replace(LONG_AGO, price_id=BTC))
    assert pulls.bring([BTC_KEY], NOW) == ()
    assert pulls.knows(PYTH)
    assert not pulls.knows(OTHER)


def test_bytes_that_are_none_or_older_than_announced_are_told_once_and_not_kept() -> None:
    pulls = opinions(LONG_AGO).pulls
    good = update(price(2_000, NOW - 5))
    pulls.hear_update(replace(good, timestamp=NOW - 4))
    (told,) = pulls.drain()
    assert (told.kind, dict(told.fields)["feed"]) == ("payload_malformed", PYTH)
    for junk in ("0xab", "ab", "0x", "0xzz"):
        pulls.hear_update(replace(good, payload=junk, source="junk"))
    assert len(pulls.drain()) == 1
    assert pulls.bring([KEY], NOW) == ()


def test_an_update_that_says_two_things_of_one_price_is_read_as_the_newer() -> None:
    said = opinions(LONG_AGO)
    said.pulls.hear_update(update(price(9_000, NOW - 9), price(2_100, NOW - 8)))
    assert said.second("ETH", NOW) == 2_100 * WAD


def test_no_more_prices_are_read_than_the_limit() -> None:
    many = (replace(STORED, price_id=f"0x{each:064x}") for each in range(ROWS_MAX))
    pulls = opinions(*many).pulls
    pulls.hear_price(replace(STORED, subject="one too many"))
    assert pulls.states("one too many", NOW) == []
    assert len(pulls.states("ETH", NOW)) == ROWS_MAX


def test_no_longer_update_is_opened_than_the_limit() -> None:
    pulls = opinions(LONG_AGO).pulls
    good = update(price(2_000, NOW - 5))
    room = BYTES_MAX - len(packed(price(2_000, NOW - 5), proof=b""))
    for proof, kept in ((room + 1, False), (room, True)):
        data = packed(price(2_000, NOW - 5), proof=bytes(proof))
        pulls.hear_update(replace(good, payload="0x" + data.hex()))
        assert bool(pulls.bring([KEY], NOW)) == kept
