"""What a transaction to the simulated venue does: its calldata into changes, or a revert.

Auctions by the venue's rules over the slow margin of the auditor. It must not know the keeper.
"""

from collections.abc import Callable

from tests.reference import pmrm2_scalar as scalar
from tests.simulation import auditor
from tests.simulation import places as on
from tests.simulation.places import WAD
from tests.simulation.venue_truth import Reverts, Truth, quotient


Row = tuple[int, bool, int, int, int]  # scenario, insolvent, started, cached, reserved


# Revert data: the selectors of the venue's own errors.
ERRORS = {
    "DA_AccountIsAboveMaintenanceMargin": "0xae769b25",
    "DA_AuctionAlreadyStarted": "0xd2422136",
    "DA_NotOngoingAuction": "0xdf4fcb06",
    "DA_AuctionNotStarted": "0x01789e0e",
    "DA_AuctionShouldBeTerminated": "0x2408a3ff",
    "DA_AuctionCannotTerminate": "0x0898d5e6",
    "DA_NotWhitelistedManager": "0x597430d3",
    "DA_ScenarioIdNotWorse": "0xbb1d2a42",
    "DA_OngoingSolventAuction": "0xef3f20b4",
    "DA_AuctionAlreadyInInsolvencyMode": "0xdb08a255",
    "DA_SolventAuctionEnded": "0x2a270402",
    "DA_InvalidBidderPortfolio": "0xa9c6a434",
    "DA_InsufficientCash": "0xdaee9cb6",
    "DA_PriceLimitExceeded": "0xb60d8a9a",
    "DA_SenderNotOwner": "0x1fd884ef",
    "DA_CannotBidWithDifferentManager": "0x4cf3c8cf",
    "BLF_DataTooOld": "0x1141796d",
    "LFF_SettlementDataTooOld": "0x7cda43cb",
    "PA_InvalidImpactPrices": "0x6a9fcd90",
}


def execute(truth: Truth, sender: str, to: str, data: str) -> None:
    """Carry a call out on the state; raises Reverts with the state spoilt: give it a fork."""
    words = [int(data[at : at + 64], 16) for at in range(10, len(data), 64)]
    action = CALLS.get((to, data[2:10]))
    if action is None:
        raise Reverts("unknown call")
    action(truth, *words) if action is not bid else bid(truth, *words, sender=sender)


def start(truth: Truth, account: int, scenario: int) -> None:
    """Open an auction on an account in breach under a scenario."""
    _settle(truth, account)
    margin = auditor.under(truth, account, scenario)
    if margin.mm >= 0.0:
        raise Reverts("DA_AccountIsAboveMaintenanceMargin")
    if account in truth.auctions:
        raise Reverts("DA_AuctionAlreadyStarted")
    if margin.mtm <= 0.0:
        _insolvent(truth, account, scenario, margin.mm)
        return
    truth.auctions[account] = (scenario, False, truth.now, 0, 0)
    mtm = int(margin.mtm * 1e9) * 10**9
    truth.emit("SolventAuctionStarted", on.AUCTION, (), account, scenario, mtm, 0)


def convert(truth: Truth, account: int) -> None:
    """Turn a solvent auction that ended unsold into an insolvent one."""
    scenario, insolvent, started, _, _ = _live(truth, account, "DA_AuctionNotStarted")
    if insolvent:
        raise Reverts("DA_AuctionAlreadyInInsolvencyMode")
    if truth.now - started <= truth.rules[2] + truth.rules[3]:
        raise Reverts("DA_OngoingSolventAuction")
    margin = auditor.under(truth, account, scenario)
    if margin.mm >= 0.0:
        raise Reverts("DA_AuctionShouldBeTerminated")
    _insolvent(truth, account, scenario, margin.mm)


def terminate(truth: Truth, account: int) -> None:
    """End an auction of an account that has healed."""
    if not can_terminate(truth, account):
        raise Reverts("DA_AuctionCannotTerminate")
    end(truth, account)


def can_terminate(truth: Truth, account: int) -> bool:
    """Tell whether anyone may end an account's auction."""
    scenario, insolvent, started, _, reserved = _live(truth, account, "DA_NotOngoingAuction")
    margin = auditor.under(truth, account, scenario)
    over = truth.now - started > truth.rules[2] + truth.rules[3]
    if insolvent or over:
        return margin.mm >= 0.0
    buffered = margin.mm + (margin.mm - margin.mtm) * truth.rules[6] / WAD
    return margin.mtm < 0.0 or reserved / WAD >= margin.mtm or buffered >= 0.0


def update(truth: Truth, account: int, scenario: int) -> None:
    """Hand a strictly worse scenario to a live auction."""
    row = _live(truth, account, "DA_NotOngoingAuction")
    old, new = (auditor.under(truth, account, each).mm for each in (row[0], scenario))
    if new >= old:
        raise Reverts("DA_ScenarioIdNotWorse")
    truth.auctions[account] = (scenario, *row[1:])
    truth.emit("ScenarioIdUpdated", on.AUCTION, (), account, scenario)


def settle_options(truth: Truth, _option: int, account: int) -> None:
    """Turn an account's expired options into cash."""
    if truth.managers.get(account) != on.MANAGER:
        raise Reverts("no such account here")
    total = 0
    for asset, sub_id, quantity in truth.positions(account):
        expiry, strike = sub_id & 0xFFFFFFFF, (sub_id >> 32 & (1 << 63) - 1) * 10**10
        if asset != on.OPTION or expiry > truth.now or expiry not in truth.settled:
            continue
        price = truth.settled[expiry]
        worth = max(0, price - strike if sub_id >> 95 else strike - price)
        truth.trade(account, asset, sub_id, -quantity)
        total += quantity * worth // WAD
    truth.move_cash(account, total)
    truth.print_cash(total)


def bid(  # one word an argument of the contract's
    truth: Truth, account: int, bidder: int, percent: int, limit: int, _trade: int, *, sender: str
) -> None:
    """Sell a share of an account to a bidder at the auction's price."""
    limit -= (limit >> 255) << 256
    if truth.managers.get(bidder) != on.MANAGER:
        raise Reverts("DA_CannotBidWithDifferentManager")
    _settle(truth, account)
    if truth.owners[bidder] != sender:
        raise Reverts("DA_SenderNotOwner")
    row = _live(truth, account, "DA_AuctionNotStarted")
    if can_terminate(truth, account):
        raise Reverts("DA_AuctionShouldBeTerminated")
    if truth.positions(bidder) or truth.cash.get(bidder, 0) == 0:
        raise Reverts("DA_InvalidBidderPortfolio")
    margin = auditor.under(truth, account, row[0])
    terms = _insolvent_terms if row[1] else _solvent_terms
    share, pay, needed, last = terms(truth, row, margin, percent / WAD)
    if truth.cash[bidder] / WAD < needed:
        raise Reverts("DA_InsufficientCash")
    if limit and pay > limit / WAD:
        raise Reverts("DA_PriceLimitExceeded")
    _deliver(truth, account, bidder, (share, pay, row[4]))
    reserved = row[4] if row[1] else row[4] + int(pay * 1e9) * 10**9
    truth.auctions[account] = (*row[:4], reserved)
    if last:
        end(truth, account)
    paid, payout = int(max(0.0, pay) * 1e9) * 10**9, int(max(0.0, -pay) * 1e9) * 10**9
    truth.emit("Bid", on.AUCTION, (), account, bidder, int(share * WAD), paid, payout)


Terms = tuple[float, float, float, bool]  # share sold, paid (or received, negative), cash, last


def _solvent_terms(truth: Truth, row: Row, margin: scalar.Outcome, percent: float) -> Terms:
    elapsed, rules = truth.now - row[2], truth.rules
    begin, cutoff, reserved = rules[0] / WAD, rules[1] / WAD, row[4] / WAD
    if elapsed > rules[2] + rules[3]:
        raise Reverts("DA_SolventAuctionEnded")
    discount = begin - (begin - cutoff) * elapsed / rules[2]
    if elapsed >= rules[2]:
        discount = max(0.0, cutoff * (1.0 - (elapsed - rules[2]) / rules[3]))
    buffered = margin.mm + (margin.mm - margin.mtm) * rules[6] / WAD
    short = min(buffered, 0.0)
    most = short / (short - margin.mtm * discount - reserved * (1.0 - discount))
    share = min(percent, most)
    pay = (margin.mtm - reserved) * discount * share
    return share, pay, pay + abs(buffered - reserved) * share, percent >= most


def _insolvent_terms(truth: Truth, row: Row, margin: scalar.Outcome, percent: float) -> Terms:
    elapsed, length = truth.now - row[2], truth.rules[4]
    top = min(margin.mtm, 0.0)
    price = margin.mm if elapsed >= length else top + (margin.mm - top) * elapsed / length
    pay = price * percent
    return percent, pay, -margin.mm * percent + pay, percent == 1.0


def _deliver(truth: Truth, account: int, bidder: int, deal: tuple[float, float, int]) -> None:
    """Move a share of every balance but the reserved cash to the bidder, and the price back."""
    share, pay, reserved = int(deal[0] * WAD), int(deal[1] * 1e9) * 10**9, deal[2]
    if pay < 0:
        truth.move_cash(bidder, -pay)
    for asset, sub_id, quantity in truth.positions(account):
        moved = quotient(quantity * share, WAD)
        if moved:
            truth.trade(account, asset, sub_id, -moved)
            truth.trade(bidder, asset, sub_id, moved)
    cash = quotient((truth.cash.get(account, 0) - reserved) * share, WAD)
    truth.move_cash(account, max(0, pay) - cash)
    truth.move_cash(bidder, cash - max(0, pay))


def sell(truth: Truth, account: int, bidder: int, parts: int) -> None:
    """Let a rival take one of `parts` equal parts of an account in auction, for nothing much."""
    row = _live(truth, account, "DA_AuctionNotStarted")
    if can_terminate(truth, account):
        raise Reverts("DA_AuctionShouldBeTerminated")
    paid = 0 if row[1] else WAD
    for asset, sub_id, quantity in truth.positions(account):
        moved = quantity // parts
        if moved:
            truth.trade(account, asset, sub_id, -moved)
            truth.trade(bidder, asset, sub_id, moved)
    truth.move_cash(account, paid)
    truth.move_cash(bidder, -paid)
    truth.auctions[account] = (*row[:4], row[4] + paid)
    if parts == 1:
        end(truth, account)
    truth.emit("Bid", on.AUCTION, (), account, bidder, WAD // parts, paid, 0)


def end(truth: Truth, account: int) -> None:
    """Close an auction."""
    del truth.auctions[account]
    truth.emit("AuctionEnded", on.AUCTION, (), account, truth.now)


def _live(truth: Truth, account: int, missing: str) -> Row:
    row = truth.auctions.get(account)
    if row is None:
        raise Reverts(missing)
    return row


def _insolvent(truth: Truth, account: int, scenario: int, mm: float) -> None:
    missing = max(1, int(-mm * 1e9) * 10**9)
    truth.auctions[account] = (scenario, True, truth.now, missing, 0)
    truth.emit("InsolventAuctionStarted", on.AUCTION, (), account, scenario, -missing)


def _settle(truth: Truth, account: int) -> None:
    if truth.managers.get(account) != on.MANAGER or not truth.listed:
        raise Reverts("DA_NotWhitelistedManager")
    truth.move_cash(account, 0)
    if (account, on.PERP, 0) in truth.held:
        truth.settle_perp(account)


CALLS: dict[tuple[str, str], Callable[..., None]] = {
    (on.AUCTION, "4fee13fc"): start,
    (on.AUCTION, "8af4952f"): bid,
    (on.AUCTION, "7e5e9625"): terminate,
    (on.AUCTION, "a8fc0b05"): convert,
    (on.AUCTION, "7a28721e"): update,
    (on.MANAGER, "31a7e4d9"): settle_options,
}
