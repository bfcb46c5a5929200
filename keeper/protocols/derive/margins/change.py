"""A rule or a quote as it might be: `ETH.margin.mm_factor = 0.9` written into the tables. Pure.

For what-ifs: tables that were loaded from a snapshot, of which no decision is ever made. Values are
plain numbers (0.9, not 0.9e18), taken digit by digit. Must not know files, nodes or margin.
"""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Final, NamedTuple

from keeper.domain.errors import ConfigError
from keeper.domain.units import Address, from_wad
from keeper.protocols.derive.tables import (
    BasisRow,
    CollateralRow,
    DeriveTables,
    ManagerRow,
    MarginRow,
    OtherRow,
    ScenarioRow,
    SkewRow,
    VolShockRow,
)


VOL_SHOCKS: Final = ("none", "up", "down", "linear", "abs")
WAD_DIGITS: Final = 18
SCENARIOS_MAX: Final = 40
# Tables by lib, with the class of their rows.
GROUPS: Final[dict[str, type]] = {
    "basis": BasisRow,
    "margin": MarginRow,
    "other": OtherRow,
    "vol_shock": VolShockRow,
    "skew": SkewRow,
}
PLAIN: Final = ("dte_floor_s", "account_size_max", "expiries_max")  # counts and seconds
LIMITS: Final = ("account_size_max", "expiries_max")
SHIFTS: Final = ("spot_shift", "stable_shift", "vol_shift")


class Written(NamedTuple):
    """One change as it was made: what stood there, what stands there now."""

    key: str
    before: object
    after: object


def change(tables: DeriveTables, key: str, value: object) -> list[Written]:
    """Write a change at the open block; raises ConfigError, naming key, value and cure.

    Keys, all under the name of an underlying: `margin.mm_factor` and the like of the lib,
    `collateral.0x....mm_haircut`, `limits.expiries_max`, `scenarios`, `spot_shift`, `vol_shift`,
    `stable_shift` (shares: -0.1 or "-10%").
    """
    underlying, _, rest = key.partition(".")
    manager, row = _manager(tables, key, value, underlying)
    group, _, field = rest.partition(".")
    at = _At(tables, manager, row, key, value)
    if group in GROUPS:
        return [_parameter(at, group, field)]
    if group == "collateral":
        return [_collateral(at, field)]
    if group == "limits":
        return [_limit(at, field)]
    if rest == "scenarios":
        return [_scenarios(at)]
    if rest in SHIFTS:
        return SHIFTERS[rest](at)
    known = [*GROUPS, "collateral", "limits", "scenarios", *SHIFTS]
    raise ConfigError(key, value, f"after {underlying}. comes one of: {', '.join(known)}")


class _At(NamedTuple):
    """Where a change is made, and its own words for errors."""

    tables: DeriveTables
    manager: Address
    row: ManagerRow
    key: str
    value: object

    def refused(self, cure: str) -> ConfigError:
        return ConfigError(self.key, self.value, cure)


def _manager(
    tables: DeriveTables, key: str, value: object, underlying: str
) -> tuple[Address, ManagerRow]:
    found = {row.underlying: (manager, row) for manager, row in tables.managers.items()}
    if underlying not in found:
        cure = f"begin with an underlying of {tables.name}: {', '.join(found)}"
        raise ConfigError(key, value, cure)
    return found[underlying]


def _parameter(at: _At, group: str, field: str) -> Written:
    row_class: Any = GROUPS[group]
    if field not in row_class._fields:
        raise at.refused(f"{group} has {', '.join(row_class._fields)}")
    table: Any = getattr(at.tables, group)
    row = table.get(at.row.lib)
    if row is None:
        raise at.refused("the lib of this manager was never read; take a new snapshot")
    written = _number(at, at.value, field)
    table.set(at.row.lib, row._replace(**{field: written}))
    return Written(at.key, _shown(getattr(row, field), field), _shown(written, field))


def _collateral(at: _At, rest: str) -> Written:
    asset, _, field = rest.partition(".")
    asset = asset.lower()
    listed = [pair[1] for pair, _ in at.tables.collaterals.items() if pair[0] == at.row.lib]
    if asset not in listed:
        raise at.refused(f"name a collateral of this lib: {', '.join(listed) or 'there is none'}")
    if field not in CollateralRow._fields:
        raise at.refused(f"a collateral has {', '.join(CollateralRow._fields)}")
    row: Any = at.tables.collaterals[at.row.lib, asset]
    flag = field in ("enabled", "risk_cancelling")
    written = _flag(at) if flag else _number(at, at.value, field)
    at.tables.collaterals.set((at.row.lib, asset), row._replace(**{field: written}))
    return Written(at.key, _shown(getattr(row, field), field), _shown(written, field))


def _limit(at: _At, field: str) -> Written:
    if field not in LIMITS:
        raise at.refused(f"limits are {', '.join(LIMITS)}")
    row: Any = at.row
    written = _number(at, at.value, field)
    at.tables.managers.set(at.manager, row._replace(**{field: written}))
    return Written(at.key, getattr(row, field), written)


def _scenarios(at: _At) -> Written:
    """Replace the list: each is (spot multiplier, vol shock by name, damping)."""
    given = at.value
    if not isinstance(given, list) or not 1 <= len(given) <= SCENARIOS_MAX:
        raise at.refused(f"give 1 to {SCENARIOS_MAX} scenarios: [[1.1, 'up', 1.0], ...]")
    rows = [_scenario(at, each) for each in given]
    index, table = 0, at.tables.scenarios
    while (at.manager, index) in table:
        table.delete((at.manager, index))
        index += 1
    for place, row in enumerate(rows):
        table.set((at.manager, place), row)
    return Written(at.key, f"{index} scenarios", f"{len(rows)} scenarios")


def _scenario(at: _At, given: object) -> ScenarioRow:
    if not isinstance(given, Sequence) or isinstance(given, str) or len(given) != 3:
        raise at.refused(f"{given!r} is no scenario; give [spot multiplier, vol shock, damping]")
    spot, vol, damp = given
    if vol not in VOL_SHOCKS:
        raise at.refused(f"{vol!r} is no vol shock; use one of: {', '.join(VOL_SHOCKS)}")
    return ScenarioRow(_number(at, spot, "spot"), VOL_SHOCKS.index(vol), _number(at, damp, "damp"))


# ── shifts of what oracles last said ──


def _spot(at: _At) -> list[Written]:
    return [_shifted_spot(at, at.row.spot_feed)]


def _stable(at: _At) -> list[Written]:
    return [_shifted_spot(at, at.row.stable_feed)]


def _shifted_spot(at: _At, feed: Address) -> Written:
    """Move a spot; what is a difference to it (perpetual, forwards) moves along, as on chain."""
    row = at.tables.spots.get(feed)
    if row is None:
        raise at.refused(f"feed {feed} has no quote to shift")
    moved = row._replace(price=row.price * _factor(at) // 10**WAD_DIGITS)
    at.tables.spots.set(feed, moved)
    return Written(at.key, from_wad(row.price), from_wad(moved.price))


def _vol(at: _At) -> list[Written]:
    """Move every smile of the manager: vol is the root of its variance, so that moves squared."""
    factor, found = _factor(at), []
    square = factor * factor // 10**WAD_DIGITS
    smiles = [each for each in at.tables.vols.items() if each[0][0] == at.row.vol_feed]
    for key, row in smiles:
        a, b = (value * square // 10**WAD_DIGITS for value in (row.a, row.b))
        at.tables.vols.set(key, row._replace(a=a, b=b))
        found.append(Written(f"{at.key} of expiry {key[1]}", 1.0, from_wad(factor)))
    if not found:
        raise at.refused("no smile was posted that could be shifted")
    return found


SHIFTERS: Final[Mapping[str, Callable[[_At], list[Written]]]] = {
    "spot_shift": _spot,
    "stable_shift": _stable,
    "vol_shift": _vol,
}


# ── values ──


def _factor(at: _At) -> int:
    """Return 1 + the shift, 18 decimals."""
    text = str(at.value).strip()
    share = text.endswith("%")
    shift = _decimal(at, text.removesuffix("%")) / (100 if share else 1)
    if shift <= -1:
        raise at.refused("a shift leaves something of the quote: more than -1, or -100%")
    return int((1 + shift).scaleb(WAD_DIGITS))


def _number(at: _At, value: object, field: str) -> int:
    """Return a plain number as it stands on chain: 18 decimals, or whole for counts."""
    number = _decimal(at, value)
    scaled = number if field in PLAIN else number.scaleb(WAD_DIGITS)
    if scaled != scaled.to_integral_value():
        wanted = "a whole number" if field in PLAIN else f"at most {WAD_DIGITS} decimals"
        raise at.refused(f"give {wanted}")
    return int(scaled)


def _decimal(at: _At, value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise at.refused("give a number")
    try:
        number = Decimal(str(value))
    except InvalidOperation as error:
        raise at.refused("give a number") from error
    if not number.is_finite() or abs(number) > 10**12:
        raise at.refused("give a finite number below 10^12")
    return number


def _flag(at: _At) -> bool:
    if at.value in (True, "true"):
        return True
    if at.value in (False, "false"):
        return False
    raise at.refused("give true or false")


def _shown(value: int | bool, field: str) -> object:
    return value if isinstance(value, bool) or field in PLAIN else from_wad(value)
