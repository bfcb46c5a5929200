"""The venue's own numbers put to the scalar model: how far each account stands from the line.

Only says which accounts are worth asking the chain about. It must not use the keeper's code: judge
and judged would share their mistakes. Everything here can be sent to another process.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from deploy.devnet.judge.history import AssetKey
from deploy.devnet.venue.deployment import Book, Venue
from deploy.devnet.venue.market import YEAR_S, Moment, UnderlyingQuote
from deploy.devnet.venue.seeding import wad_of
from tests.reference import pmrm2_scalar as scalar


SHOCKS = ("None", "Up", "Down", "Linear", "Abs")

Holdings = dict[AssetKey, int]


@dataclass(frozen=True)
class Position:
    """One account's inputs: cash with interest and perpetual value in 1e-18 USD."""

    account: int
    underlying: str
    held: Holdings
    cash: int
    perp_value: int


@dataclass(frozen=True)
class Case:
    """One block's inputs of the scalar model, small enough to send to another process."""

    moment: Moment
    timestamp: int
    positions: tuple[Position, ...]


@dataclass(frozen=True)
class Standing:
    """The scalar model's verdict on one account at one block, USD."""

    account: int
    excess: float
    equity: float
    gross: float
    basis: float
    worst: int
    scenarios: int

    @property
    def handed(self) -> int:
        """The scenario to hand to the chain; basis contingency counts under every index."""
        return 0 if self.worst == self.scenarios else self.worst

    @property
    def basis_worst(self) -> bool:
        """Whether there is a basis contingency, and no scenario is as bad."""
        return self.worst == self.scenarios and self.basis < 0.0


class Terms:
    """One book's rules and assets, as plain values for the scalar model."""

    def __init__(self, venue: Venue, book: Book) -> None:
        parameters = next(
            each for each in venue.parameters.books if each.underlying == book.underlying
        )
        self.underlying = book.underlying
        self.option = book.option.address.lower()
        self.perp = book.perp.address.lower()
        self.rules = rules_of(parameters.margin)
        self.collaterals = {
            each.asset.address.lower(): next(
                p for p in parameters.collaterals if p.symbol == each.symbol
            )
            for each in book.collaterals
        }

    def quotes(self, moment: Moment, timestamp: int) -> scalar.Quotes:
        """Return what this book's feeds say at a moment, aged to `timestamp`."""
        quote = self._quote(moment)
        spot = as_published(quote.spot)
        lines: dict[float, scalar.ExpiryQuote] = {
            line.expiry: scalar.ExpiryQuote(
                seconds=float(max(0, line.expiry - timestamp)),
                forward_fixed=0.0,
                forward_variable=spot + as_published(line.forward_less_spot),
                rate=as_published(line.rate),
                confidence=1.0,
            )
            for line in quote.expiries
        }
        perp = spot + as_published(quote.perp_less_spot)
        return scalar.Quotes(spot, 1.0, perp, 1.0, 1.0, lines)

    def portfolio(self, moment: Moment, position: Position) -> scalar.Portfolio:
        """Return an account's holdings as the scalar model takes them."""
        quote = self._quote(moment)
        options, assets, perps = [], [], 0.0
        for (asset, sub_id), balance in position.held.items():
            amount = balance / 1e18
            if asset == self.option:
                options.append(_option(quote, sub_id, amount))
            elif asset == self.perp:
                perps = amount
            elif asset in self.collaterals:
                assets.append(self._collateral(moment, asset, amount))
        return scalar.Portfolio(
            cash=position.cash / 1e18,
            perps=perps,
            perp_value=position.perp_value / 1e18,
            options=tuple(options),
            assets=tuple(assets),
        )

    def standing(self, case: Case, quotes: scalar.Quotes, position: Position) -> Standing:
        """Return the verdict on one account."""
        portfolio = self.portfolio(case.moment, position)
        outcome = scalar.assess(portfolio, quotes, self.rules)
        gross = abs(portfolio.cash) + abs(portfolio.perps) * quotes.spot
        gross += sum(abs(option.amount) for option in portfolio.options) * quotes.spot
        gross += sum(asset.amount * asset.price for asset in portfolio.assets)
        return Standing(
            account=position.account,
            excess=outcome.mm,
            equity=outcome.mtm,
            gross=gross,
            basis=outcome.basis,
            worst=outcome.worst,
            scenarios=len(self.rules.scenarios),
        )

    def _quote(self, moment: Moment) -> UnderlyingQuote:
        return next(each for each in moment.underlyings if each.underlying == self.underlying)

    def _collateral(self, moment: Moment, asset: str, amount: float) -> scalar.Asset:
        terms = self.collaterals[asset]
        # What no book is written on is a coin worth a dollar.
        price = next((u.spot for u in moment.underlyings if u.underlying == terms.underlying), 1.0)
        return scalar.Asset(
            amount=amount,
            price=as_published(price),
            confidence=1.0,
            risk_cancelling=terms.risk_cancelling,
            mm_haircut=terms.mm_haircut / 1e18,
            im_haircut=terms.im_haircut / 1e18,
        )


def verdicts(job: tuple[dict[str, Terms], Case]) -> list[Standing]:
    """Return the standing of every account of a case; one job of a worker process."""
    terms, case = job
    quotes = {name: each.quotes(case.moment, case.timestamp) for name, each in terms.items()}
    return [
        terms[each.underlying].standing(case, quotes[each.underlying], each)
        for each in case.positions
    ]


def rules_of(margin: Any) -> scalar.Rules:
    """Return deployed margin parameters as the scalar model's rules."""
    shocks = tuple(
        scalar.Shock(spot / 1e18, SHOCKS[vol], damping / 1e18)
        for spot, vol, damping in margin.scenarios
    )
    vol = margin.vol_shock
    numbers = [each / 1e18 for each in (*margin.basis, *margin.margin, *margin.other, *vol[:4])]
    numbers += [float(vol[4]), vol[5] / 1e18]  # the floor on time is in plain seconds
    numbers += [each / 1e18 for each in margin.skew]
    return scalar.Rules(shocks, *numbers)


def as_published(value: float) -> float:
    """Return a number as the feeds carry it: eight decimals."""
    return wad_of(value) / 1e18


def _option(quote: UnderlyingQuote, sub_id: int, amount: float) -> scalar.Option:
    expiry, strike = sub_id & 0xFFFFFFFF, (sub_id >> 32 & 2**63 - 1) / 1e8
    smile = next(line.smile for line in quote.expiries if line.expiry == expiry)
    numbers = (smile.a, smile.b, smile.rho, smile.m, smile.sigma, smile.forward, smile.years)
    vol = scalar.svi_vol(strike, [as_published(each) for each in numbers])
    return scalar.Option(expiry, strike, bool(sub_id >> 95), amount, vol)


assert YEAR_S == scalar.YEAR, "two rooms, one year"
