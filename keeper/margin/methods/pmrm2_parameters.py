"""What the PMRM_2 methodology can be set to; each class in the field order of its chain struct.

Plain numbers (1.0 = 1e18 on chain), so that a protocol's model can fill them from a getter's
tuple. Nothing is computed here.
"""

from dataclasses import dataclass
from enum import IntEnum


class VolShock(IntEnum):
    """What a scenario does to volatility; the chain's own codes."""

    NONE = 0
    UP = 1
    DOWN = 2
    LINEAR = 3  # tilts the smile
    ABS = 4  # lifts or drops both of its wings


@dataclass(frozen=True, slots=True)
class Scenario:
    """One joint shock: spot times `spot_shock`, the P&L times `damping`."""

    spot_shock: float
    vol_shock: VolShock
    damping: float


@dataclass(frozen=True, slots=True)
class BasisContingency:
    """A forward moving against the others; weight = add + mult x years."""

    spot_up: float
    spot_down: float
    add_factor: float
    mult_factor: float


@dataclass(frozen=True, slots=True)
class MarginFactors:
    """Shares of the worst case that must be kept, and the static discount of option values."""

    im_factor: float
    mm_factor: float
    short_rate_mult: float
    long_rate_mult: float
    short_rate_add: float
    long_rate_add: float
    short_base_discount: float
    long_base_discount: float


@dataclass(frozen=True, slots=True)
class OtherContingencies:
    """Charges for a depeg, for doubtful quotes, for perpetuals and for naked shorts."""

    peg_loss_threshold: float
    peg_loss_factor: float
    confidence_threshold: float
    confidence_margin: float
    mm_perp: float
    im_perp: float
    mm_option: float
    im_option: float


@dataclass(frozen=True, slots=True)
class VolShockRange:
    """How far volatility is moved: range x (30 days / time left) ^ power; the floor in seconds."""

    range_up: float
    range_down: float
    short_term_power: float
    long_term_power: float
    dte_floor_s: float
    min_vol_up: float


@dataclass(frozen=True, slots=True)
class SkewShock:
    """How far the smile is tilted (linear) or its wings lifted (abs)."""

    linear_base_cap: float
    abs_base_cap: float
    linear_c_base: float
    abs_c_base: float
    min_k_star: float
    width_scale: float
    vol_param_static: float
    vol_param_scale: float


@dataclass(frozen=True, slots=True)
class Collateral:
    """One BASE instrument: stressed with spot or not, and its haircuts of value.

    The initial haircut is charged on top of the maintenance one.
    """

    risk_cancelling: bool
    mm_haircut: float
    im_haircut: float


@dataclass(frozen=True, slots=True)
class Pmrm2Parameters:
    """One manager's settings.

    collateral  one for each BASE instrument of the listing, in the listing's order
    underlying  row of the market's underlyings that this manager margins; options and
                perpetuals on another one leave their account undefined
    """

    scenarios: tuple[Scenario, ...]
    basis: BasisContingency
    margin: MarginFactors
    other: OtherContingencies
    vol: VolShockRange
    skew: SkewShock
    collateral: tuple[Collateral, ...] = ()
    underlying: int = 0
