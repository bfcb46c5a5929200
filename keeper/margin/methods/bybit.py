"""Bybit portfolio margin: largest stress loss plus contingencies.

OUTLINE. MM = max stress loss + contingencies (short options, vega spread, stable coin, delta
spread, futures), IM = MM x factor is what is published; grid, rates and factor are arguments
without defaults. Source: Bybit help centre. The isolated liquidation price is exact and stands
in `keeper.margin.tiers`.
"""

from keeper.margin.addons import Charges
from keeper.margin.form import Form
from keeper.margin.shocks import Shock, VolRule


def method(shocks: tuple[Shock, ...], vol: VolRule, charges: Charges, initial: float) -> Form:
    """Return the outline with the operator's grid."""
    return Form("bybit", shocks, vol, charges=charges, im_factor=initial)
