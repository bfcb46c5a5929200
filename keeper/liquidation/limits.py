"""What one block of decisions may cost at most, and how a command's money limits are set.

The hard caps (per lane, hour, day, global) are the ledger's, reserved where bytes are signed, and
`[fees]` bounds what any bytes may offer; these are the decision's own: what a command bids for its
place at first, and what all that is ever bid for it may cost.
"""

import math
from dataclasses import dataclass

from keeper.domain.units import WAD


@dataclass(frozen=True, slots=True)
class LimitParameters:
    """Limits of one keeper; amounts in wei of the gas token unless named otherwise.

    A command bids `tip_profit_share_ppm` of the profit it is expected to make, a unit of gas at
    least `tip_floor_wei` and at most `tip_max_wei`; what earns nothing bids the floor. A gas token
    of price 0 is not weighed against profit at all: every command bids the floor.
    """

    commands_per_block_max: int = 64
    deadline_blocks: int = 10
    spend_max_wei: int = 10**18
    tip_floor_wei: int = 2 * 10**9
    tip_profit_share_ppm: int = 200_000
    tip_max_wei: int = 2 * 10**9
    base_fee_headroom_ppm: int = 4_000_000
    gas_token_usd: float = 3000.0

    @property
    def tip_least_wei(self) -> int:
        """Return what every command bids at least; the ceiling wins where it is the lower one."""
        return min(self.tip_floor_wei, self.tip_max_wei)


def tip_bid_wei(profit_usd: float, gas: int, parameters: LimitParameters) -> int:
    """Return what a command bids a unit of gas for its place at first.

    A profit that is not a number is none.
    """
    if not profit_usd > 0.0 or parameters.gas_token_usd == 0.0:
        return parameters.tip_least_wei
    share_usd = profit_usd * parameters.tip_profit_share_ppm / 1_000_000
    share_wei = share_usd / parameters.gas_token_usd * WAD / max(gas, 1)
    if not math.isfinite(share_wei):
        return parameters.tip_max_wei
    return min(max(int(share_wei), parameters.tip_floor_wei), parameters.tip_max_wei)


def earned_wei(profit_usd: float, gas_usd: float, parameters: LimitParameters) -> int | None:
    """Return what serving earns before its gas; None where it earns nothing, and saves at a cost.

    `profit_usd` is after `gas_usd`, as strategies appraise it.
    """
    if not profit_usd > 0.0 or not math.isfinite(profit_usd + gas_usd):
        return None
    if parameters.gas_token_usd == 0.0:
        return None
    return int((profit_usd + gas_usd) / parameters.gas_token_usd * WAD)


def spend_cap_wei(
    gas: int,
    value_wei: int,
    price_wei: tuple[int, int],
    parameters: LimitParameters,
    earned_wei_max: int | None = None,
) -> int | None:
    """Return the most a command may cost, None where even its present price is beyond the limit.

    `price_wei` is (base fee, tip) a unit of gas. The cap leaves room for the base fee to grow by
    `base_fee_headroom_ppm`, never past `spend_max_wei`, nor, where serving earns something, past
    what it earns: no bump may turn a profit into a loss.
    """
    base_fee_wei, tip_wei = price_wei
    most = parameters.spend_max_wei
    if earned_wei_max is not None:
        most = min(most, earned_wei_max + value_wei)
    if gas * (base_fee_wei + tip_wei) + value_wei > most:
        return None
    roomy = gas * (base_fee_wei * parameters.base_fee_headroom_ppm // 1_000_000 + tip_wei)
    return min(roomy + value_wei, most)
