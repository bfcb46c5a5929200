"""A venue of one table: an account's excess is what the last log said. Fills the venue socket."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keeper.domain.effects import Call, Notice
from keeper.domain.errors import UndecodableLog
from keeper.domain.events import BlockSealed, Log
from keeper.liquidation.strategy import (
    Appraisal,
    Bidder,
    Greeks,
    Opportunity,
    Proposal,
    Service,
    Stock,
)
from keeper.margin.book import Book, Listing, Market, Result
from keeper.portfolio.state import Portfolio
from keeper.venue import Encoded, Heard, Margined, Push, VenueBook, fold_each


ADDRESS = "0x" + "11" * 20
EMPTY = np.zeros(0)
PAYLOAD_GAS = 50_000


class ExcessMethod:
    """The requirement is zero, so that cash is the excess."""

    name = "excess"
    scenarios = 1

    def require(self, book: Book, market: Market) -> Result:
        zero = np.zeros(book.accounts)
        return Result(
            equity=book.cash,
            mm=zero,
            im=zero,
            worst=zero.astype(np.int64),
            gross=np.abs(book.cash),
            defined=np.ones(book.accounts, np.bool_),
        )


def empty_market() -> Market:
    listing = Listing(EMPTY.astype(np.int8), EMPTY.astype(np.int32), EMPTY.astype(np.int32), EMPTY)
    columns = {name: EMPTY for name in Market.__dataclass_fields__ if name != "listing"}
    return Market(listing=listing, **{**columns, "stable": 1.0, "usable": EMPTY.astype(np.bool_)})


class FakeVenue:
    """Logs say "account:excess", or "rule <what changed>"; "bad" cannot be decoded."""

    name = "fake"

    def __init__(self, portfolio: Portfolio) -> None:
        self.table = portfolio.table("fake.excess", int)
        self.timestamp = 0
        self.changes: tuple[str, ...] = ()
        self.heard: list[Heard] = []
        self.payloads: int | None = None  # newer than its feeds; None: it takes no push

    def watch(self) -> tuple[str, ...]:
        return (ADDRESS,)

    def load(self, snapshot: Mapping[str, Any]) -> None:
        for account, excess in snapshot["excess"]:
            self.table.set(account, excess)

    def decode(self, log: Log) -> tuple[int, int] | str | None:
        if log.data == "bad":
            raise UndecodableLog(log.address, "0x00", log.log_index, "planted")
        if log.data.startswith("rule "):
            return log.data
        account, excess = log.data.split(":")
        return int(account), int(excess)

    def fold(self, event: tuple[int, int] | str, block: BlockSealed) -> None:
        if isinstance(event, str):
            self.changes = (*self.changes, event)
        else:
            self.table.set(*event)

    def fold_logs(self, logs: Sequence[Log], block: BlockSealed) -> None:
        fold_each(self, logs, block)

    def hear(self, event: Heard) -> None:
        self.heard.append(event)

    def accrue(self, timestamp: int) -> None:
        self.timestamp = timestamp

    def books(self) -> Sequence[VenueBook]:
        rows = list(self.table.items())
        cash = np.array([excess for _, excess in rows], np.float64)
        book = Book(
            start=np.zeros(len(rows) + 1, np.int64),
            instrument=EMPTY.astype(np.int32),
            quantity=EMPTY,
            cash=cash,
            carried=np.zeros(len(rows)),
        )
        return [
            VenueBook(
                underlying="ETH",
                accounts=np.array([account for account, _ in rows], np.int64),
                book=book,
                market=empty_market(),
                method=ExcessMethod(),  # type: ignore[arg-type]
                accrued=np.zeros(len(rows)),
                attention=np.zeros(len(rows), np.bool_),
            )
        ]

    def moved(self) -> tuple[str, ...]:
        moved, self.changes = self.changes, ()
        return moved

    def unsupported(self) -> int:
        return 0

    def opportunities(self, margined: Margined, breaches: np.ndarray) -> list[Opportunity]:
        return [
            Opportunity(
                venue=self.name,
                account=int(margined.book.accounts[row]),
                underlying="ETH",
                services=(Service.START,),
                gas=(100_000,),
                equity_usd=float(margined.accrued.equity[row]),
                excess_usd=float(margined.accrued.excess[row]),
                gross_usd=1.0,
                worst=0,
                scenario=0,
                ladder=(0.0,),
                greeks=Greeks(0.0, 0.0, 0.0, 0.0),
                positions=0,
                auction=None,
                suspect=False,
                at_s=self.timestamp,
            )
            for row in breaches
        ]

    def bidders(self) -> list[Bidder]:
        return []

    def encode(self, opportunity: Opportunity, proposal: Proposal) -> Encoded:
        return Encoded(Call(ADDRESS, f"0x{opportunity.account:064x}"), 100_000, None)

    def push(self, gas_max: int) -> Push | None:
        if self.payloads is None:
            return None
        room = min(self.payloads, gas_max // PAYLOAD_GAS)
        encoded = Encoded(Call(ADDRESS, "0xfeed"), room * PAYLOAD_GAS, None) if room else None
        return Push(encoded, room, self.payloads - room)

    def reason(self, data: str) -> str:
        return "unknown"

    def quotes(self) -> tuple[tuple[str, str], ...]:
        return (("spot:ETH", "OK"),)

    def quote_ages(self) -> tuple[tuple[str, float], ...]:
        return (("spot:ETH", 0.25),)

    def notices(self) -> list[Notice]:
        return []

    def owned(self) -> tuple[int, ...]:
        return ()


class StartAll:
    """Starts whatever is in breach."""

    name = "start_all"

    def appraise(self, opportunity: Opportunity, stock: Stock) -> Appraisal | None:
        return Appraisal(Service.START, -opportunity.excess_usd, 0.0, 0.0, 100_000)

    def propose(
        self, opportunity: Opportunity, appraisal: Appraisal, stock: Stock
    ) -> Proposal | None:
        return Proposal(Service.START)
