"""Puts planned accounts on the venue, each with the cash that leaves it where its plan says.

The chain is asked for the cash: seeded without any in blocks that are then taken back, each
account's margin tells what is missing. It must not know the keeper.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from deploy.devnet.chain.node import Node
from deploy.devnet.venue.deployment import Book, SeedAccount, Venue
from deploy.devnet.venue.portfolios import CALL, COIN, PERPETUAL, PUT, STABLE, AccountPlan, Leg
from deploy.devnet.venue.scene import STABLE_COIN


OWNER = "0x00000000000000000000000000000000000a11ce"
CASH_QUANTUM = 10**12  # the token has six decimals
MARGIN_GAS = 500_000_000
VIEWS_PER_BATCH = 200


@dataclass(frozen=True)
class Seeded:
    """One account that stands: its id on the venue, its plan, and its first cash in 1e-18 USD."""

    account: int
    plan: AccountPlan
    cash: int


def wad_of(value: float) -> int:
    """Return a float as an 18-decimal integer, rounded to eight decimals as markets quote."""
    return round(value * 1e8) * 10**10


def seed_account(venue: Venue, plan: AccountPlan, cash: int) -> SeedAccount:
    """Return a plan as balances of the venue's assets, with so much cash."""
    book = book_of(venue, plan.underlying)
    balances = [_balance(book, leg) for leg in _merged(plan.legs)]
    if cash:
        balances.append((venue.core.cash.address, 0, cash))
    return SeedAccount(OWNER, book.manager.address, tuple(balances))


def book_of(venue: Venue, underlying: str) -> Book:
    """Return the deployed book of an underlying."""
    return next(book for book in venue.books if book.underlying == underlying)


def cash_for(plan: AccountPlan, margin: int, spot: float) -> int:
    """Return the cash that takes an account from `margin` to its planned excess."""
    gross = sum(abs(leg.amount) * (1.0 if leg.kind == STABLE else spot) for leg in plan.legs)
    excess = plan.excess_usd if plan.excess_usd is not None else plan.excess_share * gross
    amount = wad_of(excess) - margin
    return amount - amount % CASH_QUANTUM


def margins(
    node: Node, venue: Venue, ids: Sequence[int], plans: Sequence[AccountPlan]
) -> list[int]:
    """Return the maintenance margin of each account by the chain's view, at the head."""
    calls: list[tuple[str, list[Any]]] = []
    for account, plan in zip(ids, plans, strict=True):
        manager = book_of(venue, plan.underlying).manager
        data = manager.encode("getMargin", account, False)
        request = {"to": manager.address, "data": data, "gas": hex(MARGIN_GAS)}
        calls.append(("eth_call", [request, "latest"]))
    answers: list[str] = []
    for at in range(0, len(calls), VIEWS_PER_BATCH):
        answers += node.batch(calls[at : at + VIEWS_PER_BATCH])
    return [_signed(answer) for answer in answers]


def option_id(leg: Leg) -> int:
    """Return the option's subId: expiry, strike in eight decimals, and the call bit."""
    strike = round(leg.strike * 10**8)
    return leg.expiry | strike << 32 | int(leg.kind == CALL) << 95


def _balance(book: Book, leg: Leg) -> tuple[str, int, int]:
    amount = wad_of(leg.amount)
    if leg.kind in (CALL, PUT):
        return (book.option.address, option_id(leg), amount)
    if leg.kind == PERPETUAL:
        return (book.perp.address, 0, amount)
    symbol = STABLE_COIN if leg.kind == STABLE else f"W{book.underlying}"
    asset = next(each.asset for each in book.collaterals if each.symbol == symbol)
    return (asset.address, 0, amount - amount % CASH_QUANTUM)


def _merged(legs: Sequence[Leg]) -> list[Leg]:
    """Return the legs with those of one instrument added up, zeros left out."""
    merged: dict[tuple[str, int, float], float] = {}
    for leg in legs:
        key = (leg.kind, leg.expiry, leg.strike)
        merged[key] = merged.get(key, 0.0) + leg.amount
    return [
        Leg(kind, amount, expiry, strike)
        for (kind, expiry, strike), amount in merged.items()
        if wad_of(amount) and (kind != COIN or amount > 0)
    ]


def _signed(word: str) -> int:
    value = int(word, 16)
    return value - 2**256 if value >= 2**255 else value
