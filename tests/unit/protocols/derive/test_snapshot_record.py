"""A snapshot's rows written and read back, and every malformed one refused."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from keeper.domain.codec import canonical
from keeper.domain.errors import InvariantViolation, MalformedRecord
from keeper.margin.book import Kind
from keeper.portfolio.state import Portfolio
from keeper.protocols.derive.logs.fold import Fold
from keeper.protocols.derive.record import COLUMNS, KEYS, digest, dump, load
from keeper.protocols.derive.tables import DeriveTables
from keeper.protocols.derive.views.compare import comparable, differences
from tests.unit.protocols.derive.deployment import (
    CASH,
    COIN,
    FORWARD_FEED,
    LATER,
    MANAGER,
    NOW,
    OTHER_LIB,
    SOON,
    SPOT_FEED,
    VOL_FEED,
    WAD,
    Deployment,
    at,
    config,
)


NUMBER, HASH = 1, "0x" + "11" * 32
OTHER_MANAGER = at(991)


def full() -> Deployment:
    """Return a deployment with a row in every table and column."""
    made = Deployment()
    tables = made.tables
    row = made.account(7, 25.5, (Kind.CALL, SOON, 2_000.0, -2.0), (Kind.PERPETUAL, 0, 0.0, 1e10))
    made.account(8, -1e12, (Kind.BASE, 0, 0.0, 3.0), (Kind.PUT, LATER, 1_900.0, 1.0))
    for column in (tables.perp_mark, tables.perp_funding, tables.perp_pnl, tables.perp_aggregated):
        column.set(row, -(10**19) - 1)
    tables.accounts.set(9, OTHER_MANAGER)
    tables.owners.set(9, at(100))
    tables.unsupported.set(OTHER_MANAGER, 1)
    tables.overrides.set(8, OTHER_LIB)
    tables.unread.set(MANAGER, 2)
    tables.settled.set((FORWARD_FEED, SOON), 2_000 * WAD)
    made.auction(7, insolvent=True)
    return made


@pytest.fixture
def snapshot() -> dict[str, Any]:
    return dump(full().tables, NUMBER, HASH, NOW)


def loaded(snapshot: dict[str, Any]) -> DeriveTables:
    portfolio = Portfolio()
    portfolio.undo.begin(NUMBER, HASH)
    tables = DeriveTables(portfolio, config())
    load(tables, snapshot)
    return tables


def test_every_table_and_column_is_in_the_record(snapshot: dict[str, Any]) -> None:
    tables = full().portfolio.tables
    names = {name.removeprefix("derive.") for name in tables if not name.endswith("_history")}
    assert names == set(KEYS)
    assert set(snapshot["columns"]) == set(COLUMNS)
    assert [name for name, rows in snapshot["tables"].items() if not rows] == []
    assert [name for name, rows in snapshot["columns"].items() if not rows] == []


def test_what_is_written_reads_back_equal_also_through_bytes(snapshot: dict[str, Any]) -> None:
    carried = json.loads(canonical(snapshot))
    assert carried == snapshot
    tables = loaded(carried)
    assert tables.portfolio.contents() == full().portfolio.contents()
    assert dump(tables, NUMBER, HASH, NOW) == snapshot
    assert digest(carried) == digest(snapshot)


def test_a_loaded_spot_is_believed(snapshot: dict[str, Any]) -> None:
    quote = loaded(snapshot).doubts[SPOT_FEED]
    assert (quote.reference, quote.jumped_at) == (2_000 * WAD, 0)


def test_managers_that_are_not_served_are_told_at_once(snapshot: dict[str, Any]) -> None:
    portfolio = Portfolio()
    portfolio.undo.begin(NUMBER, HASH)
    fold = Fold(DeriveTables(portfolio, config()))
    fold.load(snapshot)
    (notice,) = fold.drain()
    assert notice.kind == "manager_unsupported"
    assert dict(notice.fields) == {"venue": "derive", "manager": OTHER_MANAGER, "accounts": 1}


def test_a_snapshot_of_another_block_than_the_tip_is_our_bug(snapshot: dict[str, Any]) -> None:
    portfolio = Portfolio()
    portfolio.undo.begin(NUMBER + 1, HASH)
    with pytest.raises(InvariantViolation):
        load(DeriveTables(portfolio, config()), snapshot)


def _put(*path: Any) -> Callable[[dict[str, Any]], None]:
    *way, last, value = path

    def spoil(snapshot: dict[str, Any]) -> None:
        place: Any = snapshot
        for step in way:
            place = place[step]
        place[last] = value

    return spoil


@pytest.mark.parametrize(
    "spoil",
    [
        _put("format", 2),
        _put("venue", "another"),
        _put("number", "1"),
        _put("hash", "0x11"),
        _put("timestamp", 1.5),
        _put("extra", 1),
        lambda snapshot: snapshot.pop("positions"),
        lambda snapshot: snapshot["tables"].pop("feeds"),
        lambda snapshot: snapshot["columns"].pop("cash"),
        _put("tables", "more", []),
        _put("tables", "feeds", {}),
        _put("tables", "feeds", 0, [at(1)]),
        _put("tables", "feeds", 0, 1, 1, "180"),
        _put("tables", "feeds", 0, 1, 1, 180.0),
        _put("tables", "feeds", 0, 1, 1, True),
        _put("tables", "feeds", 0, 1, 0, 7),
        _put("tables", "feeds", 0, 0, "0xAB"),
        _put("tables", "feeds", 0, 1, ["spot", 180, 0, at(0)]),
        _put("tables", "spots", 0, 1, 0, "0123456789012345678901"),
        _put("tables", "spots", 0, 1, 0, 2**60),
        _put("tables", "spots", 0, 1, 0, "9" * 200),
        _put("tables", "accounts", 0, 1, "nobody"),
        _put("tables", "whitelist", 0, 1, 1),
        _put("tables", "scenarios", 0, 0, [MANAGER]),
        _put("tables", "collaterals", 0, 1, 0, 1),
        lambda snapshot: snapshot["tables"]["feeds"].append(snapshot["tables"]["feeds"][0]),
        _put("columns", "cash", 0, 0, 777),
        _put("columns", "cash", 0, [7]),
        _put("positions", 0, 0, 777),
        _put("positions", 0, 0, 9),
        _put("positions", 0, 1, "0x"),
        _put("positions", 0, [7, COIN, 0]),
    ],
)
def test_a_malformed_snapshot_is_refused(
    snapshot: dict[str, Any], spoil: Callable[[dict[str, Any]], None]
) -> None:
    broken = copy.deepcopy(snapshot)
    spoil(broken)
    with pytest.raises(MalformedRecord):
        loaded(broken)


# ── comparison with a history ──


def test_a_snapshot_equals_itself(snapshot: dict[str, Any]) -> None:
    assert differences(comparable(snapshot), comparable(copy.deepcopy(snapshot))) == []


def test_stale_quotes_unheld_prices_and_what_nobody_reads_do_not_count(
    snapshot: dict[str, Any],
) -> None:
    history = copy.deepcopy(snapshot)
    tables = history["tables"]
    tables["vols"].append([[VOL_FEED, 99], [0, 0, 0, 0, 0, 0, 0, 0, NOW - 1_201]])
    tables["settled"].append([[FORWARD_FEED, 99], 5])
    tables["feeds"].append([at(50), ["spot", 180, 0, at(0), 0]])
    tables["spots"].append([at(50), [1, 1, NOW]])
    tables["margin"].append([at(51), [0] * 8])
    tables["rate_models"].append([at(52), [0] * 4])
    assert history != snapshot
    assert differences(comparable(history), comparable(snapshot)) == []


@pytest.mark.parametrize(
    "spoil",
    [
        _put("timestamp", NOW - 1),
        _put("tables", "cash_state", 0, 1, 0, 1),
        _put("tables", "vols", 0, 1, 0, 1),
        _put("tables", "settled", 0, 1, 1),
        _put("columns", "perp_pnl", 0, 1, 1),
        _put("positions", 0, 3, 1),
        lambda snapshot: snapshot["tables"]["owners"].pop(),
        lambda snapshot: snapshot["positions"].pop(),
        lambda snapshot: snapshot["columns"]["cash"].append([9, 1]),
    ],
)
def test_every_other_difference_is_found_once(
    snapshot: dict[str, Any], spoil: Callable[[dict[str, Any]], None]
) -> None:
    history = copy.deepcopy(snapshot)
    spoil(history)
    assert CASH in [key for key, _ in history["tables"]["cash_state"]]
    assert len(differences(comparable(history), comparable(snapshot))) == 1
