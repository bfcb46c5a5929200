"""Dutch auction of whole portfolios: price, largest fraction and cash needed as functions of time.

Source: the rules of Derive's DutchAuction (docs/margin.md, "Auction"). Times are unix seconds,
money is USD, fractions are of the account as it stands now. Floats decide what to offer; the wei
are the chain's, and a price limit stands between the two. Knows no chain and no account.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AuctionParameters:
    """The curve: the share of mark asked falls start -> cutoff -> 0, a payout rises to |mm|."""

    start: float  # share of mark asked at the beginning, 0..1
    cutoff: float  # share of mark asked when the fast part ends, 0..start
    fast_s: int
    slow_s: int
    insolvent_s: int
    fee_rate: float  # share of what must be sold that a start pays to the security module
    buffer: float  # share of the requirement that a sale must restore on top of it
    mtm_cutoff_usd: float  # below this equity a bid may take everything


@dataclass(frozen=True, slots=True)
class Auction:
    """One live auction, with the account's margin under the auction's own scenario.

    `mm_excess_usd` is what the chain calls MM: equity less maintenance margin.
    `reserved_usd` is cash that earlier bidders paid in, which is not for sale.
    """

    parameters: AuctionParameters
    insolvent: bool
    started_s: int
    scenario: int
    reserved_usd: float
    equity_usd: float
    mm_excess_usd: float

    @property
    def buffered_usd(self) -> float:
        """Return bm: the excess with the buffer on top of the requirement."""
        requirement = self.mm_excess_usd - self.equity_usd
        return self.mm_excess_usd + requirement * self.parameters.buffer

    def discount(self, at_s: int) -> float:
        """Return the share of mark that a solvent bid pays."""
        curve = self.parameters
        elapsed = at_s - self.started_s
        if elapsed < curve.fast_s:
            return curve.start - (curve.start - curve.cutoff) * elapsed / curve.fast_s
        slow = elapsed - curve.fast_s
        return curve.cutoff * (1.0 - slow / curve.slow_s) if slow < curve.slow_s else 0.0

    def over(self, at_s: int) -> bool:
        """Tell whether a solvent auction is past its end: nobody can bid, it can be converted."""
        length = self.parameters.fast_s + self.parameters.slow_s
        return not self.insolvent and at_s - self.started_s > length

    def can_terminate(self, at_s: int) -> bool:
        """Tell whether anyone may end it; a bid would be refused then."""
        if self.insolvent or self.over(at_s):
            return self.mm_excess_usd >= 0.0
        if self.equity_usd < 0.0 or self.reserved_usd >= self.equity_usd:
            return True
        return self.buffered_usd >= 0.0

    def price(self, at_s: int) -> float:
        """Return what 100 % of the account costs now; negative: paid to the bidder."""
        if not self.insolvent:
            return (self.equity_usd - self.reserved_usd) * self.discount(at_s)
        if self.mm_excess_usd >= 0.0:
            return 0.0
        length = self.parameters.insolvent_s
        elapsed = at_s - self.started_s
        if elapsed >= length:
            return self.mm_excess_usd
        floor = min(self.equity_usd, 0.0)
        return floor + (self.mm_excess_usd - floor) * elapsed / length

    def fraction_max(self, at_s: int) -> float:
        """Return the largest fraction one bid can take: it brings the rest's bm to zero."""
        return 1.0 if self.insolvent else self._sold_at(self.discount(at_s), self.reserved_usd)

    def cash_needed(self, at_s: int, fraction: float) -> float:
        """Return the cash a bidder's account must hold for `fraction`, its payment included.

        A rival may make the auction's scenario worse before the bid lands: a bidder on an
        insolvent auction asks this of the account's worst scenario.
        """
        price = self.price(at_s) * fraction
        if self.insolvent:
            return max(0.0, -self.mm_excess_usd * fraction + price)
        return price + abs(self.buffered_usd - self.reserved_usd) * fraction

    def profit(self, at_s: int, fraction: float) -> float:
        """Return what the bidder gains at marks, before gas and price risk."""
        if self.insolvent:
            return fraction * (self.equity_usd - self.price(at_s))
        return fraction * (self.equity_usd - self.reserved_usd) * (1.0 - self.discount(at_s))

    def _sold_at(self, discount: float, reserved_usd: float) -> float:
        if self.equity_usd < self.parameters.mtm_cutoff_usd:
            return 1.0
        bm = min(self.buffered_usd, 0.0)
        room = bm - self.equity_usd * discount - reserved_usd * (1.0 - discount)
        return min(1.0, bm / room) if room < 0.0 else 1.0
