"""Preventive mode is off: nothing is done to an account that stands without its owner's leave."""

from dataclasses import replace

import pytest

from keeper.liquidation.mandate import Mandate, permitted
from keeper.liquidation.priority import Appraised
from keeper.liquidation.strategy import Appraisal, Service
from tests.unit.liquidation.opportunities import AUCTION, opportunity


MANDATE = Mandate("derive", 7, until_s=2_000, excess_below_usd=500.0, services=("bid",))


def asked(service: Service, **changes) -> Appraised:
    return Appraised(opportunity(**changes), Appraisal(service, 0.0, 0.0, 0.0, 1))


def test_a_breach_needs_nobodys_leave() -> None:
    assert permitted(asked(Service.START, excess_usd=-0.01), ())


def test_a_live_auction_is_the_venues_finding() -> None:
    assert permitted(asked(Service.BID, excess_usd=5.0, auction=AUCTION), ())


@pytest.mark.parametrize("service", list(Service))
def test_upkeep_is_anybodys_and_all_else_the_owners(service: Service) -> None:
    # Feeds are pushed for no account: as a service of one, nobody has leave for it.
    upkeep = service not in (Service.START, Service.BID, Service.PUSH_FEEDS)
    assert permitted(asked(service, excess_usd=5.0), ()) is upkeep


@pytest.mark.parametrize("excess", [0.0, float("nan"), float("inf")])
def test_at_the_line_or_without_a_number_there_is_no_breach(excess: float) -> None:
    assert not permitted(asked(Service.BID, excess_usd=excess), ())


def test_a_mandate_is_for_its_account_its_time_its_excess_and_its_services() -> None:
    prevented = asked(Service.BID, excess_usd=400.0)
    assert permitted(prevented, [MANDATE])
    assert not permitted(asked(Service.START, excess_usd=400.0), [MANDATE])
    assert not permitted(asked(Service.BID, excess_usd=500.0), [MANDATE])
    assert not permitted(asked(Service.BID, excess_usd=400.0, at_s=2_001), [MANDATE])
    for changed in ({"account": 8}, {"venue": "other"}):
        assert not permitted(prevented, [replace(MANDATE, **changed)])
