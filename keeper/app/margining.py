"""`keeper margin`: one portfolio under one method, without a chain, as a table or as JSON."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from keeper.domain.errors import ConfigError
from keeper.margin import report
from keeper.margin.errors import MarginInputError
from keeper.margin.portfolio import parse


def listing() -> str:
    """Return the methods by name, each with its exactness and its source."""
    rows = [("METHOD", "EXACTNESS", "BOOK", "SOURCE")]
    rows += [
        (each["name"], each["exactness"], "yes" if each["takes_a_book"] else "", each["source"])
        for each in report.methods()
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row[:3], widths, strict=True))
        + f"  {row[3]}"
        for row in rows
    )


def margin_report(method: str, portfolio: Path, toml: Path | None = None) -> dict[str, Any]:
    """Return what a portfolio file comes to under a method, or under the user's own TOML.

    Raises ConfigError, naming field, value and cure, for whatever no requirement can be
    computed from.
    """
    try:
        parsed = parse(_text(portfolio))
        chosen = report.method_of(method, parsed, None if toml is None else _text(toml))
        return report.report(chosen, parsed)
    except MarginInputError as error:
        raise ConfigError(error.field, error.value, error.cure) from error


def table(document: dict[str, Any]) -> str:
    """Return a report as lines for a terminal, money in USD."""
    lines = [f"method {document['method']}, {document['scenarios']} scenarios"]
    for account in document["accounts"]:
        lines += ["", f"account {account['account']}", *_account(account)]
    return "\n".join(lines)


def _account(account: dict[str, Any]) -> Iterator[str]:
    requirement = account["requirement"]
    if requirement is None:
        yield "  no number: the method refuses to value what it holds"
        return
    for name in ("equity", "mm", "im", "excess"):
        yield f"  {name:<10}{requirement[name]:>18,.2f}"
    yield f"  {'worst':<10}{requirement['worst']:>18}"
    yield f"  {'breach':<10}{'yes' if requirement['breach'] else 'no':>18}"
    for coin, greeks in account["greeks"].items():
        yield f"  {coin}: " + "  ".join(f"{name} {value:,.4f}" for name, value in greeks.items())
    for leg in account["legs"]:
        yield (
            f"  leg {leg['instrument']} x {leg['quantity']:g}: alone {leg['alone']:,.2f}, "
            f"releases {leg['released']:,.2f}"
        )
    for name, value in account["distance"].items():
        shown = "none" if value is None else f"{value:+.2%}"
        yield f"  breaches at {name.replace('_', ' ')}: {shown}"


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError("file", str(path), f"cannot be read as text: {error}") from error
