"""The state every simulated run begins from: a dozen accounts, most of them sound, fresh quotes."""

import random

from tests.simulation import places as on
from tests.simulation.places import WAD, wad
from tests.simulation.venue_truth import Truth


ACCOUNTS = 12
STRIKES = (1_800.0, 2_000.0, 2_200.0)
SPOT_USD = 2_000.0


def option_id(expiry: int, strike: float, *, call: bool) -> int:
    """Return an option's subId."""
    return expiry | (round(strike * 10**8) << 32) | (int(call) << 95)


def begin(chance: random.Random) -> Truth:
    """Return a state with accounts, quotes and rules; its logs are forgotten."""
    truth = Truth()
    truth.bank = {
        "supply": 0, "borrow": 0, "borrow_index": WAD, "supply_index": WAD, "at": truth.now,
        "printed": 0, "fee": wad(0.2), "fee_before": 0, "forced": False,
    }  # fmt: skip
    truth.perp = {
        "aggregated": 0, "paid_at": truth.now, "convergence": 8 * WAD,
        "bound": wad(0.004), "static": wad(0.0000125),
    }  # fmt: skip
    truth.manager = {"stable": on.STABLE, "size": 128, "expiries": 11, "paused": False}
    for lib in (on.LIB, on.OTHER_LIB):
        for group, row in on.LIBS.items():
            truth.libs[lib, group] = row
        truth.coin[lib] = (True, True, wad(0.02), wad(0.01))
    # The other lib asks for more, so that an override can make a breach.
    factors = on.LIBS["margin"]
    truth.libs[on.OTHER_LIB, "margin"] = (wad(1.3), wad(1.1), *factors[2:])
    post_all(truth, SPOT_USD)
    for _ in range(ACCOUNTS):
        open_book(truth, chance)
    truth.last_account = on.BIDDERS[0] - 1
    for _ in on.BIDDERS:
        truth.move_cash(truth.create(on.KEEPER_OWNER), wad(chance.uniform(50.0, 1_500.0)))
    truth.logs.clear()
    return truth


def post_all(truth: Truth, spot: float) -> None:
    """Post every feed now, around a spot."""
    truth.post_spot(on.SPOT, wad(spot))
    truth.post_spot(on.COIN_FEED, wad(spot), wad(0.9))
    truth.post_spot(on.STABLE, WAD)
    truth.post_spot(on.SPARE, wad(0.999))
    for feed, diff in ((on.PERP_FEED, 1.0), (on.ASK, 2.0), (on.BID, 1.0)):
        truth.post_diff(feed, wad(diff), wad(0.95))
    for expiry in (on.SOON, on.LATER):
        post_expiry(truth, expiry, spot)


def post_expiry(truth: Truth, expiry: int, spot: float, vol: float = 0.05) -> None:
    """Post an expiry's forward, rate and smile; the smile only before it."""
    if truth.forwards.get(expiry, (0, 0, 0))[2] != expiry:
        truth.post_forward(expiry, wad(5.0), wad(0.98), wad(spot))
    truth.post_rate(expiry, wad(0.04), wad(0.97))
    if truth.now < expiry:
        smile = tuple(map(wad, (0.01, vol, -0.1, 0.0, 0.1, spot, 0.08, 0.96)))
        truth.post_vol(expiry, smile)


def open_book(truth: Truth, chance: random.Random) -> int:
    """Open an account of one of a few shapes, with cash near what its margin asks for."""
    account = truth.create(on.at(chance.randrange(0x1000, 0x2000)))
    cash = chance.uniform(200.0, 900.0)
    shape = chance.choice(("future", "strangle", "covered", "saver", "borrower", "spread"))
    truth.move_cash(account, wad(cash if shape != "borrower" else -chance.uniform(500, 1_500)))
    legs: list[tuple[str, int, float]] = []
    expiry = chance.choice((on.SOON, on.LATER))
    low, mid, high = STRIKES
    if shape == "future":
        legs = [(on.PERP, 0, chance.choice((-1, 1)) * chance.uniform(0.3, 2.0))]
    elif shape == "strangle":
        size = -chance.uniform(0.5, 2.0)
        legs = [(on.OPTION, option_id(expiry, low, call=False), size)]
        legs += [(on.OPTION, option_id(expiry, high, call=True), size)]
    elif shape == "covered":
        legs = [(on.COIN, 0, 1.0), (on.OPTION, option_id(expiry, high, call=True), -1.0)]
    elif shape == "borrower":
        legs = [(on.COIN, 0, chance.uniform(0.8, 1.2))]
    elif shape == "spread":
        size = chance.uniform(1.0, 3.0)
        legs = [(on.OPTION, option_id(expiry, mid, call=True), -size)]
        legs += [(on.OPTION, option_id(expiry, high, call=True), size), (on.PERP, 0, size / 3)]
    for asset, sub_id, quantity in legs:
        truth.trade(account, asset, sub_id, wad(quantity))
    return account
