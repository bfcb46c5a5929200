"""The portfolio file: read in full, or refused with field, value and cure."""

import copy
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from keeper.margin.book import Kind
from keeper.margin.errors import MarginInputError
from keeper.margin.methods import registry
from keeper.margin.portfolio import parse


FILE: dict[str, Any] = {
    "market": {
        "stable": 1.0,
        "underlyings": [{"name": "BTC", "spot": 60_000, "perp": 60_050}],
        "expiries": [{"name": "JUN", "days": 30, "forward": 60_300, "rate": 0.04, "settled": 300}],
        "instruments": [
            {
                "name": "C60",
                "kind": "call",
                "underlying": "BTC",
                "expiry": "JUN",
                "strike": 60_000,
                "vol": 0.5,
            },
            {"name": "PERP", "kind": "perpetual", "underlying": "BTC"},
            {"name": "FUT", "kind": "future", "underlying": "BTC", "expiry": "JUN"},
            {"name": "BTC", "kind": "base", "underlying": "BTC", "price": 60_000},
        ],
    },
    "accounts": [
        {"name": "desk", "cash": 10_000, "positions": {"PERP": 0.5, "C60": -1}},
        {"name": "empty"},
    ],
}


def changed(change: Callable[[dict[str, Any]], None]) -> str:
    raw = copy.deepcopy(FILE)
    change(raw)
    return json.dumps(raw)


def test_a_file_becomes_a_book_and_a_market() -> None:
    found = parse(json.dumps(FILE))
    assert found.accounts == ("desk", "empty")
    assert found.instruments == ("C60", "PERP", "FUT", "BTC")
    assert found.book.start.tolist() == [0, 2, 2]
    assert found.book.instrument.tolist() == [0, 1]
    assert found.book.quantity.tolist() == [-1.0, 0.5]
    market = found.market
    assert market.listing.kind.tolist() == [Kind.CALL, Kind.PERPETUAL, Kind.FUTURE, Kind.BASE]
    assert market.seconds.tolist() == [30 * 86_400.0]
    assert (market.forward_fixed[0], market.forward_variable[0]) == (300.0, 60_000.0)
    assert market.price.tolist() == [0.0, 0.0, 0.0, 60_000.0]


def test_a_file_is_margined_by_name() -> None:
    found = parse(json.dumps(FILE))
    for name in ("derive-pmrm2", "derive-srm", "paradex"):
        result = registry.make(name, found.options, found.market).require(found.book, found.market)
        assert result.defined.all()
        assert result.mm[0] > 0.0
        assert result.mm[1] == 0.0


def test_a_book_without_accounts_or_instruments_is_empty() -> None:
    raw = {"market": {"underlyings": [], "instruments": []}, "accounts": []}
    found = parse(json.dumps(raw))
    assert found.book.accounts == 0
    assert len(found.market.listing.kind) == 0
    only_cash = {**raw, "accounts": [{"name": "a", "cash": 5}]}
    one = parse(json.dumps(only_cash))
    result = registry.make("paradex", {}, one.market).require(one.book, one.market)
    assert np.array_equal(result.excess, [5.0])


def edit(*path: Any, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(raw: dict[str, Any]) -> None:
        place: Any = raw
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value

    return change


def drop(*path: Any) -> Callable[[dict[str, Any]], None]:
    def change(raw: dict[str, Any]) -> None:
        place: Any = raw
        for step in path[:-1]:
            place = place[step]
        del place[path[-1]]

    return change


COIN, DATE = ("market", "underlyings", 0), ("market", "expiries", 0)
CALL, BASE = ("market", "instruments", 0), ("market", "instruments", 3)
HELD = ("accounts", 0, "positions")


@pytest.mark.parametrize(
    ("change", "field", "cure"),
    [
        (edit(*COIN, "spot", value=float("nan")), "[BTC].spot", "finite"),
        (edit(*COIN, "spot", value=float("inf")), "[BTC].spot", "finite"),
        (edit(*COIN, "spot", value=0), "[BTC].spot", "above zero"),
        (edit(*COIN, "spot", value=-1), "[BTC].spot", "above zero"),
        (edit(*COIN, "spot", value="60k"), "[BTC].spot", "number"),
        (edit(*COIN, "spot", value=True), "[BTC].spot", "number"),
        (edit(*COIN, "perp", value=0), "[BTC].perp", "above zero"),
        (edit(*COIN, "confidence", value=1.5), "confidence", "0 to 1"),
        (edit(*COIN, "spto", value=1), "spto", "did you mean spot"),
        (drop(*COIN, "spot"), "underlyings[0].spot", "give it"),
        (edit(*DATE, "days", value=0), "[JUN].days", "expired"),
        (edit(*DATE, "days", value=-3), "[JUN].days", "expired"),
        (edit(*DATE, "days", value=float("nan")), "[JUN].days", "finite"),
        (edit(*DATE, "forward", value=0), "[JUN].forward", "above zero"),
        (edit(*DATE, "rate", value=-0.1), "[JUN].rate", "zero or more"),
        (edit(*DATE, "settled", value=1e9), "[JUN].settled", "0 to"),
        (edit(*CALL, "strike", value=1e30), "[C60].strike", "from"),
        (edit(*CALL, "strike", value=0), "[C60].strike", "from"),
        (edit(*CALL, "vol", value=0), "[C60].vol", "above zero"),
        (edit(*CALL, "vol", value=-0.5), "[C60].vol", "from"),
        (edit(*CALL, "vol", value=50), "[C60].vol", "from"),
        (edit(*CALL, "kind", value="cal"), "[C60].kind", "did you mean call"),
        (edit(*CALL, "expiry", value="JUL"), "[C60].expiry", "did you mean JUN"),
        (edit(*CALL, "underlying", value="ETH"), "[C60].underlying", "BTC"),
        (edit(*CALL, "price", value=3), "[C60].price", "leave it out"),
        (edit(*CALL, "name", value="PERP"), "name", "its own name"),
        (edit(*CALL, "name", value=""), "name", "give a name"),
        (drop(*CALL, "vol"), "[C60].vol", "give it"),
        (edit(*BASE, "price", value=0), "[BTC].price", "above zero"),
        (edit("market", "stable", value=0), "market.stable", "above zero"),
        (edit("accounts", 0, "cash", value=float("nan")), "[desk].cash", "finite"),
        (edit(*HELD, "C61", value=1), "C61", "did you mean C60"),
        (edit(*HELD, "C60", value=float("inf")), "C60", "finite"),
        (edit(*HELD, "C60", value=1e300), "C60", "from"),
        (edit(*HELD, "C60", value="1"), "C60", "number"),
        (edit(*HELD, value=[1]), "positions", "object"),
        (edit("accounts", value={}), "accounts", "list"),
        (edit("options", value=[]), "options", "object"),
        (edit("acounts", value=[]), "acounts", "did you mean accounts"),
        (drop("market"), "portfolio.market", "give it"),
    ],
)
def test_a_slip_is_named_with_its_cure(
    change: Callable[[dict[str, Any]], None], field: str, cure: str
) -> None:
    with pytest.raises(MarginInputError) as caught:
        parse(changed(change))
    assert field in caught.value.field
    assert cure in caught.value.cure


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "null"])
def test_what_is_no_portfolio_is_refused(text: str) -> None:
    with pytest.raises(MarginInputError):
        parse(text)
