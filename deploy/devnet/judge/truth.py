"""What the chain would have allowed, block by block: the judge's evidence, gathered after a run.

An independent scalar model says which accounts stand near the line; for all of those, and for a
seeded few of the rest, the chain itself is asked whether `startAuction` would have succeeded at the
end of each block. Who is in a live auction need not be asked: the chain refuses a second start.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

from deploy.devnet.chain.contract import Contract
from deploy.devnet.chain.rpc import RpcError
from deploy.devnet.judge.history import History, word
from deploy.devnet.judge.standing import Case, Holdings, Position, Standing, Terms, verdicts
from deploy.devnet.venue.driver import Driver
from deploy.devnet.venue.market import Moment


NEAR_SHARE = 0.02
REST_SHARE = 0.05


@dataclass(frozen=True)
class BlockTruth:
    """One block: who could be started, of how many asked; how many auctions were live.

    `interest_only` are those allowed whose margin view still calls them healthy; `far` those the
    chain allowed although the scalar model put them far from the line, which would be a fault of
    the judge; `basis_worst` is by the scalar model.
    """

    number: int
    allowed: tuple[int, ...]
    asked: int
    live: int = 0
    interest_only: tuple[int, ...] = ()
    far: tuple[int, ...] = ()
    basis_worst: tuple[int, ...] = ()


@dataclass
class Truth:
    """Asks about the blocks of a run."""

    driver: Driver
    history: History
    holdings: dict[int, Holdings] = field(default_factory=dict)

    def blocks(self, workers: int = 2) -> Iterator[BlockTruth]:
        """Yield the truth of each block of the run, in order."""
        first, last = self.history.first, self.history.last
        venue = self.driver.venue
        terms = {book.underlying: Terms(venue, book) for book in venue.books}
        cases = self._cases()
        with ProcessPoolExecutor(workers) as pool:
            found = pool.map(verdicts, ((terms, case) for case in cases), chunksize=4)
            blocks = zip(range(first, last + 1), self.history.live_at(), found, strict=True)
            for number, live, standings in blocks:
                yield self._ask(number, len(live), standings)

    # ── what the model is given ──

    def _cases(self) -> list[Case]:
        """Gather each block's holdings, cash with interest and perpetual value from the chain."""
        history = self.history
        changes, timestamps = history.balances, history.timestamps()
        cases = []
        position = 0
        numbers = range(history.first, history.last + 1)
        for number, live in zip(numbers, history.live_at(), strict=True):
            while position < len(changes) and changes[position].block <= number:
                change = changes[position]
                held = self.holdings.setdefault(change.account, {})
                if change.balance:
                    held[change.asset] = change.balance
                else:
                    held.pop(change.asset, None)
                position += 1
            timestamp = timestamps[number]
            positions = self._positions(number, live)
            cases.append(Case(self._moment(timestamp), timestamp, positions))
        return cases

    def _moment(self, timestamp: int) -> Moment:
        played = [each for each in self.driver.moments if each.timestamp <= timestamp]
        return played[-1] if played else self.driver.moments[0]

    def _positions(self, number: int, live: set[int]) -> tuple[Position, ...]:
        """Return the inputs of every account that could possibly be in breach."""
        core = self.driver.venue.core
        cash_key = (core.cash.address.lower(), 0)
        accounts = [
            (account, underlying)
            for account, underlying in self.history.margined.items()
            if account not in live and self._could_breach(account, cash_key)
        ]
        asked: list[tuple[int, str, Contract, str]] = []
        for account, underlying in accounts:
            held = self.holdings[account]
            perp = self.driver.book(underlying).perp
            if held.get(cash_key, 0) < 0:
                asked.append((account, "cash", core.cash, "calculateBalanceWithInterest"))
            if (perp.address.lower(), 0) in held:
                asked.append((account, "perp", perp, "getUnsettledAndUnrealizedCash"))
        answers = self.history.call_all([(c, c.encode(name, a)) for a, _, c, name in asked], number)
        values = {
            (account, what): word(str(answer), 0)
            for (account, what, _, _), answer in zip(asked, answers, strict=True)
        }
        return tuple(
            Position(
                account,
                underlying,
                dict(self.holdings[account]),
                values.get((account, "cash"), self.holdings[account].get(cash_key, 0)),
                values.get((account, "perp"), 0),
            )
            for account, underlying in accounts
        )

    def _could_breach(self, account: int, cash_key: tuple[str, int]) -> bool:
        """Tell whether an account holds anything but cash of its own, which cannot fall."""
        held = self.holdings.get(account, {})
        return any(key != cash_key or balance < 0 for key, balance in held.items())

    # ── what the chain answers ──

    def _ask(self, number: int, live: int, standings: Sequence[Standing]) -> BlockTruth:
        chance = random.Random(f"{self.driver.scene.seed}:{number}")
        near = [each for each in standings if each.excess < NEAR_SHARE * each.gross]
        rest = [each for each in standings if each.excess >= NEAR_SHARE * each.gross]
        sampled = [each for each in rest if chance.random() < REST_SHARE]
        auction = self.driver.venue.core.auction
        asked = [*near, *sampled]
        answers = self.history.call_all(
            [(auction, auction.encode("startAuction", e.account, e.handed)) for e in asked],
            number,
        )
        allowed = [
            each.account
            for each, answer in zip(asked, answers, strict=True)
            if not isinstance(answer, RpcError)
        ]
        far = {each.account for each in sampled}
        return BlockTruth(
            number=number,
            allowed=tuple(allowed),
            asked=len(asked),
            live=live,
            interest_only=self._healthy_to_views(allowed, number),
            far=tuple(each for each in allowed if each in far),
            basis_worst=tuple(each.account for each in standings if each.basis_worst),
        )

    def _healthy_to_views(self, allowed: Sequence[int], number: int) -> tuple[int, ...]:
        """Return which of the allowed the margin view still calls healthy: interest alone."""
        views = [
            (manager, manager.encode("getMargin", account, False))
            for account in allowed
            for manager in [self.driver.book(self.history.margined[account]).manager]
        ]
        answers = self.history.call_all(views, number)
        return tuple(
            account
            for account, answer in zip(allowed, answers, strict=True)
            if not isinstance(answer, RpcError) and word(str(answer), 0) >= 0
        )
