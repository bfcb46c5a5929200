"""SPAN 2: a blend of historical VaR and a stress VaR, plus liquidity and concentration.

OUTLINE. total = x HVaR + (1 - x) stress + liquidity + concentration is all that is published;
x, the confidence and both curves are arguments without defaults. Source: cmegroup.com, SPAN 2
methodology.
"""

from keeper.margin.addons import Charges
from keeper.margin.form import Form
from keeper.margin.shocks import Shock, VolRule
from keeper.margin.tree import Reduction


def method(
    history: tuple[Shock, ...],
    stress: tuple[Shock, ...],
    blend: float,
    confidence: float,
    charges: Charges,
) -> Form:
    """Return the blend; `history` from `keeper.margin.shocks.historical`, oldest first.

    charges  concentration as `concentrated` beyond `concentrated_usd` (a multiple of ADV),
             liquidity as `impact` against `depth_usd`
    """
    return Form(
        "span2",
        (*history, *stress),
        VolRule(),
        reduction=Reduction(level=confidence, blend=blend),
        charges=charges,
    )
