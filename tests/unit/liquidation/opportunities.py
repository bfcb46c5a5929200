"""Opportunities for the tests of this room, with one field changed at a time."""

from dataclasses import replace
from typing import Any

from keeper.liquidation.mechanisms.dutch_auction import Auction, AuctionParameters
from keeper.liquidation.strategy import Greeks, Opportunity, Service


PARAMETERS = AuctionParameters(
    start=0.95,
    cutoff=0.7,
    fast_s=900,
    slow_s=43_200,
    insolvent_s=3_600,
    fee_rate=0.1,
    buffer=0.15,
    mtm_cutoff_usd=0.0,
)

AUCTION = Auction(
    parameters=PARAMETERS,
    insolvent=False,
    started_s=1_000,
    scenario=3,
    reserved_usd=0.0,
    equity_usd=1_000.0,
    mm_excess_usd=-100.0,
)

OPPORTUNITY = Opportunity(
    venue="derive",
    account=7,
    underlying="ETH",
    services=(Service.START,),
    gas=(500_000,),
    equity_usd=1_000.0,
    excess_usd=-100.0,
    gross_usd=20_000.0,
    worst=3,
    scenario=3,
    ladder=(0.0, -50.0, -1_100.0),
    greeks=Greeks(1.0, 0.0, 0.0, 0.0),
    positions=2,
    auction=None,
    suspect=False,
    at_s=1_000,
)


def opportunity(**changes: Any) -> Opportunity:
    """Return the plain opportunity with some fields changed."""
    return replace(OPPORTUNITY, **changes)
