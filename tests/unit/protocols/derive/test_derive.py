"""The venue socket: own accounts, calls for proposals, quote states, what is watched."""

from dataclasses import replace

import pytest

from keeper.domain.errors import InvariantViolation
from keeper.domain.events import BlockSealed
from keeper.domain.units import to_wad
from keeper.liquidation.strategy import Greeks, Opportunity, Proposal, Service
from keeper.margin.book import Kind
from keeper.market.quotes import Quote
from keeper.protocols.derive.actions import calls
from keeper.protocols.derive.logs.events import AccountCreated
from keeper.protocols.derive.tables import DiffRow
from keeper.venue import Margined, Venue
from tests.unit.protocols.derive import deployment as on
from tests.unit.protocols.derive.deployment import KEEPER, NOW, SOON, WAD, Deployment, wad


REQUIRED = ("ETH.spot", "ETH.stable", "ETH.perp", "ETH.forward", "ETH.vol", "ETH.rate")


def seen(*services: Service) -> Opportunity:
    return Opportunity(
        venue="derive",
        account=7,
        underlying="ETH",
        services=services,
        gas=(1,) * len(services),
        equity_usd=100.0,
        excess_usd=-5.0,
        gross_usd=1e4,
        worst=4,
        scenario=0,
        ladder=(-1.0,),
        greeks=Greeks(0.0, 0.0, 0.0, 0.0),
        positions=3,
        auction=None,
        suspect=False,
        at_s=NOW,
    )


def venue_with_bidder() -> Deployment:
    deployment = Deployment()
    deployment.account(7, 1.0)
    deployment.account(90, 1_234.567, owner=KEEPER)
    return deployment


def test_it_fills_the_venue_socket() -> None:
    venue: Venue = Deployment().venue

    assert venue.name == "derive"


def test_bidders_are_the_configured_accounts_with_the_cash_a_bid_counts() -> None:
    deployment = venue_with_bidder()
    deployment.account(91, 50.0, (Kind.PERPETUAL, 0, 0.0, 1e-9), owner=KEEPER)

    clean, dusty = deployment.venue.bidders()

    assert (clean.account, clean.owner, clean.underlying, clean.ready) == (90, KEEPER, "ETH", True)
    assert clean.cash_usd == pytest.approx(1_234.567)
    assert to_wad(clean.cash_usd) <= wad(1_234.567)
    assert not dusty.ready


def test_a_bidder_without_cash_is_not_ready_and_a_debt_is_no_cash() -> None:
    deployment = Deployment()
    deployment.account(90, 0.0, owner=KEEPER)
    deployment.account(91, -5.0, owner=KEEPER)

    assert [(each.ready, each.cash_usd) for each in deployment.venue.bidders()] == [
        (False, 0.0),
        (False, 0.0),
    ]


def test_a_configured_bidder_that_does_not_exist_is_left_out() -> None:
    assert list(Deployment().venue.bidders()) == []


@pytest.mark.parametrize(
    ("service", "call"),
    [
        (Service.START, calls.start_auction(on.AUCTION, 7, 0)),
        (Service.UPDATE_SCENARIO, calls.update_scenario(on.AUCTION, 7, 0)),
        (Service.TERMINATE, calls.terminate_auction(on.AUCTION, 7)),
        (Service.CONVERT, calls.convert_auction(on.AUCTION, 7)),
        (Service.SETTLE_OPTIONS, calls.settle_options(on.MANAGER, on.OPTION, 7)),
    ],
)
def test_what_anybody_may_send_has_no_sender(service: Service, call: object) -> None:
    encoded = venue_with_bidder().venue.encode(seen(service), Proposal(service))

    assert encoded.call == call
    assert encoded.sender is None
    assert encoded.gas == calls.gas_limit(service, 3)


def test_a_direct_bid_is_sent_by_the_bidder_s_owner_to_the_auction() -> None:
    proposal = Proposal(Service.BID, 0.25, 100.0, bidder=90, cash_usd=50.0)

    encoded = venue_with_bidder().venue.encode(seen(Service.BID), proposal)

    assert encoded.call == calls.bid(on.AUCTION, 7, 90, WAD // 4, 100 * WAD)
    assert encoded.sender == KEEPER


def test_a_bid_through_the_helper_moves_the_proposal_s_cash() -> None:
    proposal = Proposal(Service.BID, 1.0, -10.0, bidder=90, cash_usd=50.0, through_helper=True)

    encoded = venue_with_bidder().venue.encode(seen(Service.BID), proposal)

    expected = calls.advanced_bid(on.UTILS, 0, 7, 90, WAD, -10 * WAD, 50 * WAD)
    assert encoded.call == expected
    assert encoded.sender == KEEPER
    assert encoded.gas > calls.gas_limit(Service.BID, 3)


@pytest.mark.parametrize(
    "proposal",
    [
        Proposal(Service.CONVERT),
        Proposal(Service.BID),
        Proposal(Service.BID, bidder=7),
        Proposal(Service.BID, bidder=91),
        Proposal(Service.BID, fraction=1.5, bidder=90),
    ],
)
def test_an_impossible_proposal_is_a_bug_of_ours(proposal: Proposal) -> None:
    with pytest.raises(InvariantViolation):
        venue_with_bidder().venue.encode(seen(Service.BID), proposal)


def test_a_bid_through_a_helper_that_is_not_configured_is_a_bug_of_ours() -> None:
    deployment = Deployment(auction_utils=None)
    deployment.account(90, 10.0, owner=KEEPER)
    proposal = Proposal(Service.BID, bidder=90, cash_usd=1.0, through_helper=True)

    with pytest.raises(InvariantViolation, match="not configured"):
        deployment.venue.encode(seen(Service.BID), proposal)


def states(deployment: Deployment, now: int = NOW) -> dict[str, str]:
    deployment.venue.accrue(now)
    return dict(deployment.venue.quotes())


def test_required_quotes_are_told_in_order_each_with_its_state() -> None:
    deployment = Deployment(required_quotes=(*REQUIRED, "BTC.spot", "ETH.moon"))
    deployment.account(1, 1.0, (Kind.CALL, SOON, 2_000.0, 1.0))

    told = states(deployment)

    assert tuple(told) == (*REQUIRED, "BTC.spot", "ETH.moon")
    assert [told[word] for word in REQUIRED] == ["OK"] * 6
    assert (told["BTC.spot"], told["ETH.moon"]) == ("STALE", "STALE")


def test_a_quote_turns_stale_when_the_chain_would_refuse_it() -> None:
    deployment = Deployment(required_quotes=REQUIRED)
    deployment.account(1, 1.0, (Kind.CALL, SOON, 2_000.0, 1.0))
    tables = deployment.tables

    assert set(states(deployment, NOW + 100_000).values()) == {"STALE"}
    tables.vols.delete((on.VOL_FEED, SOON))
    assert states(deployment)["ETH.vol"] == "STALE"
    tables.diffs.set(on.PERP_FEED, DiffRow(0, WAD, NOW - 901))
    assert states(deployment)["ETH.perp"] == "STALE"


def test_an_expired_option_nobody_settled_does_not_turn_its_quotes_stale() -> None:
    deployment = Deployment(required_quotes=REQUIRED)
    deployment.account(1, 1.0, (Kind.CALL, SOON, 2_000.0, 1.0))
    late = SOON + 7_200
    deployment.quotes(late)
    deployment.tables.vols.delete((on.VOL_FEED, SOON))

    assert states(deployment, late)["ETH.vol"] == "OK"


def test_a_jump_is_suspect_and_a_price_of_nothing_halts() -> None:
    deployment = Deployment(required_quotes=REQUIRED)
    deployment.tables.doubts.set(on.SPOT_FEED, Quote(wad(1.0), WAD, NOW, wad(2.0), NOW))
    assert states(deployment)["ETH.spot"] == "SUSPECT"

    row = deployment.tables.spots[on.SPOT_FEED]
    deployment.tables.spots.set(on.SPOT_FEED, row._replace(price=0))
    assert states(deployment)["ETH.spot"] == "HALTED"


def test_accounts_under_other_managers_are_counted_never_decided() -> None:
    deployment = Deployment()
    deployment.account(1, 1.0)
    block = BlockSealed(1, 2, "0x2", "0x1", NOW, 1, 1, True, 0, ())
    stranger = AccountCreated(on.SUB_ACCOUNTS, on.ALICE, 2, on.at(77))
    deployment.venue.fold(stranger, block)
    deployment.venue.accrue(NOW)

    (book,) = deployment.venue.books()

    assert deployment.venue.unsupported() == 1
    assert book.accounts.tolist() == [1]
    (notice,) = deployment.venue.notices()
    assert notice.kind == "manager_unsupported"
    assert list(deployment.venue.notices()) == []


def test_what_is_watched_covers_the_venue_and_its_feeds_and_is_found_once() -> None:
    venue = Deployment().venue

    watched = venue.watch()

    assert {on.SUB_ACCOUNTS, on.CASH, on.AUCTION, on.MANAGER, on.LIB, on.PERP} <= set(watched)
    assert {on.SPOT_FEED, on.COIN_FEED, on.VOL_FEED, on.BID_FEED} <= set(watched)
    assert venue.watch() is watched


def test_margin_of_another_time_is_refused() -> None:
    deployment = venue_with_bidder()
    deployment.venue.accrue(NOW)
    (book,) = deployment.venue.books()
    result = book.method.require(book.book, book.market)
    deployment.venue.accrue(NOW + 1)
    deployment.venue.books()

    with pytest.raises(InvariantViolation):
        deployment.venue.opportunities(Margined(book, result, result), book.accounts[:0])


def test_reverts_are_classified() -> None:
    assert Deployment().venue.reason("0xdaee9cb6") == "DA_InsufficientCash"


def test_own_accounts_follow_a_transfer_of_ownership() -> None:
    deployment = venue_with_bidder()
    assert deployment.venue.owned() == (90, 91)

    deployment.tables.owners.set(7, KEEPER)

    assert deployment.venue.owned() == (7, 90, 91)
    assert replace(seen(Service.START), account=7).account in deployment.venue.owned()
