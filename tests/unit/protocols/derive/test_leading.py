"""Accounts decided on signed data: who leads, with which services, and what an action brings."""

from typing import Any

import numpy as np
import pytest
from eth_abi.abi import decode

from keeper.domain.events import BlockSealed, CommandRefused, OracleUpdated, RoundObserved
from keeper.liquidation.strategy import Opportunity, Proposal, Service
from keeper.machine.assessing import assess
from keeper.margin.book import Kind
from keeper.market.payloads import PayloadRule
from keeper.market.quotes import JudgeRule, Quote
from keeper.protocols.derive.actions.calls import ACCEPT_DATA, SUBMIT_DATA
from tests.unit.protocols.derive import deployment as on
from tests.unit.protocols.derive.deployment import NOW, SOON, Deployment, wad
from tests.unit.protocols.derive.test_payloads import SMILE, Data, received, spot


EXECUTOR, SUBMITTER = on.at(300), on.at(301)
LATER = NOW + 200  # the spot of `NOW` is stale, the perpetual's difference is not
STEP = "(address,uint256,uint256,bool,bytes,(address,bytes,uint16,bool,int256,int256)[])[]"
GUARD = (
    "(uint256,uint256,uint256,(address,bytes,uint16,bool,int256,int256)[],"
    "(address,bytes,uint16,int256)[],(address,bytes4,bytes,bytes)[])"
)


def venue(**changes: Any) -> Deployment:
    fields: dict[str, Any] = {"executor": EXECUTOR, "payloads": PayloadRule(margin_s=0)}
    made = Deployment(**{**fields, **changes})
    made.portfolio.undo.begin(2, "0x" + "22" * 32)
    stable = made.tables.spots[on.STABLE_FEED]
    made.tables.spots.set(on.STABLE_FEED, stable._replace(timestamp=LATER))
    return made


def block(at: int) -> BlockSealed:
    return BlockSealed(1, 2, "0x" + "22" * 32, "0x" + "11" * 32, at, 1, 30_000_000, True, 0, ())


def look(deployment: Deployment, at: int) -> dict[int, Opportunity]:
    found = assess(deployment.venue, block(at))
    return {each.account: each for each in found.opportunities}


def start(deployment: Deployment, opportunity: Opportunity) -> tuple[str, list[tuple[Any, ...]]]:
    """The call that starts, and the steps of the batch it is in, if it is in one."""
    call = deployment.venue.encode(opportunity, Proposal(Service.START)).call
    if call.to != EXECUTOR:
        return call.to, []
    steps, _ = decode([STEP, GUARD], bytes.fromhex(call.data[10:]))
    return call.to, list(steps)


def perpetual(deployment: Deployment, account: int, cash: float, size: float = 10.0) -> None:
    row = deployment.account(account, cash, (Kind.PERPETUAL, 0, 0.0, size))
    deployment.tables.perp_mark.set(row, wad(2_000.0))


def test_where_the_feed_is_stale_data_decide_and_go_along_before_the_start() -> None:
    deployment = venue(data_submitter=SUBMITTER)
    perpetual(deployment, 1, 3_500.0)
    assert look(deployment, LATER) == {}
    data = spot(1_850.0, LATER, LATER + 60)
    deployment.venue.hear(received(data))
    found = look(deployment, LATER)
    to, (post, act) = start(deployment, found[1])
    assert (to, post[0]) == (EXECUTOR, SUBMITTER)
    assert post[4][:4].hex() == SUBMIT_DATA
    (packed,) = decode(["bytes"], post[4][4:])
    assert decode(["(address,bytes)[]"], packed) == (((on.SPOT_FEED, data.packed),),)
    assert (act[0], act[3]) == (on.AUCTION, False)
    assert act[5][0][0] == on.SPOT_FEED, "the spot is looked at once the data are in"
    assert act[5][0][4] < wad(1_850.0) < act[5][0][5]


def test_without_a_submitter_each_feed_is_told_by_itself() -> None:
    deployment = venue()
    perpetual(deployment, 1, 3_500.0)
    data = spot(1_850.0, LATER, LATER + 60)
    deployment.venue.hear(received(data))
    _, (post, _) = start(deployment, look(deployment, LATER)[1])
    assert (post[0], post[4][:4].hex()) == (on.SPOT_FEED, ACCEPT_DATA)
    assert decode(["bytes"], post[4][4:]) == (data.packed,)


def test_a_breach_that_only_data_show_leads_and_one_the_chain_shows_does_not() -> None:
    deployment = venue()
    perpetual(deployment, 1, 3_500.0)
    perpetual(deployment, 2, -500.0)
    assert sorted(look(deployment, NOW + 10)) == [2]
    deployment.venue.hear(received(spot(1_850.0, at=NOW + 5)))
    found = look(deployment, NOW + 10)
    assert sorted(found) == [1, 2]
    assert start(deployment, found[1])[0] == EXECUTOR
    assert start(deployment, found[2])[0] == on.AUCTION
    assert len(start(deployment, found[1])[1]) == 2


def test_data_that_show_health_hide_no_breach() -> None:
    deployment = venue()
    perpetual(deployment, 1, -500.0)
    deployment.venue.hear(received(spot(9_000.0, at=NOW + 5)))
    found = look(deployment, NOW + 10)
    assert start(deployment, found[1])[0] == on.AUCTION


def test_the_views_of_the_chain_are_margined_on_the_chains_own_quotes() -> None:
    deployment = venue()
    perpetual(deployment, 1, 3_500.0)
    before = assess(deployment.venue, block(NOW + 10)).margined[0]
    deployment.venue.hear(received(spot(1_850.0, at=NOW + 5)))
    after = assess(deployment.venue, block(NOW + 10)).margined[0]
    assert np.array_equal(before.stored.excess, after.stored.excess)
    assert before.accrued.excess[0] > 0.0 > after.accrued.excess[0]


def test_without_anything_to_bring_them_data_decide_nothing() -> None:
    deployment = venue(executor=None, auction_utils=None)
    perpetual(deployment, 1, 3_500.0)
    deployment.venue.hear(received(spot(1_850.0, LATER, LATER + 60)))
    assert look(deployment, LATER) == {}


def test_with_a_helper_alone_data_can_go_along_with_a_bid_and_not_with_a_start() -> None:
    deployment = venue(executor=None)
    perpetual(deployment, 1, 3_500.0)
    perpetual(deployment, 2, 3_500.0)
    deployment.account(90, 9_000.0, owner=on.KEEPER)
    deployment.auction(2, started_at=NOW, scenario=2)
    deployment.venue.hear(received(spot(1_850.0, LATER, LATER + 60)))
    found = look(deployment, LATER)
    assert {account: each.services for account, each in found.items()} == {2: (Service.BID,)}
    plan = Proposal(Service.BID, 1.0, 5_000.0, 90, cash_usd=9_000.0, through_helper=True)
    encoded = deployment.venue.encode(found[2], plan)
    assert (encoded.call.to, encoded.sender) == (on.UTILS, on.KEEPER)
    types = ["uint256"] * 4 + ["int256", "uint256", "uint256", "bool", "bytes"]
    brought = decode(types, bytes.fromhex(encoded.call.data[10:]))[-1]
    ((feed, _),) = decode(["(address,bytes)[]"], brought)[0]
    assert feed == on.SPOT_FEED


def test_only_the_data_of_expiries_that_are_held_go_along() -> None:
    deployment = venue()
    deployment.account(1, 1_000.0, (Kind.CALL, SOON, 2_000.0, -10.0))
    deployment.venue.hear(received(spot(2_400.0, at=NOW + 5)))
    for expiry in (SOON, on.LATER):
        numbers = (expiry, 10**16, 0, 0, 0, 10**17, wad(2_400.0), wad(0.02), 10**18)
        smile = Data(SMILE, numbers, NOW + 5)
        deployment.venue.hear(received(smile, on.VOL_FEED))
    found = look(deployment, NOW + 10)
    assert start(deployment, found[1])[0] == on.AUCTION, "the chain shows it too"
    deployment.quotes(NOW - 1_300)
    stable = deployment.tables.spots[on.STABLE_FEED]
    deployment.tables.spots.set(on.STABLE_FEED, stable._replace(timestamp=NOW))
    found = look(deployment, NOW + 10)
    _, steps = start(deployment, found[1])
    assert [each[0] for each in steps] == [on.SPOT_FEED, on.VOL_FEED, on.AUCTION]


def test_data_that_the_chain_refused_are_not_decided_on_again() -> None:
    deployment = venue()
    perpetual(deployment, 1, 3_500.0)
    deployment.venue.hear(received(spot(1_850.0, LATER, LATER + 60)))
    assert look(deployment, LATER)
    deployment.venue.hear(CommandRefused(1, "preflight", "DA_AuctionAlreadyStarted", ""))
    assert look(deployment, LATER)
    deployment.venue.hear(CommandRefused(1, "preflight", "BLF_InvalidSignature", ""))
    assert look(deployment, LATER) == {}


def test_a_jump_that_only_data_show_is_doubted_as_one_on_the_chain_is() -> None:
    deployment = venue()
    perpetual(deployment, 1, 7_000.0)
    row = deployment.tables.spots[on.SPOT_FEED]
    deployment.tables.doubts.set(on.SPOT_FEED, Quote(*row, row.price, 0))
    deployment.venue.hear(received(spot(1_400.0, LATER, LATER + 60)))
    assert look(deployment, LATER)[1].suspect


# ── what others say ──


def other(usd: float, at: int = NOW) -> OracleUpdated:
    return OracleUpdated("exchange", "ETH", usd, at * 1_000)


def states(deployment: Deployment, at: int = NOW) -> dict[str, str]:
    return dict(assess(deployment.venue, block(at)).assessment.quotes)


def test_a_spot_apart_from_the_second_source_is_suspect_while_that_is_young() -> None:
    deployment = venue(required_quotes=("ETH.spot",), quotes=JudgeRule(second_age_s_max=60))
    perpetual(deployment, 1, -500.0)
    deployment.venue.hear(other(2_100.0))
    assert states(deployment) == {"ETH.spot": "OK"}
    deployment.venue.hear(other(2_300.0))
    assert states(deployment) == {"ETH.spot": "SUSPECT"}
    assert look(deployment, NOW)[1].suspect
    assert states(deployment, NOW + 61) == {"ETH.spot": "OK"}
    assert not look(deployment, NOW + 61)[1].suspect


@pytest.mark.parametrize("answer", [0, -1])
def test_a_reference_that_is_no_price_halts_the_market(answer: int) -> None:
    deployment = venue(required_quotes=("ETH.spot",))
    perpetual(deployment, 1, -500.0)
    times = (3_600, 1, answer, NOW, NOW)
    seen = RoundObserved("check", "ETH", on.at(400), on.at(401), 1, 8, -1, *times)
    deployment.venue.hear(seen)
    assert states(deployment) == {"ETH.spot": "HALTED"}
    assert look(deployment, NOW) == {}


def test_ages_are_of_the_oldest_expiry_and_over_the_heartbeat() -> None:
    words = ("ETH.spot", "ETH.perp", "ETH.vol", "ETH.stable")
    deployment = venue(required_quotes=words)
    legs = ((Kind.CALL, SOON, 2_000.0, -1.0), (Kind.CALL, on.LATER, 2_000.0, 1.0))
    deployment.account(1, 1_000.0, *legs)
    key = (on.VOL_FEED, SOON)
    old = deployment.tables.vols[key]._replace(timestamp=NOW - 600)
    deployment.tables.vols.set(key, old)
    ages = dict(assess(deployment.venue, block(NOW + 90)).assessment.quote_ages)
    assert ages == {"ETH.spot": 0.5, "ETH.perp": 0.1, "ETH.vol": 690 / 1_200, "ETH.stable": 0.0}
