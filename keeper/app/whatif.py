"""`keeper whatif`: who would breach if a rule or a quote were another, before it is.

From a snapshot of the newest block, or from a snapshot file. It writes nothing and decides nothing;
breaches are those that would be decided on: of cash with interest.
"""

import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

from keeper.app.assembly import Core, assemble, load_snapshot
from keeper.app.links import open_link
from keeper.chain.link.reader import NodeReader
from keeper.config import Config
from keeper.config.endpoints import read_endpoint
from keeper.domain.errors import ConfigError, StorageError
from keeper.domain.units import AccountId
from keeper.protocols.derive.derive import Derive
from keeper.protocols.derive.margins.change import Written, change
from keeper.protocols.derive.snapshot import take
from keeper.runtime.clock import SystemClock


Given = tuple[str, object]  # key, value
BREACHES, HEALS, STILL = "would breach", "would heal", "still breaches"
LOSES, GAINS = "would have no number", "would have a number"
ORDER: Final = (BREACHES, STILL, LOSES, HEALS, GAINS)


class Worth(NamedTuple):
    """One account as it would be decided on, USD; None where it has no number."""

    underlying: str
    excess: float | None
    equity: float


async def snapshot_now(config: Config) -> dict[str, Any]:
    """Return a snapshot of the newest block; raises EndpointError, ChainMismatch."""
    async with open_link(read_endpoint(config.chain)) as link:
        reader = NodeReader(link, config.reader)
        header = await reader.header("latest")
        venues = {
            name: await take(reader, venue, header, SystemClock())
            for name, venue in config.venues.items()
        }
    return {"number": header.number, "hash": header.hash, "venues": venues}


def snapshot_file(path: Path) -> dict[str, Any]:
    """Return a snapshot file of an earlier run; raises StorageError, ConfigError."""
    try:
        document = orjson.loads(path.read_bytes())
    except OSError as error:
        raise StorageError(str(path), f"snapshot cannot be read: {error.strerror}") from error
    except orjson.JSONDecodeError as error:
        cure = f"is no snapshot ({error}); they lie in the data_dir, under snapshots"
        raise ConfigError("snapshot", str(path), cure) from error
    if not isinstance(document, dict):
        raise ConfigError("snapshot", str(path), "is no snapshot; give one of data_dir/snapshots")
    return document


def changes_of(texts: Sequence[str]) -> list[Given]:
    """Return the changes of `--change` arguments: key=value, or files of them; raises ConfigError.

    A value is JSON where it can be (0.9, true, [[1.1, "up", 1.0]]), else text ("-10%"). A file is
    TOML, its tables' names joined by dots.
    """
    found: list[Given] = []
    for text in texts:
        key, equals, value = text.partition("=")
        if equals:
            found.append((key.strip(), _value(value.strip())))
        else:
            found += _file(Path(text))
    return found


def whatif(config: Config, document: Mapping[str, Any], given: Sequence[Given]) -> dict[str, Any]:
    """Return what the changes would do: made one after the other, then margined together.

    Raises ConfigError for a change that cannot be made, MalformedRecord for a bad snapshot.
    """
    core = assemble(config)
    number, block = load_snapshot(core, document)
    times = {name: int(each["timestamp"]) for name, each in document["venues"].items()}
    before = _worths(core, times)
    written = [each for key, value in given for each in _change(core, key, value)]
    after = _worths(core, times)
    accounts = sorted(_rows(before, after), key=_place)
    return {
        "number": number,
        "hash": block,
        "changes": [each._asdict() for each in written],
        "before": _totals(before),
        "after": _totals(after),
        "accounts": accounts,
    }


def table(document: Mapping[str, Any]) -> str:
    """Return the answer as lines for a terminal, money in USD."""
    lines = [f"block {document['number']} {document['hash']}"]
    lines += [
        f"  {each['key']}: {each['before']} -> {each['after']}" for each in document["changes"]
    ]
    lines += ["", f"  {'':<24}{'before':>18}{'after':>18}"]
    for name, before in document["before"].items():
        after = document["after"][name]
        lines.append(f"  {name.replace('_', ' '):<24}{before:>18,}{after:>18,}")
    if not document["accounts"]:
        return "\n".join([*lines, "", "  nobody's standing would change, and nobody is in breach"])
    head = f"{'account':>10}  {'underlying':<12}{'excess before':>18}{'excess after':>18}"
    lines += ["", f"  {head}  what"]
    for each in document["accounts"]:
        before, after = _money(each["excess_before_usd"]), _money(each["excess_after_usd"])
        lines.append(
            f"  {each['account']:>10}  {each['underlying']:<12}{before:>18}{after:>18}"
            f"  {each['what']}"
        )
    return "\n".join(lines)


def _change(core: Core, key: str, value: object) -> list[Written]:
    """Write a change to the venue it names: `<venue>.` may stand before where there are several."""
    first, _, rest = key.partition(".")
    named = [venue for venue in core.venues if venue.name == first]
    if named:
        return change(named[0].tables, rest, value)
    if len(core.venues) > 1:
        names = ", ".join(venue.name for venue in core.venues)
        raise ConfigError(key, value, f"begin with the venue, and a dot: {names}")
    return change(core.venues[0].tables, key, value)


def _worths(core: Core, times: Mapping[str, int]) -> dict[tuple[str, AccountId], Worth]:
    return {
        (venue.name, account): worth
        for venue in core.venues
        for account, worth in _venue_worths(venue, times[venue.name])
    }


def _venue_worths(venue: Derive, timestamp: int) -> Iterator[tuple[AccountId, Worth]]:
    venue.accrue(timestamp)
    for book in venue.books():
        result = book.method.require(book.book, book.market).with_cash(book.accrued)
        excess, equity = result.excess.tolist(), result.equity.tolist()
        defined = result.defined.tolist()
        for row, account in enumerate(book.accounts.tolist()):
            yield (
                account,
                Worth(book.underlying, excess[row] if defined[row] else None, equity[row]),
            )


def _totals(worths: Mapping[tuple[str, AccountId], Worth]) -> dict[str, float]:
    known = [each for each in worths.values() if each.excess is not None]
    breaches = [each.excess for each in known if each.excess is not None and each.excess < 0]
    return {
        "accounts": len(worths),
        "without_a_number": len(worths) - len(known),
        "breaches": len(breaches),
        "insolvent": sum(each.equity < 0 for each in known),
        "shortfall_usd": round(-sum(breaches), 2),
    }


def _rows(
    before: Mapping[tuple[str, AccountId], Worth], after: Mapping[tuple[str, AccountId], Worth]
) -> Iterator[dict[str, Any]]:
    """Yield who is in breach on either side, or has a number on one only."""
    for (venue, account), then in after.items():
        was = before[venue, account]
        what = _what(was.excess, then.excess)
        if what is not None:
            yield {
                "venue": venue,
                "account": account,
                "underlying": then.underlying,
                "what": what,
                "excess_before_usd": was.excess,
                "excess_after_usd": then.excess,
                "equity_after_usd": None if then.excess is None else then.equity,
            }


def _what(before: float | None, after: float | None) -> str | None:
    if after is None:
        return None if before is None else LOSES
    if after < 0:
        return STILL if before is not None and before < 0 else BREACHES
    if before is None:
        return GAINS
    return HEALS if before < 0 else None


def _place(row: Mapping[str, Any]) -> tuple[int, float, str, int]:
    """Return an account's place in the answer: what changes first, the worst first in it."""
    after = row["excess_after_usd"]
    return (
        ORDER.index(row["what"]),
        0.0 if after is None else after,
        row["venue"],
        row["account"],
    )


def _money(value: float | None) -> str:
    return "none" if value is None else f"{value:,.2f}"


def _value(text: str) -> object:
    try:
        return json.loads(text, parse_float=str)  # digits as they were written
    except json.JSONDecodeError:
        return text


def _file(path: Path) -> list[Given]:
    try:
        text = path.read_text(encoding="utf-8")
        document = tomllib.loads(text, parse_float=str)
    except (OSError, UnicodeDecodeError) as error:
        cure = f"cannot be read ({error}); give key=value, or a TOML file of changes"
        raise ConfigError("change", str(path), cure) from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError("change", str(path), f"mend the TOML: {error}") from error
    return list(_flat("", document))


def _flat(path: str, table: Mapping[str, Any]) -> Iterator[Given]:
    for key, value in table.items():
        where = f"{path}.{key}" if path else key
        if isinstance(value, dict):
            yield from _flat(where, value)
        else:
            yield where, value
