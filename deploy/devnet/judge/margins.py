"""The keeper's margins of its last block beside the chain's own views of the same block.

It reads what `keeper replay --accounts` wrote and asks `getMarginAndMtM`; it must not know how
either came by its numbers.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.devnet.chain.rpc import RpcError
from deploy.devnet.judge.history import History, word
from deploy.devnet.venue.deployment import Book


LEAST_USD = 1.0


@dataclass(frozen=True)
class Viewed:
    """The chain's view of one account, 1e-18 USD; `reverts` when it gives none."""

    account: int
    reverts: bool
    mtm: int = 0
    mm: int = 0
    im: int = 0


@dataclass(frozen=True)
class MarginCheck:
    """How the two compare.

    `error_rel_max` is the largest of |MtM|, |MM| and |IM| differences over the larger of 1 USD and
    gross notional. `unequal` are the accounts that only one side can margin, `missing` those that
    the keeper does not list at all.
    """

    number: int
    compared: int
    error_rel_max: float
    worst_account: int | None
    reverting: tuple[int, ...]
    unequal: tuple[int, ...]
    missing: tuple[int, ...]


def read_accounts(path: Path) -> list[dict[str, Any]]:
    """Return the keeper's figures; raises ValueError when they are not of one block."""
    rows: list[dict[str, Any]] = json.loads(path.read_text())
    numbers = {row["number"] for row in rows}
    if len(numbers) != 1:
        raise ValueError(f"{path.name}: figures of blocks {sorted(numbers)}, expected of one")
    return rows


def view_all(history: History, number: int) -> list[Viewed]:
    """Return the chain's view of every margined account at a block."""
    books = {book.underlying: book for book in history.venue.books}
    accounts = list(history.margined.items())
    calls = [
        (books[underlying].manager, _asked(books[underlying], account, is_initial=is_initial))
        for account, underlying in accounts
        for is_initial in (False, True)
    ]
    answers = history.call_all(calls, number)
    return [
        _viewed(account, answers[2 * at], answers[2 * at + 1])
        for at, (account, _) in enumerate(accounts)
    ]


def compare(rows: list[dict[str, Any]], views: list[Viewed]) -> MarginCheck:
    """Return how the keeper's rows and the chain's views agree."""
    ours = {int(row["account"]): row for row in rows}
    worst: tuple[float, int | None] = (0.0, None)
    unequal, missing, compared = [], [], 0
    for view in views:
        row = ours.get(view.account)
        if row is None:
            missing.append(view.account)
        elif bool(row["defined"]) == view.reverts:
            unequal.append(view.account)
        elif not view.reverts:
            compared += 1
            worst = max(worst, (_error(row, view), view.account), key=lambda pair: pair[0])
    return MarginCheck(
        number=int(rows[0]["number"]) if rows else 0,
        compared=compared,
        error_rel_max=worst[0],
        worst_account=worst[1],
        reverting=tuple(view.account for view in views if view.reverts),
        unequal=tuple(unequal),
        missing=tuple(missing),
    )


def negative_equity_usd(views: list[Viewed]) -> float:
    """Return what accounts owe beyond what they hold, over all whose view answers."""
    return sum(max(0, -view.mtm) for view in views if not view.reverts) / 1e18


def _error(row: dict[str, Any], view: Viewed) -> float:
    pairs = (
        (row["equity_usd"], view.mtm),
        (row["mm_excess_usd"], view.mm),
        (row["im_excess_usd"], view.im),
    )
    errors = [abs(own - chain / 1e18) for own, chain in pairs]
    scale = max(LEAST_USD, row["gross_usd"])
    # What is not a number is as wrong as can be, and compares with nothing.
    return max(math.inf if math.isnan(each) else each / scale for each in errors)


def _asked(book: Book, account: int, *, is_initial: bool) -> str:
    return book.manager.encode("getMarginAndMtM", account, is_initial)


def _viewed(account: int, maintenance: Any, initial: Any) -> Viewed:
    if isinstance(maintenance, RpcError) or isinstance(initial, RpcError):
        return Viewed(account, reverts=True)
    mm, im = str(maintenance), str(initial)
    return Viewed(account, reverts=False, mtm=word(mm, 1), mm=word(mm, 0), im=word(im, 0))
