"""A portfolio file (JSON) as a book and a market: every field checked, every error with its cure.

The text is read by whoever may open files. Layout, all prices in USD, vols and rates a year:

    {"market": {"stable": 1.0,
       "underlyings": [{"name": "BTC", "spot": 60000, "perp": 60050, "confidence": 1}],
       "expiries":    [{"name": "JUN", "days": 30, "forward": 60300, "rate": 0.04}],
       "instruments": [{"name": "C60", "kind": "call", "underlying": "BTC", "expiry": "JUN",
                        "strike": 60000, "vol": 0.5},
                       {"name": "PERP", "kind": "perpetual", "underlying": "BTC"},
                       {"name": "BTC", "kind": "base", "underlying": "BTC", "price": 60000}]},
     "accounts": [{"name": "desk", "cash": 10000, "carried": 0,
                   "positions": {"C60": -1, "PERP": 0.5}}],
     "options": {}}
"""

import json
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from keeper.margin.book import Book, Kind, Listing, Market
from keeper.margin.errors import (
    BadNumber,
    BadShape,
    finite,
    not_negative,
    positive,
    within,
)
from keeper.margin.methods.custom import known
from keeper.margin.shocks import DAY_S


KINDS: Final = {each.name.lower(): each for each in Kind if each is not Kind.LP}
ABSURD: Final = 1e6  # a strike this many times above or below spot is a typing error
VOL_MAX: Final = 24.0
QUANTITY_MAX: Final = 1e15


@dataclass(frozen=True, slots=True)
class Portfolio:
    """What a file holds; names in the arrays' order; `options` go to the method."""

    book: Book
    market: Market
    accounts: tuple[str, ...]
    instruments: tuple[str, ...]
    underlyings: tuple[str, ...]
    options: dict[str, Any]


def parse(text: str) -> Portfolio:
    """Return the file's portfolio; raises a `MarginInputError` naming field, value and cure."""
    try:
        raw = json.loads(text)
    except ValueError as error:
        raise BadShape("portfolio file", str(error), "write valid JSON") from error
    top = _table(raw, "portfolio", ("market", "accounts"), ("options",))
    market, names = _market(top["market"])
    accounts = _rows(top["accounts"], "accounts", ("name",), ("cash", "carried", "positions"))
    owners = _names(accounts, "accounts")
    start, instrument, quantity = [0], [], []
    for owner, each in zip(owners, accounts, strict=True):
        rows = _positions(each.get("positions", {}), f"accounts[{owner}].positions", names[0])
        for row, held in sorted(rows.items()):
            instrument.append(row)
            quantity.append(held)
        start.append(len(instrument))
    money = {
        key: [finite(f"accounts[{each['name']}].{key}", each.get(key, 0.0)) for each in accounts]
        for key in ("cash", "carried")
    }
    book = Book(
        np.array(start, np.int64),
        np.array(instrument, np.int32),
        np.array(quantity, np.float64),
        np.array(money["cash"], np.float64),
        np.array(money["carried"], np.float64),
    )
    options = top.get("options", {})
    if not isinstance(options, dict):
        raise BadShape("options", options, "write an object")
    return Portfolio(book, market, owners, names[0], names[1], options)


def _market(raw: Any) -> tuple[Market, tuple[tuple[str, ...], tuple[str, ...]]]:
    top = _table(raw, "market", ("underlyings", "instruments"), ("stable", "expiries"))
    coins = _rows(
        top["underlyings"],
        "market.underlyings",
        ("name", "spot"),
        ("perp", "confidence", "perp_confidence"),
    )
    dates = _rows(
        top.get("expiries", []),
        "market.expiries",
        ("name", "days", "forward"),
        ("rate", "settled", "confidence"),
    )
    coin_names = _names(coins, "market.underlyings")
    date_names = _names(dates, "market.expiries")
    items = _rows(
        top["instruments"],
        "market.instruments",
        ("name", "kind", "underlying"),
        ("expiry", "strike", "vol", "price", "confidence"),
    )
    names = _names(items, "market.instruments")
    where = "market.underlyings"
    spot = np.array([positive(f"{where}[{c['name']}].spot", c["spot"]) for c in coins], np.float64)
    perp = np.array(
        [not_negative(f"{where}[{c['name']}].perp", c.get("perp", 0.0)) for c in coins], np.float64
    )
    rows = [_instrument(each, coin_names, date_names, spot, perp) for each in items]
    listing = Listing(
        np.array([row[0] for row in rows], np.int8),
        np.array([row[1] for row in rows], np.int32),
        np.array([row[2] for row in rows], np.int32),
        np.array([row[3] for row in rows], np.float64),
    )
    expiries = np.array([_expiry(each) for each in dates], np.float64).reshape(-1, 5)
    market = Market(
        listing=listing,
        seconds=expiries[:, 0],
        forward_fixed=expiries[:, 1],
        forward_variable=expiries[:, 2],
        rate=expiries[:, 3],
        expiry_confidence=expiries[:, 4],
        spot=spot,
        spot_confidence=_shares(coins, where, "confidence"),
        perp_price=perp,
        perp_confidence=_shares(coins, where, "perp_confidence"),
        stable=positive("market.stable", top.get("stable", 1.0)),
        vol=np.array([row[4] for row in rows], np.float64),
        price=np.array([row[5] for row in rows], np.float64),
        confidence=_shares(items, "market.instruments", "confidence"),
        usable=np.ones(len(rows), np.bool_),
    )
    return market, (names, coin_names)


def _expiry(raw: dict[str, Any]) -> tuple[float, float, float, float, float]:
    """Return (seconds, settled part, moving part, rate, confidence)."""
    where = f"market.expiries[{raw['name']}]"
    days = finite(f"{where}.days", raw["days"])
    if days <= 0.0:
        raise BadNumber(f"{where}.days", days, "drop what has expired, or settle it into cash")
    forward = positive(f"{where}.forward", raw["forward"])
    settled = within(f"{where}.settled", raw.get("settled", 0.0), 0.0, forward)
    rate = not_negative(f"{where}.rate", raw.get("rate", 0.0))
    sure = within(f"{where}.confidence", raw.get("confidence", 1.0), 0.0, 1.0)
    return days * DAY_S, settled, forward - settled, rate, sure


def _instrument(
    raw: dict[str, Any],
    coins: tuple[str, ...],
    dates: tuple[str, ...],
    spot: np.ndarray,
    perp: np.ndarray,
) -> tuple[int, int, int, float, float, float]:
    """Return (kind, underlying, expiry, strike, vol, price)."""
    where = f"market.instruments[{raw['name']}]"
    known(str(raw["kind"]), tuple(KINDS), f"{where}.kind")
    known(str(raw["underlying"]), coins, f"{where}.underlying")
    kind, coin = KINDS[raw["kind"]], coins.index(raw["underlying"])
    option, dated = kind <= Kind.PUT, kind <= Kind.PUT or kind is Kind.FUTURE
    needed = {"expiry": dated, "strike": option, "vol": option, "price": kind is Kind.BASE}
    for key, wanted in needed.items():
        if wanted != (key in raw):
            cure = "give it" if wanted else f"leave it out: a {raw['kind']} has none"
            raise BadShape(f"{where}.{key}", raw.get(key), cure)
    expiry, strike, vol = -1, 0.0, 0.0
    if dated:
        known(str(raw["expiry"]), dates, f"{where}.expiry")
        expiry = dates.index(raw["expiry"])
    if option:
        low, high = float(spot[coin]) / ABSURD, float(spot[coin]) * ABSURD
        strike = within(f"{where}.strike", raw["strike"], low, high)
        vol = positive(f"{where}.vol", within(f"{where}.vol", raw["vol"], 0.0, VOL_MAX))
    if kind is Kind.PERPETUAL:
        positive(f"market.underlyings[{raw['underlying']}].perp", float(perp[coin]))
    price = positive(f"{where}.price", raw["price"]) if kind is Kind.BASE else 0.0
    return int(kind), coin, expiry, strike, vol, price


def _positions(raw: Any, where: str, names: tuple[str, ...]) -> dict[int, float]:
    if not isinstance(raw, dict):
        raise BadShape(where, raw, "write an object: instrument name to quantity")
    rows = {}
    for name, quantity in raw.items():
        known(name, names, f"{where}.{name}")
        held = within(f"{where}.{name}", quantity, -QUANTITY_MAX, QUANTITY_MAX)
        rows[names.index(name)] = held
    return rows


def _shares(rows: list[dict[str, Any]], where: str, key: str) -> np.ndarray:
    values = [within(f"{where}[{r['name']}].{key}", r.get(key, 1.0), 0.0, 1.0) for r in rows]
    return np.array(values, np.float64)


def _names(rows: list[dict[str, Any]], where: str) -> tuple[str, ...]:
    names = [each["name"] for each in rows]
    for place, name in enumerate(names):
        if not isinstance(name, str) or not name:
            raise BadShape(f"{where}[{place}].name", name, "give a name")
        if name in names[:place]:
            raise BadShape(f"{where}[{place}].name", name, "give each its own name")
    return tuple(names)


def _rows(
    raw: Any, where: str, needed: tuple[str, ...], allowed: tuple[str, ...]
) -> list[dict[str, Any]]:
    if not isinstance(raw, list):
        raise BadShape(where, raw, "write a list")
    return [_table(each, f"{where}[{n}]", needed, allowed) for n, each in enumerate(raw)]


def _table(
    raw: Any, where: str, needed: tuple[str, ...], allowed: tuple[str, ...]
) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raise BadShape(where, raw, "write an object")
    for key in raw:
        known(key, (*needed, *allowed), f"{where}.{key}")
    for key in needed:
        if key not in raw:
            raise BadShape(f"{where}.{key}", None, "give it")
    return raw
