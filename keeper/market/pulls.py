"""Pyth prices: what contracts hold of them, and the updates that any transaction could bring. Pure.

A pull oracle stands still until somebody brings it an update, so that what it holds and what it
could hold belong together: a price is judged on the newer of the two that counts, and an action
that needs a price brings the update with its fee. Updates' signatures are not checked here: the
chain does that in the trial of every action. It must not know a venue.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Final, NamedTuple

from keeper.domain.effects import Notice
from keeper.domain.events import PayloadReceived, PriceObserved
from keeper.domain.units import Address
from keeper.market.payloads import Payload, PayloadRule, Payloads, Unopened
from keeper.market.pyth import PythPrice, prices, quote
from keeper.market.quotes import Evidence, JudgeRule, Quote, QuoteRule, QuoteState, Verdict, judge


BYTES_MAX: Final = 65_536
ROWS_MAX: Final = 256
OPEN_MAX: Final = 256  # updates whose prices are remembered: each is looked at on every block

Key = tuple[Address, str]  # a Pyth contract and one of its price ids


_opened = lru_cache(maxsize=OPEN_MAX)(prices)


class PullRow(NamedTuple):
    """What a contract holds of one price, and how it is to be judged; `quote` in 18 decimals."""

    subject: str
    decimals: int
    decimals_expected: int
    published_s: int
    heartbeat_s: int
    confidence_min_ppm: int
    fee_wei: int
    quote: Quote


class Pulls:
    """The prices of every Pyth contract that is read, and the updates kept for them."""

    def __init__(self, rule: JudgeRule, jumps: QuoteRule, payloads: PayloadRule) -> None:
        self._rule = rule
        self._jumps = jumps
        self._rows: dict[Key, PullRow] = {}
        self._held: Payloads[Key] = Payloads(payloads)
        self._unopened = Unopened()

    def hear_price(self, seen: PriceObserved) -> None:
        """Take what a look at a contract said of a price.

        The decimals expected are the configured ones, else those first seen. A look through a node
        that is behind takes nothing back.
        """
        key = (seen.feed, seen.price_id)
        row = self._rows.get(key)
        if row is None and len(self._rows) >= ROWS_MAX:
            return
        expected = seen.decimals_expected
        if expected < 0:
            expected = seen.decimals if row is None else row.decimals_expected
        price = PythPrice(
            seen.price_id, seen.price, seen.confidence, -seen.decimals, seen.published_s
        )
        before = None if row is None else row.quote
        if row is not None and seen.published_s < row.published_s:
            return
        self._rows[key] = PullRow(
            subject=seen.subject,
            decimals=seen.decimals,
            decimals_expected=expected,
            published_s=seen.published_s,
            heartbeat_s=seen.heartbeat_s,
            confidence_min_ppm=seen.confidence_min_ppm,
            fee_wei=seen.fee_wei,
            quote=quote(before, price, self._jumps),
        )

    def knows(self, contract: Address) -> bool:
        """Tell whether a contract is one whose prices were read: others' data are not ours."""
        return any(contract == known for known, _ in self._rows)

    def hear_update(self, received: PayloadReceived) -> None:
        """Keep an update for each price of it that is read; one that does not open is told.

        Each price counts from its own time on, and as long as was announced for the oldest.
        """
        feed = received.feed.lower()
        data = _octets(received.payload)
        found = _opened(data)
        if not found:
            self._unopened.tell(received.source, feed, "no update of a Pyth contract")
        elif min(each.published_s for each in found) < received.timestamp:
            problem = "its times are older than it was announced with"
            self._unopened.tell(received.source, feed, problem)
        else:
            lasts_s = received.deadline - received.timestamp
            for each in found:
                key, until_s = (feed, each.feed), each.published_s + lasts_s
                if key in self._rows:
                    self._held.keep(key, Payload(data, each.published_s, until_s))

    def bring(self, wanted: Iterable[Key], now: int) -> tuple[Payload, ...]:
        """Return what to bring so that contracts hold the newest of these prices that still count.

        Each update once, though it serve several prices, with the fee that its contract asks; none
        for a price whose contract already holds as new a one. `now` is a block's time.
        """
        found: dict[bytes, Payload] = {}
        for key in wanted:
            payload = self._update(key, now) if key in self._rows else None
            if payload is not None:
                fee_wei = self._rows[key].fee_wei
                found.setdefault(payload.data, payload._replace(fee_wei=fee_wei))
        return tuple(found.values())

    def refuse(self, brought: Collection[bytes]) -> None:
        """Forget what a chain would not take: it must not be tried again and again."""
        self._held.forget(brought)

    def states(self, subject: str, now: int) -> list[QuoteState]:
        """Return what may be done on each of the prices that check an underlying."""
        return [self.verdict(key, now).state for key in self._about(subject)]

    def values(self, subject: str, now: int) -> list[int]:
        """Return what each price of an underlying that may be acted on says, 18 decimals."""
        return [
            (self._ahead(key, now) or self._rows[key].quote).value
            for key in self._about(subject)
            if self.verdict(key, now).state is QuoteState.OK
        ]

    def verdict(self, key: Key, now: int) -> Verdict:
        """Return what may be done on a price at block time `now`.

        What the contract holds is judged; where that is only old, as a pull oracle's is between
        two uses, an update that could be brought and is itself in order will do.
        """
        row = self._rows[key]
        stood = self._judged(row, row.quote, now, row.decimals)
        if stood.state is not QuoteState.STALE:
            return stood
        return stood if self._ahead(key, now) is None else Verdict(QuoteState.OK, "")

    def drain(self) -> list[Notice]:
        """Return and forget what is to be told."""
        return self._unopened.drain()

    def _about(self, subject: str) -> Iterator[Key]:
        return (key for key, row in self._rows.items() if row.subject == subject)

    def _update(self, key: Key, now: int) -> Payload | None:
        return self._held.chosen(key, now, self._rows[key].published_s)

    def _ahead(self, key: Key, now: int) -> Quote | None:
        """Return what an update that could be brought says, None where none that does is OK."""
        row, payload = self._rows[key], self._update(key, now)
        if payload is None:
            return None
        kept = (key[1], payload.published_s)
        price = next(
            each for each in _opened(payload.data) if (each.feed, each.published_s) == kept
        )
        found = quote(None, price, self._jumps)
        judged = self._judged(row, found, now, -price.exponent)
        return found if judged.state is QuoteState.OK else None

    def _judged(self, row: PullRow, said: Quote, now: int, decimals: int) -> Verdict:
        """Judge a price by the one table; of the far future is as bad as old, as on chain."""
        if said.timestamp > now + row.heartbeat_s:
            said = said._replace(timestamp=0)
        least = max(self._rule.confidence_min_ppm, row.confidence_min_ppm)
        changed = decimals != row.decimals_expected
        evidence = Evidence(said, now, row.heartbeat_s, decimals_changed=changed)
        return judge(evidence, replace(self._rule, confidence_min_ppm=least))


def _octets(text: str) -> bytes:
    """Return hex digits as bytes; none of them for what is too long or no hex."""
    if not text.startswith("0x") or len(text) > 2 + 2 * BYTES_MAX:
        return b""
    try:
        return bytes.fromhex(text[2:])
    except ValueError:
        return b""
