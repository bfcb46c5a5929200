"""Our figures of an account beside the chain's own, at one block. Pure: it asks nothing itself.

What is asked is what the contracts compute from their own storage: `getMarginAndMtM` (on stored
cash, which is what that view shows), `getAccountBalances` and `calculateBalanceWithInterest`.
Balances are exact integers and must be equal; money is compared relative to gross notional. Must
not know who is asked, how often, or what a difference leads to.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, TypeVar

from keeper.domain.units import WAD, AccountId, Address, from_wad
from keeper.protocols.derive.abi import call
from keeper.protocols.derive.tables import DeriveTables
from keeper.protocols.derive.views.survey import Answer, Ask
from keeper.protocols.derive.words import Unfit, address, signed, unsigned
from keeper.venue import Margined


T = TypeVar("T")

DRIFT_MAX: Final = 1e-8  # of gross notional, or of 1 USD where that is more


class Figures(NamedTuple):
    """What we say of one account at a block, copied: the tables move on meanwhile.

    cash         as stored, 18 decimals
    cash_usd     with interest, as settling it now would store it
    holdings     (asset, subId) -> quantity in 18 decimals, without cash
    margin       (mm, im, mtm) as the chain's views show them, None where we have no number
    gross_usd    what a difference is relative to
    """

    account: AccountId
    manager: Address
    cash: int
    cash_usd: float
    holdings: dict[tuple[Address, int], int]
    margin: tuple[float, float, float] | None
    gross_usd: float


class Difference(NamedTuple):
    """One term of one account on which we and the chain differ; `relative` to gross notional."""

    account: AccountId
    term: str
    ours: str
    theirs: str
    relative: float

    def __str__(self) -> str:
        where = f"account {self.account}: " if self.account else ""
        return f"{where}{self.term} ours {self.ours}, the chain's {self.theirs}"


class Question(NamedTuple):
    """What to ask of the chain, and what its answers (None: a revert) differ in from ours.

    `account` is 0 for a question about the venue as a whole.
    """

    account: AccountId
    asks: list[Ask]
    judge: Callable[[Sequence[Answer]], list[Difference]]


def capture(tables: DeriveTables, margined: Margined, row: int) -> Figures:
    """Return what we say of one row of a book, while the tables stand at the block it is of."""
    book, stored = margined.book, margined.stored
    account = int(book.accounts[row])
    at = tables.row(account)
    portfolio = tables.portfolio
    holdings = {
        (portfolio.instruments[each].address, portfolio.instruments[each].sub_id): quantity
        for each, quantity in portfolio.positions.held(at)
    }
    margin = None
    if stored.defined[row]:
        columns = (stored.excess, stored.excess_initial, stored.equity)
        mm, im, mtm = (float(column[row]) for column in columns)
        margin = (mm, im, mtm)
    cash = float(book.book.cash[row])
    return Figures(
        account=account,
        manager=tables.accounts[account],
        cash=tables.cash.get(at),
        cash_usd=cash + float(book.accrued[row]),
        holdings=holdings,
        margin=margin,
        gross_usd=max(float(stored.gross[row]), abs(cash)),
    )


def question(tables: DeriveTables, margined: Margined, row: int) -> Question:
    """Return what to ask about one row of a book, with what we say of it now."""
    figures = capture(tables, margined, row)
    account, manager, cash = figures.account, figures.manager, tables.config.cash
    asks = [
        (manager, call("getMarginAndMtM", account, 0)),
        (manager, call("getMarginAndMtM", account, 1)),
        (tables.config.sub_accounts, call("getAccountBalances", account)),
        (cash, call("calculateBalanceWithInterest", account)),
    ]
    return Question(account, asks, lambda answers: differences(cash, figures, answers))


def count_question(tables: DeriveTables) -> Question:
    """Return the question how many accounts there are: one we never saw is in no sample."""
    ours = len(tables.accounts)  # ids are 1, 2, 3...: the last is their number

    def judge(answers: Sequence[Answer]) -> list[Difference]:
        theirs = _read(answers[0], lambda raw: unsigned(raw, 0))
        same = theirs == ours
        return [] if same else [Difference(0, "accounts", str(ours), str(theirs), 1.0)]

    return Question(0, [(tables.config.sub_accounts, call("lastAccountId"))], judge)


def differences(cash: Address, figures: Figures, answers: Sequence[Answer]) -> list[Difference]:
    """Return every term that differs, causes before what follows from them; empty: all agree.

    cash     the cash asset, whose balance is told apart from positions
    answers  of a `question`, in order, None where the call reverted
    """
    maintenance, initial, balances, accrued = answers
    found = _balance_differences(cash, figures, balances)
    found += _usd(figures, "cash with interest", figures.cash_usd, _read(accrued, _wad))
    mm, im, mtm = figures.margin or (None, None, None)
    found += _usd(figures, "mm", mm, _read(maintenance, _wad))
    found += _usd(figures, "im", im, _read(initial, _wad))
    found += _usd(figures, "mtm", mtm, _read(maintenance, lambda raw: _wad(raw, 1)))
    return found


def _balance_differences(cash: Address, figures: Figures, answer: Answer) -> list[Difference]:
    held = _read(answer, _balances)
    if not isinstance(held, dict):
        return [_difference(figures, "balances", f"{len(figures.holdings)} positions", held, 1.0)]
    ours = {(cash, 0): figures.cash, **figures.holdings}
    found = []
    for key in sorted({*ours, *held}):
        mine, theirs = ours.get(key, 0), held.get(key, 0)
        if mine != theirs:
            term = "cash" if key == (cash, 0) else f"position {key[0]}/{key[1]}"
            relative = abs(mine - theirs) / WAD / max(1.0, figures.gross_usd)
            found.append(_difference(figures, term, mine, theirs, relative))
    return found


def _usd(figures: Figures, term: str, ours: float | None, theirs: float | str) -> list[Difference]:
    """Return the difference in one amount, if it is one: also a number where the other has none."""
    if ours is None and theirs == REVERT:
        return []
    if ours is None or isinstance(theirs, str):
        mine = "undefined" if ours is None else ours
        return [_difference(figures, term, mine, theirs, 1.0)]
    relative = abs(ours - theirs) / max(1.0, figures.gross_usd)
    # Written so that a NaN is a difference.
    return [] if relative <= DRIFT_MAX else [_difference(figures, term, ours, theirs, relative)]


def _difference(
    figures: Figures, term: str, ours: object, theirs: object, relative: float
) -> Difference:
    return Difference(figures.account, term, str(ours), str(theirs), relative)


# ── answers ──

REVERT: Final = "a revert"


def _read(answer: Answer, read: Callable[[bytes], T]) -> T | str:
    """Return what an answer holds, or what stands in its place as words."""
    if answer is None:
        return REVERT
    try:
        return read(answer)
    except Unfit as unfit:
        return f"an answer of another shape ({unfit})"


def _wad(raw: bytes, word: int = 0) -> float:
    _long_enough(raw, word + 1)
    return from_wad(signed(raw, word))


def _balances(raw: bytes) -> dict[tuple[Address, int], int]:
    _long_enough(raw, 2)
    count = unsigned(raw, 1, 32)
    _long_enough(raw, 2 + 3 * count)
    return {
        (address(raw, at), unsigned(raw, at + 1)): signed(raw, at + 2)
        for at in range(2, 2 + 3 * count, 3)
    }


def _long_enough(raw: bytes, words: int) -> None:
    if len(raw) < 32 * words:
        raise Unfit(f"{len(raw)} bytes")
