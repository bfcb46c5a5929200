"""PMRM_2 as the venue's mainnet script deploys it, for books that come without a chain.

Live settings must be read from the chain; these are deploy-time only. Collateral haircuts differ
by asset, so a file's bases get the venue's for its own coin.
"""

from typing import Final

from keeper.margin.methods.pmrm2_parameters import (
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


BODY: Final = (1.135, 1.09, 1.045, 1.0, 0.955, 0.91, 0.865)
TAILS: Final = (
    (0.34, 0.21),
    (0.67, 0.42),
    (1.5, 0.2772),
    (2.0, 0.1386),
    (3.0, 0.0693),
    (4.0, 0.0462),
    (5.0, 0.03465),
    (6.0, 0.02772),
)
OWN_COIN: Final = Collateral(risk_cancelling=True, mm_haircut=0.015, im_haircut=0.005)


def pmrm2_mainnet(bases: int, underlying: int = 0) -> Pmrm2Parameters:
    """Return the 33 scenarios and parameters; `bases` = BASE instruments of the listing."""
    moves = (VolShock.UP, VolShock.NONE, VolShock.DOWN)
    body = [Scenario(spot, vol, 1.0) for spot in BODY for vol in moves]
    ends = [Scenario(spot, VolShock.UP, 1.0) for spot in (1.18, 0.82)]
    tails = [Scenario(spot, VolShock.UP, damping) for spot, damping in TAILS]
    skews = [Scenario(1.0, vol, 1.0) for vol in (VolShock.LINEAR, VolShock.ABS)]
    return Pmrm2Parameters(
        scenarios=(ends[0], *body, ends[1], *tails, *skews),
        basis=BasisContingency(1.045, 0.955, 0.5, 2.0),
        margin=MarginFactors(1.0, 0.8, 0.0, 0.0, 0.16, 0.16, 0.95, 1.05),
        other=OtherContingencies(0.99, 4.0, 0.55, 1.0, 0.03, 0.01, 0.003, 0.002),
        vol=VolShockRange(0.5, 0.3, 0.3, 0.13, 86_400.0, 0.4),
        skew=SkewShock(0.25, 0.25, -0.1, -0.1, 0.01, 4.0, 0.6, 0.0),
        collateral=(OWN_COIN,) * bases,
        underlying=underlying,
    )
