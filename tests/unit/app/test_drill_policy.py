"""A drill's strategy: the operator's own, for the chosen accounts, and a small bid at the end."""

from __future__ import annotations

from typing import Any

from keeper.app.drill.policy import FRACTION, DrillPolicy
from keeper.liquidation.strategy import Bidder, Opportunity, Service, Stock
from tests.unit.liquidation.opportunities import AUCTION, opportunity


ACCOUNT = 7
LIVE: dict[str, Any] = {"services": (Service.BID,), "gas": (900_000,), "auction": AUCTION}


def policy(name: str = "strategies.flag_only:FlagOnly", **changes: Any) -> DrillPolicy:
    chosen: dict[str, Any] = {"parameters": {}, "accounts": [ACCOUNT], "helper": False}
    return DrillPolicy(name, **chosen | changes)


def stock(cash_usd: float = 10_000.0, *, ready: bool = True) -> Stock:
    bidder = Bidder(90, "0x" + 40 * "1", "ETH", cash_usd, ready)
    return Stock([bidder], 1, 1.0, 64)


def served(chosen: DrillPolicy, each: Opportunity, left: Stock) -> Any:
    appraisal = chosen.appraise(each, left)
    return appraisal and chosen.propose(each, appraisal, left)


def test_an_account_that_was_not_chosen_is_left_alone() -> None:
    assert policy(accounts=[8]).appraise(opportunity(), stock()) is None
    assert policy(accounts=[8]).appraise(opportunity(**LIVE), stock()) is None


def test_the_operators_own_strategy_speaks_first() -> None:
    found = served(policy(), opportunity(), stock())
    assert found.service is Service.START


def test_where_the_strategy_would_not_bid_a_small_bid_is_made_all_the_same() -> None:
    found = served(policy(), opportunity(**LIVE), stock())
    assert (found.service, found.fraction, found.bidder) == (Service.BID, FRACTION, 90)
    price, at_s = AUCTION.price(1_000) * FRACTION, 1_000
    assert found.price_limit_usd > price
    assert found.cash_usd > AUCTION.cash_needed(at_s, FRACTION)


def test_a_bid_of_the_operators_own_is_taken_as_it_is() -> None:
    free = {"profit_min_usd": 0.0, "risk_rate": 0.0}
    own = policy("strategies.dutch_auction:DutchAuction", parameters=free)
    assert served(own, opportunity(**LIVE), stock()).fraction != FRACTION


def test_without_a_bidder_that_may_bid_nothing_is_proposed() -> None:
    assert policy().appraise(opportunity(**LIVE), stock(ready=False)) is None
    assert policy().appraise(opportunity(**LIVE), stock(0.0)) is None
    assert policy(helper=True).appraise(opportunity(**LIVE), stock(ready=False)) is not None
