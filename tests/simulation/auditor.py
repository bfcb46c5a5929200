"""An account's margin by the slow independent reference, from the world's own state.

The oracle for "a healthy account is never liquidated": it shares no code with the keeper's
margin, its tables, its accrual or its readings.
"""

import math

from tests.reference import pmrm2_scalar as scalar
from tests.simulation import places as on
from tests.simulation.places import WAD
from tests.simulation.venue_truth import YEAR_S, Reverts, Truth


SHOCKS = ("None", "Up", "Down", "Linear", "Abs")


def margin(truth: Truth, account: int) -> scalar.Outcome:
    """Return the account's margin now, interest and funding due included; raises Reverts."""
    portfolio, quotes, rules = _inputs(truth, account)
    try:
        return scalar.assess(portfolio, quotes, rules)
    except scalar.Reverts as error:
        raise Reverts(str(error)) from error


def under(truth: Truth, account: int, scenario: int) -> scalar.Outcome:
    """Return the margin with one scenario looked at only; raises Reverts."""
    if scenario >= len(truth.scenarios):
        raise Reverts("panic 0x32")
    outcome = margin(truth, account)
    rules = _rules(truth, account)
    span = min(outcome.basis, outcome.pnls[scenario])
    mm = span * rules.mm_factor - outcome.mm_contingency + outcome.mtm
    return scalar.Outcome(**{**outcome.__dict__, "mm": mm})


def _inputs(truth: Truth, account: int) -> tuple[scalar.Portfolio, scalar.Quotes, scalar.Rules]:
    spot, confidence = truth.spot(on.SPOT)
    stable, _ = truth.spot(truth.manager["stable"])
    size = truth.held.get((account, on.PERP, 0), 0)
    perp, trust = truth.diff(on.PERP_FEED) if size else (0, WAD)
    expiries: dict[float, scalar.ExpiryQuote] = {}
    options, assets = [], []
    for asset, sub_id, quantity in truth.positions(account):
        if asset == on.OPTION:
            options.append(_option(truth, sub_id, quantity, expiries))
        elif asset == on.COIN:
            assets.append(_coin(truth, account, quantity))
    portfolio = scalar.Portfolio(
        cash=_cash(truth, account),
        perps=size / WAD,
        perp_value=_carried(truth, account, size, perp) if size else 0.0,
        options=tuple(options),
        assets=tuple(assets),
    )
    quotes = scalar.Quotes(
        spot / WAD, confidence / WAD, perp / WAD, trust / WAD, stable / WAD, expiries
    )
    return portfolio, quotes, _rules(truth, account)


def _option(
    truth: Truth, sub_id: int, quantity: int, expiries: dict[float, scalar.ExpiryQuote]
) -> scalar.Option:
    expiry, strike = sub_id & 0xFFFFFFFF, (sub_id >> 32 & (1 << 63) - 1) / 1e8
    smile = truth.smile(expiry)
    if expiry not in expiries:
        fixed, variable, first = truth.forward(expiry)
        rate, second = truth.rate(expiry)
        least = min(first, second, smile[7]) / WAD
        seconds = float(max(0, expiry - truth.now))
        parts = (fixed / WAD, variable / WAD, max(0, rate) / WAD, least)
        expiries[expiry] = scalar.ExpiryQuote(seconds, *parts)
    vol = scalar.svi_vol(strike, [each / WAD for each in smile[:7]])
    return scalar.Option(expiry, strike, bool(sub_id >> 95), quantity / WAD, vol)


def _coin(truth: Truth, account: int, quantity: int) -> scalar.Asset:
    price, confidence = truth.spot(on.COIN_FEED)
    enabled, cancelling, mm, im = truth.coin[truth.overrides.get(account) or on.LIB]
    if not enabled:
        raise Reverts("PMRML2_CollateralDisabled")
    rest = (cancelling, mm / WAD, im / WAD)
    return scalar.Asset(quantity / WAD, price / WAD, confidence / WAD, *rest)


def _cash(truth: Truth, account: int) -> float:
    """Return cash with the interest that an accrual now would add."""
    stored, index, bank = truth.cash.get(account, 0), truth.index.get(account, 0), truth.bank
    if stored == 0 or index == 0:
        return stored / WAD
    borrow, supply = bank["borrow"], bank["supply"]
    growth = earned = 1.0
    if borrow:
        use = min(1.0, borrow / (supply + max(0, -bank["printed"]))) if supply else 0.0
        low, slope, high, kink = (each / WAD for each in on.RATES)
        rate = low + min(use, kink) * slope + max(0.0, use - kink) * high
        interest = borrow * math.expm1(rate * (truth.now - bank["at"]) / YEAR_S)
        growth = 1.0 + interest / borrow
        if supply:
            earned = 1.0 + interest * (1.0 - bank["fee"] / WAD) / supply
    current = bank["borrow_index"] * growth if stored < 0 else bank["supply_index"] * earned
    return stored / WAD * current / index


def _carried(truth: Truth, account: int, size: int, price: int) -> float:
    """Return a perpetual's unsettled profit and funding."""
    mark, funding, pnl, aggregated = truth.marks.get(account, (0, 0, 0, 0))
    quantity = size / WAD
    profit = (price - mark) / WAD * quantity
    due = (truth.funding_due() - aggregated) / WAD * quantity
    return profit - due + (funding + pnl) / WAD


def _rules(truth: Truth, account: int) -> scalar.Rules:
    lib = truth.overrides.get(account) or on.LIB
    basis, other, factors, vol, skew = (
        [each / WAD for each in truth.libs[lib, group]]
        for group in ("basis", "other", "margin", "vol_shock", "skew")
    )
    scenarios = tuple(
        scalar.Shock(spot / WAD, SHOCKS[kind], damping / WAD)
        for spot, kind, damping in truth.scenarios
    )
    vol[4] *= WAD  # the floor alone is in seconds
    return scalar.Rules(scenarios, *basis, *factors, *other, *vol, *skew)
