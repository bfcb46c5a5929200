"""One portfolio under one method, as plain values for a table or for JSON.

What `keeper margin` prints; no file is opened here and nothing is printed.
"""

from typing import Any

from keeper.margin import answers
from keeper.margin.book import Method
from keeper.margin.methods import registry
from keeper.margin.methods.custom import from_toml
from keeper.margin.portfolio import Portfolio


GREEKS = ("delta", "gamma", "vega", "theta")


def method_of(name: str, portfolio: Portfolio, toml: str | None = None) -> Method:
    """Return a listed method, or the user's own where its TOML text is given."""
    if toml is not None:
        return from_toml(toml)
    return registry.make(name, portfolio.options, portfolio.market)


def methods() -> list[dict[str, Any]]:
    """Return the registry's rows: name, exactness, source, options, whether it takes a book."""
    return [
        {
            "name": name,
            "exactness": entry.exactness,
            "source": entry.source,
            "module": f"keeper.margin.{entry.module}",
            "takes_a_book": entry.make is not None,
            "options": list(entry.options),
        }
        for name, entry in registry.TABLE.items()
    ]


def report(method: Method, portfolio: Portfolio) -> dict[str, Any]:
    """Return every account's requirement, Greeks, legs and distance to the line, USD.

    `requirement` is null where the method has no number for an account.
    """
    book, market = portfolio.book, portfolio.market
    result = method.require(book, market)
    greeks = answers.net_greeks(method, book, market)
    accounts: list[dict[str, Any]] = []
    for row, name in enumerate(portfolio.accounts):
        if not result.defined[row]:
            accounts.append({"account": name, "requirement": None})
            continue
        distance = answers.liquidation_distance(method, book, market, row)
        accounts.append(
            {
                "account": name,
                "requirement": {
                    "equity": float(result.equity[row]),
                    "mm": float(result.mm[row]),
                    "im": float(result.im[row]),
                    "excess": float(result.excess[row]),
                    "worst": int(result.worst[row]),
                    "breach": bool(result.excess[row] < 0.0),
                },
                "greeks": {
                    coin: dict(zip(GREEKS, map(float, greeks[row, place]), strict=True))
                    for place, coin in enumerate(portfolio.underlyings)
                },
                "legs": [
                    {
                        "instrument": portfolio.instruments[each.instrument],
                        "quantity": each.quantity,
                        "alone": each.alone,
                        "released": each.released,
                    }
                    for each in answers.contributions(method, book, market, row)
                ],
                "distance": {
                    key: getattr(distance, key)
                    for key in ("spot_up", "spot_down", "vol_up", "vol_down")
                },
            }
        )
    return {"method": method.name, "scenarios": method.scenarios, "accounts": accounts}
