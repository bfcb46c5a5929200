"""A lib's and a manager's rows as the margin method's parameters: integers into plain numbers.

Must not know accounts, quotes or time.
"""

from collections.abc import Sequence
from typing import Any

from keeper.domain.units import Address, from_wad
from keeper.margin.methods.pmrm2 import (
    BasisContingency,
    Collateral,
    MarginFactors,
    OtherContingencies,
    Pmrm2Parameters,
    Scenario,
    SkewShock,
    VolShock,
    VolShockRange,
)
from keeper.protocols.derive.tables import CollateralRow, DeriveTables, VolShockRow


UNSET = CollateralRow(False, False, 0, 0)


def scenarios(tables: DeriveTables, manager: Address) -> tuple[Scenario, ...]:
    """Return a manager's scenarios in index order."""
    found: list[Scenario] = []
    while (row := tables.scenarios.get((manager, len(found)))) is not None:
        found.append(Scenario(from_wad(row.spot), VolShock(row.vol), from_wad(row.damp)))
    return tuple(found)


def method_parameters(
    tables: DeriveTables, manager: Address, lib: Address, assets: Sequence[Address]
) -> Pmrm2Parameters | None:
    """Return what a lib margins with, None where any part of it was never read.

    `assets` are the addresses of the listing's BASE instruments, in its order; one that the lib
    does not know gets zeros, and its holders are undefined by its price.
    """
    margin, other = tables.margin.get(lib), tables.other.get(lib)
    basis, skew, vol = tables.basis.get(lib), tables.skew.get(lib), tables.vol_shock.get(lib)
    listed = scenarios(tables, manager)
    if not (margin and other and basis and skew and vol and listed):
        return None
    return Pmrm2Parameters(
        scenarios=listed,
        basis=BasisContingency(*_plain(basis)),
        margin=MarginFactors(*_plain(margin)),
        other=OtherContingencies(*_plain(other)),
        vol=_vol_range(vol),
        skew=SkewShock(*_plain(skew)),
        collateral=tuple(collateral(tables, lib, asset) for asset in assets),
    )


def unread_parameters(assets: Sequence[Address]) -> Pmrm2Parameters:
    """Return what stands in where a lib was never read, on a market that defines no account."""
    return Pmrm2Parameters(
        scenarios=(Scenario(1.0, VolShock.NONE, 1.0),),
        basis=BasisContingency(1.0, 1.0, 0.0, 0.0),
        margin=MarginFactors(1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0),
        other=OtherContingencies(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
        vol=VolShockRange(0.0, 0.0, 0.0, 0.0, 86_400.0, 0.0),
        skew=SkewShock(0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0),
        collateral=(Collateral(risk_cancelling=False, mm_haircut=0.0, im_haircut=0.0),)
        * len(assets),
    )


def collateral(tables: DeriveTables, lib: Address, asset: Address) -> Collateral:
    """Return how a lib treats one collateral."""
    row = tables.collaterals.get((lib, asset)) or UNSET
    return Collateral(row.risk_cancelling, from_wad(row.mm_haircut), from_wad(row.im_haircut))


def _vol_range(row: VolShockRow) -> VolShockRange:
    """Return the volatility shocks; the floor alone is in seconds on chain too."""
    return VolShockRange(
        range_up=from_wad(row.range_up),
        range_down=from_wad(row.range_down),
        short_term_power=from_wad(row.short_power),
        long_term_power=from_wad(row.long_power),
        dte_floor_s=float(row.dte_floor_s),
        min_vol_up=from_wad(row.vol_up_min),
    )


def _plain(row: Sequence[Any]) -> tuple[float, ...]:
    return tuple(from_wad(value) for value in row)
