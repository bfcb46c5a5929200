"""What others than a venue's own feeds say of prices and the chain: streams, rounds, pulls, uptime.

Heard from outside and not written by any log, so that no reorg takes it back. It must not know a
venue; a price from here checks a quote and never replaces it.
"""

import math
from collections.abc import Mapping
from typing import Final

from keeper.domain.events import OracleUpdated, RoundObserved
from keeper.domain.units import Address, to_wad
from keeper.market.chainlink import FeedRow, observed, sequencer_down, verdict
from keeper.market.payloads import PayloadRule
from keeper.market.pulls import Pulls
from keeper.market.quotes import JudgeRule, QuoteRule, QuoteState, worst


SEQUENCER: Final = "sequencer"
SOURCES_MAX: Final = 256
FLOAT_PRICE_MAX: Final = 1e18  # a price beyond is a unit gone wrong, not a price


class Opinions:
    """The last word of every source, by underlying and by feed; `pulls` are Pyth's."""

    def __init__(
        self, rule: JudgeRule, jumps: QuoteRule, payloads: PayloadRule | None = None
    ) -> None:
        self.pulls = Pulls(rule, jumps, payloads or PayloadRule())
        self._rule = rule
        self._jumps = jumps
        self._prices: dict[tuple[str, str], OracleUpdated] = {}
        self._rounds: dict[str, dict[Address, FeedRow]] = {}

    def hear_price(self, update: OracleUpdated) -> None:
        """Take a stream's price; what is no price, or older than the last, is not taken."""
        key = (update.underlying, update.source)
        price, last = update.price_usd, self._prices.get(key)
        if not (math.isfinite(price) and 0.0 < price <= FLOAT_PRICE_MAX):
            return
        if last is not None and update.published_ms < last.published_ms:
            return
        if last is not None or len(self._prices) < SOURCES_MAX:
            self._prices[key] = update

    def hear_round(self, seen: RoundObserved) -> None:
        """Take what a look at a feed said."""
        rows = self._rounds.setdefault(seen.subject, {})
        rows[seen.feed] = observed(rows.get(seen.feed), seen, self._jumps)

    def second(self, underlying: str, now: int) -> int | None:
        """Return what the young streams say of an underlying, 18 decimals: their lower median."""
        oldest_ms = (now - self._rule.second_age_s_max) * 1_000
        said = [
            to_wad(update.price_usd)
            for (about, _), update in self._prices.items()
            if about == underlying and update.published_ms >= oldest_ms
        ]
        said += [
            row.quote.value
            for row in self._rounds.get(underlying, {}).values()
            if verdict(row, now, self._rule).state is QuoteState.OK
        ]
        said += self.pulls.values(underlying, now)
        said.sort()
        return said[(len(said) - 1) // 2] if said else None

    def reference(self, underlying: str, now: int) -> QuoteState:
        """Return the worst state of the on-chain feeds that check an underlying; OK for none.

        One that must be checked and whose feed was never read is STALE: silence is no agreement.
        """
        rows = self._rounds.get(underlying, {}).values()
        states = [verdict(row, now, self._rule).state for row in rows]
        states += self.pulls.states(underlying, now)
        if not states and underlying in self._rule.checked:
            return QuoteState.STALE
        return worst(states)

    def sequencer_down(self, now: int) -> bool:
        """Return whether an uptime feed that is watched says that the chain cannot be used."""
        rows = self._rounds.get(SEQUENCER, {}).values()
        if self._rule.sequencer and not rows:
            return True
        return any(sequencer_down(row, now, self._rule) for row in rows)

    @property
    def rounds(self) -> Mapping[str, Mapping[Address, FeedRow]]:
        """Return the feeds seen, by subject and proxy."""
        return self._rounds
