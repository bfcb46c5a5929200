"""Derive's first portfolio margin, PMRM v1: one base asset, no skew, no damping.

Exact. Source: the venue's specification, section 2.9, as differences from PMRM_2: option values
are not discounted, only an expiry worth more than nothing is cut by the static discount, vol-up
has no floor, static contingencies stand inside the initial factor.
"""

from dataclasses import dataclass

import numpy as np

from keeper.margin.book import Book, Floats, Ints, Kind, Market, Result
from keeper.margin.errors import BadNumber, BadShape
from keeper.margin.form import Form
from keeper.margin.methods.pmrm2_ladder import vol_shock_factors
from keeper.margin.methods.pmrm2_parameters import (
    BasisContingency,
    Scenario,
    VolShock,
    VolShockRange,
)
from keeper.margin.netting import Leaves, group_leaves, held_legs, naked_shorts, strike_ranks, sums
from keeper.margin.pricing import YEAR_S, black76


@dataclass(frozen=True, slots=True)
class Pmrm1Parameters:
    """One manager's settings; `damping` of a scenario is not used.

    peg, confidence  (threshold, factor) of a depeg, (threshold, share) of doubtful quotes
    """

    scenarios: tuple[Scenario, ...]
    basis: BasisContingency
    vol: VolShockRange
    im_factor: float = 1.25
    base_discount: float = 0.95
    rate_mult: float = 1.0
    rate_add: float = 0.12
    base_share: float = 0.03
    perp_share: float = 0.03
    option_share: float = 0.02
    peg: tuple[float, float] = (0.99, 4.0)
    confidence: tuple[float, float] = (0.55, 1.0)
    underlying: int = 0


@dataclass(frozen=True, slots=True)
class _Held:
    """What the accounts hold, USD, (account,); pnl (account, scenario)."""

    equity: Floats
    pnl: Floats
    basis: Floats
    static: Floats
    doubt: Floats
    gross: Floats
    defined: Floats


def mainnet() -> Pmrm1Parameters:
    """Return the venue's deployed settings: 23 scenarios."""
    body = [
        Scenario(move / 100.0, vol, 1.0)
        for move in (115, 110, 105, 100, 95, 90, 85)
        for vol in (VolShock.UP, VolShock.NONE, VolShock.DOWN)
    ]
    ends = [Scenario(move, VolShock.UP, 1.0) for move in (1.2, 0.8)]
    return Pmrm1Parameters(
        scenarios=(ends[0], *body, ends[1]),
        basis=BasisContingency(1.05, 0.95, 1.0, 1.2),
        vol=VolShockRange(0.6, 0.3, 0.3, 0.13, 86_400.0, 0.0),
    )


class Pmrm1:
    """`keeper.margin.book.Method` by PMRM v1."""

    def __init__(self, parameters: Pmrm1Parameters) -> None:
        if not parameters.scenarios:
            raise BadShape("scenarios", (), "pass at least one")
        self.parameters = parameters

    @property
    def name(self) -> str:
        """Return the methodology's name."""
        return "derive-pmrm1"

    @property
    def scenarios(self) -> int:
        """Return how many indexed scenarios there are."""
        return len(self.parameters.scenarios)

    def require(self, book: Book, market: Market) -> Result:
        """Return every account's requirement; `worst` = scenarios where the basis is worst."""
        held, rules = self._held(book, market), self.parameters
        low = held.pnl.min(axis=1)
        worst = np.where(low < held.basis, held.pnl.argmin(axis=1), self.scenarios)
        loss = held.static - np.minimum(low, held.basis)
        threshold, factor = rules.peg
        peg = max(0.0, threshold - market.stable) * factor
        im = loss * (rules.im_factor + peg) + held.doubt
        defined = held.defined > 0.0
        columns = [np.where(defined, each, 0.0) for each in (held.equity, loss, im, held.gross)]
        equity, mm, im, gross = columns
        return Result(equity, mm, im, np.where(defined, worst, 0), gross, defined)

    def ladder(self, book: Book, market: Market) -> Floats:
        """Return stressed P&L, USD, (account, scenario + 1); the last column is the basis."""
        held = self._held(book, market)
        table = np.concatenate((held.pnl, held.basis[:, None]), axis=1)
        return np.where(held.defined[:, None] > 0.0, table, 0.0)

    def under_scenario(self, book: Book, market: Market, scenario: Ints) -> Floats:
        """Return the excess under one given scenario each, USD, (account,)."""
        if np.any((scenario < 0) | (scenario >= self.scenarios)):
            raise BadNumber("scenario", scenario, f"pass an index of 0..{self.scenarios - 1}")
        held = self._held(book, market)
        low = np.minimum(held.pnl[np.arange(book.accounts), scenario], held.basis)
        return np.where(held.defined > 0.0, held.equity + low - held.static, 0.0)

    def greeks(self, book: Book, market: Market) -> Floats:
        """Return delta, gamma, vega, theta, (account, 4)."""
        return Form(self.name, ()).greeks(book, market)

    @np.errstate(all="ignore")  # no number is no error: it becomes `defined` False
    def _held(self, book: Book, market: Market) -> _Held:
        rules, listing, n = self.parameters, market.listing, book.accounts
        legs = held_legs(book, 0, n)
        kind = listing.kind[legs.instrument]
        options, linear = legs.where(kind <= Kind.PUT), legs.where(kind == Kind.PERPETUAL)
        bases = legs.where(kind == Kind.BASE)
        leaves = group_leaves(options, listing.expiry, n, len(market.seconds))
        spot = market.spot[rules.underlying]
        unit = self._unit_values(market)
        leaf = [leaves.net(options.quantity * row[options.instrument]) for row in unit]
        marks, up, down = leaf[:3]
        perp = sums(linear.account, linear.quantity, n)
        base = sums(bases.account, bases.quantity, n)
        value = sums(
            bases.account, bases.quantity * market.price[bases.instrument] / market.stable, n
        )
        years = market.seconds[leaves.expiry] / YEAR_S
        decay = market.rate[leaves.expiry] * rules.rate_mult + rules.rate_add
        discount = rules.base_discount * np.exp(-years * decay)
        pnl = np.zeros((n, self.scenarios))
        for index, scenario in enumerate(rules.scenarios):
            stressed = leaf[3 + index]
            stressed = np.where(stressed > 0.0, stressed * discount, stressed)
            moved = scenario.spot_shock - 1.0
            pnl[:, index] = sums(leaves.account, stressed - marks, n) + moved * (
                perp * market.perp_price[rules.underlying] + value
            )
        weight = rules.basis.add_factor + rules.basis.mult_factor * years
        worse = np.minimum(np.minimum(up, down) - marks, 0.0) * weight
        naked = sums(leaves.account, naked_shorts(options, leaves, strike_ranks(listing)), n)
        shares = np.abs(perp) * rules.perp_share + base * rules.base_share
        static = (shares + naked * rules.option_share) * spot
        equity = book.cash + book.carried + sums(leaves.account, marks, n) + value
        foreign = (kind != Kind.BASE) & (listing.underlying[legs.instrument] != rules.underlying)
        refused = sums(legs.account, np.where(foreign | (kind == Kind.LP), 1.0, 0.0), n)
        refused += sums(
            legs.account, np.where(Form("sound", ()).valid(market)[legs.instrument], 0.0, 1.0), n
        )
        net = leaves.net(np.abs(options.quantity))
        gross = (np.abs(perp) + np.abs(base) + sums(leaves.account, net, n)) * spot
        gross += np.abs(book.cash)
        doubt = self._doubt(market, leaves, net, (perp, base))
        sound = np.isfinite(pnl).all(axis=1) & np.isfinite(equity + static + doubt)
        return _Held(
            equity=equity,
            pnl=pnl,
            basis=sums(leaves.account, worse, n),
            static=static,
            doubt=doubt,
            gross=gross,
            defined=np.where(sound & (refused == 0.0) & (spot > 0.0), 1.0, 0.0),
        )

    def _doubt(
        self, market: Market, leaves: Leaves, net: Floats, held: tuple[Floats, Floats]
    ) -> Floats:
        """Return what doubtful quotes add to initial margin, (account,)."""
        (perp, base), row = held, self.parameters.underlying
        threshold, share = self.parameters.confidence
        sure = np.full(len(perp), market.spot_confidence[row])
        sure = np.where(perp != 0.0, np.minimum(sure, market.perp_confidence[row]), sure)
        leaf = np.minimum(sure[leaves.account], market.expiry_confidence[leaves.expiry])
        weak = [np.where(each < threshold, (1.0 - each) * share, 0.0) for each in (sure, leaf)]
        spot = market.spot[row]
        own: Floats = weak[0] * (np.abs(perp) + base) * spot
        own += sums(leaves.account, weak[1] * net * spot, len(perp))
        return own

    def _unit_values(self, market: Market) -> Floats:
        """Return undiscounted option values, (mark, up, down, scenarios..., instrument)."""
        rules, listing = self.parameters, market.listing
        option = np.flatnonzero(listing.kind <= Kind.PUT)
        expiry = listing.expiry[option]
        seconds, vol = market.seconds[expiry], market.vol[option]
        up, down = vol_shock_factors(rules.vol, seconds)
        shocked = {VolShock.NONE: vol, VolShock.UP: vol * up, VolShock.DOWN: vol * down}
        shocks = [(1.0, VolShock.NONE), (rules.basis.spot_up, VolShock.NONE)]
        shocks.append((rules.basis.spot_down, VolShock.NONE))
        shocks.extend((each.spot_shock, each.vol_shock) for each in rules.scenarios)
        values = np.zeros((len(shocks), len(listing.kind)))
        for row, (spot, move) in enumerate(shocks):
            values[row, option] = black76(
                market.forward_variable[expiry] * spot + market.forward_fixed[expiry],
                listing.strike[option],
                seconds,
                shocked[move],
                np.ones(len(option)),
                listing.kind[option] == Kind.CALL,
            )
        return values
