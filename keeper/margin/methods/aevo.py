"""Aevo portfolio margin: five spot moves by three additive vol moves.

Exact scenarios; the floor margin's formula is not published and is not invented: without one the
requirement is the worst scenario alone. Source: docs.aevo.xyz, portfolio margin.
"""

from keeper.margin.errors import between, positive
from keeper.margin.form import Form
from keeper.margin.shocks import VolRule, grid


def spot_ends(spot: float, up: float, down: float) -> tuple[float, float]:
    """Return the (highest, lowest) spot of the scenarios; both moves positive fractions."""
    price, fall = positive("spot", spot), between("max_down", down, -1e-300, 1.0)
    return price * (1.0 + positive("max_up", up)), price * (1.0 - fall)


def method(up: float = 0.2, down: float = 0.2, vol_up: float = 0.5, vol_down: float = 0.25) -> Form:
    """Return the fifteen scenarios."""
    spots = (up, 0.5 * up, 0.0, -0.5 * down, -down)
    return Form("aevo", grid(spots, (vol_up, 0.0, -vol_down)), VolRule(additive=True))
