"""PMRM_2 one account at a time, in plain Python: the oracle the keeper's arrays are held to.

Written from the venue's specification alone (section numbers below are its own). It imports
nothing of the keeper, not even its normal distribution, so that no misreading can be shared by
copying. Read it beside the specification; speed is no concern (about 1 ms an account).

Give `assess` a Portfolio (who holds what), Quotes (what the feeds say) and Rules (the manager's
parameters). USD, coins, years; confidences 0..1; `seconds` is time left. Options name the feed of
their expiry by its key in `Quotes.expiries`, usually the expiry's timestamp.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


Expiry = float  # an expiry's key: its timestamp, or its seconds left

YEAR = 31_536_000.0
DAY = 86_400.0


class Reverts(Exception):
    """The chain would refuse to compute this account's margin."""


@dataclass(frozen=True)
class Option:
    """One option position; `vol` is the surface's at this strike (see `svi_vol`)."""

    expiry: Expiry
    strike: float
    is_call: bool
    amount: float
    vol: float


@dataclass(frozen=True)
class Asset:
    """One collateral position with its own quote and haircuts."""

    amount: float
    price: float
    confidence: float
    risk_cancelling: bool
    mm_haircut: float
    im_haircut: float


@dataclass(frozen=True)
class Portfolio:
    """One account. `perp_value` is unsettled profit and funding; it counts with a perp only."""

    cash: float = 0.0
    perps: float = 0.0
    perp_value: float = 0.0
    options: tuple[Option, ...] = ()
    assets: tuple[Asset, ...] = ()


@dataclass(frozen=True)
class ExpiryQuote:
    """One expiry's forward (settled and variable part), rate, and least confidence of
    forward, rate and vol."""

    seconds: float
    forward_fixed: float
    forward_variable: float
    rate: float
    confidence: float


@dataclass(frozen=True)
class Quotes:
    """What the feeds say at one instant."""

    spot: float
    spot_confidence: float
    perp_price: float
    perp_confidence: float
    stable: float
    expiries: Mapping[Expiry, ExpiryQuote]


@dataclass(frozen=True)
class Shock:
    """A scenario: spot factor, "None" | "Up" | "Down" | "Linear" | "Abs", damping."""

    spot: float
    vol: str
    damping: float


@dataclass(frozen=True)
class Rules:
    """The manager's parameters, flat, named as in the specification (2.4 to 2.8)."""

    scenarios: tuple[Shock, ...]
    basis_up: float
    basis_down: float
    basis_add: float
    basis_mult: float
    im_factor: float
    mm_factor: float
    short_rate_mult: float
    long_rate_mult: float
    short_rate_add: float
    long_rate_add: float
    short_base: float
    long_base: float
    peg_threshold: float
    peg_factor: float
    conf_threshold: float
    conf_margin: float
    mm_perp: float
    im_perp: float
    mm_option: float
    im_option: float
    vol_range_up: float
    vol_range_down: float
    short_term_power: float
    long_term_power: float
    dte_floor_seconds: float
    min_vol_up: float
    linear_base_cap: float
    abs_base_cap: float
    linear_c_base: float
    abs_c_base: float
    min_k_star: float
    width_scale: float
    vol_param_static: float
    vol_param_scale: float


@dataclass(frozen=True)
class Outcome:
    """`mtm` is the account's value; `mm` and `im` are what is left of it after the requirement,
    signed as on chain (below zero = may be liquidated). `worst` is len(scenarios) when the
    basis contingency is the worst."""

    mtm: float
    mm: float
    im: float
    worst: int
    span: float
    basis: float
    pnls: tuple[float, ...]
    mm_contingency: float
    im_contingency: float


def assess(portfolio: Portfolio, quotes: Quotes, rules: Rules) -> Outcome:
    """Return the account's margin (2.7); raise Reverts where the chain would."""
    if quotes.spot <= 0 or quotes.stable <= 0:
        raise Reverts("spot or stable has no price")
    books = by_expiry(portfolio)
    mtm = portfolio.cash + sum(option_value(legs, quotes.expiries[e]) for e, legs in books.items())
    mtm += portfolio.perp_value if portfolio.perps != 0 else 0.0
    mtm += sum(asset_value(asset, quotes) for asset in portfolio.assets)

    basis = sum(basis_contingency(legs, quotes.expiries[e], rules) for e, legs in books.items())
    pnls = tuple(scenario_pnl(portfolio, quotes, rules, shock) for shock in rules.scenarios)
    span, worst = basis, len(rules.scenarios)
    for index, pnl in enumerate(pnls):
        if pnl < span:
            span, worst = pnl, index

    mm_contingency, im_contingency = contingencies(portfolio, quotes, rules)
    im_factor = rules.im_factor
    if quotes.stable < rules.peg_threshold:
        im_factor += (rules.peg_threshold - quotes.stable) * rules.peg_factor
    return Outcome(
        mtm=mtm,
        mm=span * rules.mm_factor - mm_contingency + mtm,
        im=span * im_factor - mm_contingency - im_contingency + mtm,
        worst=worst,
        span=span,
        basis=basis,
        pnls=pnls,
        mm_contingency=mm_contingency,
        im_contingency=im_contingency,
    )


def margin_under(portfolio: Portfolio, quotes: Quotes, rules: Rules, index: int) -> float:
    """Return the MM when only one scenario is looked at (2.7, last line)."""
    outcome = assess(portfolio, quotes, rules)
    span = min(outcome.basis, outcome.pnls[index])
    return span * rules.mm_factor - outcome.mm_contingency + outcome.mtm


# 2.2 and 2.3: values


def normal(x: float) -> float:
    """Return the standard normal cumulative."""
    return 0.5 * math.erfc(-x / math.sqrt(2.0))


def black76(
    forward: float, strike: float, seconds: float, vol: float, discount: float, is_call: bool
) -> float:
    """Return the value of one option (2.2)."""
    if strike == 0:
        return forward * discount if is_call else 0.0
    if forward == 0:
        return 0.0 if is_call else strike * discount
    m = strike / forward
    v = vol * math.sqrt(seconds / YEAR)
    if v >= 24:
        c = 1.0
    else:
        v = max(v, 1e-18)
        d1 = (v * v / 2 - math.log(m)) / v
        c = max(0.0, normal(d1) - m * normal(d1 - v))
    p = max(0.0, c + m - 1.0)
    if is_call:
        return min(c * forward * discount, forward * discount)
    return min(p * forward * discount, strike * discount)


def svi_vol(strike: float, smile: Sequence[float]) -> float:
    """Return the volatility of a strike (2.3); smile = a, b, rho, m, sigma, fwdRef, tauRef."""
    a, b, rho, m, sigma, forward_ref, tau_ref = smile
    if strike == 0:
        return 0.0
    bound = 4.0 * math.sqrt(a + b * sigma)
    ratio = strike / forward_ref
    k = -bound if ratio < 1e-18 else min(bound, max(-bound, math.log(ratio)))
    w = min(144.0, a + b * (rho * (k - m) + math.sqrt((k - m) ** 2 + sigma**2)))
    if w < 0:
        raise Reverts("negative variance")
    return math.sqrt(w / tau_ref)


def by_expiry(portfolio: Portfolio) -> dict[Expiry, list[Option]]:
    """Return the options that are held, by expiry."""
    books: dict[Expiry, list[Option]] = {}
    for option in portfolio.options:
        if option.amount != 0:
            books.setdefault(option.expiry, []).append(option)
    return books


def asset_value(asset: Asset, quotes: Quotes) -> float:
    """Return a collateral's value in terms of the stable (2.1)."""
    return asset.amount * asset.price / quotes.stable


def option_value(
    legs: list[Option], quote: ExpiryQuote, spot: float = 1.0, vols: list[float] | None = None
) -> float:
    """Return what one expiry's options are worth, spot and vols shocked or not (2.4)."""
    forward = quote.forward_variable * spot + quote.forward_fixed
    discount = math.exp(-quote.rate * quote.seconds / YEAR)
    total = 0.0
    for leg, vol in zip(legs, vols or [leg.vol for leg in legs], strict=True):
        price = black76(forward, leg.strike, quote.seconds, vol, discount, leg.is_call)
        total += leg.amount * price
    return total


# 2.4: what does not depend on the scenario


def basis_contingency(legs: list[Option], quote: ExpiryQuote, rules: Rules) -> float:
    """Return one expiry's share of the basis contingency, at most 0."""
    mtm = option_value(legs, quote)
    up = option_value(legs, quote, rules.basis_up) - mtm
    down = option_value(legs, quote, rules.basis_down) - mtm
    return min(up, down, 0.0) * (rules.basis_add + rules.basis_mult * quote.seconds / YEAR)


def naked_shorts(legs: list[Option]) -> float:
    """Return the uncovered shorts of one expiry: call and put of one strike offset."""
    total = 0.0
    for strike in {leg.strike for leg in legs}:
        amounts = [leg.amount for leg in legs if leg.strike == strike]
        short = -sum(amount for amount in amounts if amount < 0)
        long = sum(amount for amount in amounts if amount > 0)
        total += short - min(short, long)
    return total


def doubt(confidence: float, notional: float, rules: Rules) -> float:
    """Return the charge for a quote of low confidence."""
    if confidence < rules.conf_threshold:
        return (1.0 - confidence) * rules.conf_margin * notional
    return 0.0


def contingencies(portfolio: Portfolio, quotes: Quotes, rules: Rules) -> tuple[float, float]:
    """Return the MM contingency and the IM contingency on top of it (2.4)."""
    spot, confidence = quotes.spot, quotes.spot_confidence
    perps = abs(portfolio.perps) * spot
    if portfolio.perps != 0:
        confidence = min(confidence, quotes.perp_confidence)
    mm = perps * rules.mm_perp
    im = perps * rules.im_perp + doubt(confidence, perps, rules)
    for expiry, legs in by_expiry(portfolio).items():
        naked = naked_shorts(legs) * spot
        net = sum(abs(leg.amount) for leg in legs) * spot
        mm += naked * rules.mm_option
        im += naked * rules.im_option
        im += doubt(min(confidence, quotes.expiries[expiry].confidence), net, rules)
    for asset in portfolio.assets:
        value = asset_value(asset, quotes)
        mm += value * asset.mm_haircut
        im += value * asset.im_haircut
        im += doubt(min(asset.confidence, quotes.spot_confidence), value, rules)
    return mm, im


# 2.5 and 2.6: scenarios


def scenario_pnl(portfolio: Portfolio, quotes: Quotes, rules: Rules, shock: Shock) -> float:
    """Return the account's change of value under one scenario (2.5)."""
    total = shock.damping * portfolio.perps * (shock.spot - 1.0) * quotes.perp_price
    for expiry, legs in by_expiry(portfolio).items():
        total += expiry_pnl(legs, quotes.expiries[expiry], rules, shock)
    for asset in portfolio.assets:
        if asset.risk_cancelling:
            total += asset_value(asset, quotes) * (shock.spot - 1.0) * shock.damping
    return total


def expiry_pnl(legs: list[Option], quote: ExpiryQuote, rules: Rules, shock: Shock) -> float:
    """Return one expiry's share of a scenario's P&L, static discount and damping applied."""
    mtm = option_value(legs, quote)
    vols = [shocked_vol(leg, quote, rules, shock.vol) for leg in legs]
    skewed = shock.vol in ("Linear", "Abs")
    value = option_value(legs, quote, 1.0 if skewed else shock.spot, vols)
    value *= static_discount(quote, rules, long=value >= 0)
    pnl = (value - mtm) * shock.damping
    return -abs(pnl) if skewed else pnl


def static_discount(quote: ExpiryQuote, rules: Rules, long: bool) -> float:
    """Return the factor on an expiry's value: dPos for a positive one, dNeg otherwise (2.4)."""
    tau = quote.seconds / YEAR
    if long:
        growth = quote.rate * rules.long_rate_mult + rules.long_rate_add
        return rules.long_base * math.exp(-tau * growth)
    growth = quote.rate * rules.short_rate_mult + rules.short_rate_add
    discount = math.exp(-quote.rate * tau)
    return min(1.0 / discount, rules.short_base / math.exp(-tau * growth))


def shocked_vol(leg: Option, quote: ExpiryQuote, rules: Rules, direction: str) -> float:
    """Return an option's volatility under a scenario (2.4 to 2.6)."""
    if direction == "None":
        return leg.vol
    if direction in ("Linear", "Abs"):
        return leg.vol * skew(leg, quote, rules, direction)
    power = rules.short_term_power if quote.seconds <= 30 * DAY else rules.long_term_power
    q = math.pow(30 * DAY / max(quote.seconds, rules.dte_floor_seconds), power)
    if direction == "Up":
        return max(rules.min_vol_up, leg.vol * (1.0 + rules.vol_range_up * q))
    assert direction == "Down", direction
    return leg.vol * max(0.0, 1.0 - rules.vol_range_down * q)


def skew(leg: Option, quote: ExpiryQuote, rules: Rules, direction: str) -> float:
    """Return the skew scenarios' factor on volatility (2.6)."""
    root = math.sqrt(quote.seconds / YEAR)
    forward = quote.forward_variable + quote.forward_fixed
    if forward == 0 or leg.strike / forward < 1e-18:
        raise Reverts("the logarithm of strike over forward overflows")
    k = math.log(leg.strike / forward)
    if direction == "Linear":
        cap = rules.linear_base_cap + rules.linear_c_base * root
    else:
        cap = rules.abs_base_cap + rules.abs_c_base * root
        k = abs(k)
    width = root * rules.width_scale * (rules.vol_param_static + root * rules.vol_param_scale)
    k_star = max(rules.min_k_star, width)
    tilt = k * cap / k_star
    return max(0.0, 1.0 + (min(cap, tilt) if k >= 0 else max(-cap, tilt)))
