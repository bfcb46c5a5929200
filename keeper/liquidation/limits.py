"""What one block of decisions may cost at most, and how a command's money limits are set.

The hard caps (per lane, hour, day, global) are the ledger's, reserved where bytes are signed;
these are the decision's own.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LimitParameters:
    """Limits of one keeper; amounts in wei of the gas token unless named otherwise."""

    commands_per_block_max: int = 64
    deadline_blocks: int = 10
    spend_max_wei: int = 10**18
    tip_max_wei: int = 2 * 10**9
    base_fee_headroom_ppm: int = 4_000_000
    gas_token_usd: float = 3000.0


def spend_cap_wei(
    gas: int, value_wei: int, base_fee_wei: int, parameters: LimitParameters
) -> int | None:
    """Return the most a command may cost, None where even its present price is beyond the limit.

    The cap leaves room for the base fee to grow by `base_fee_headroom_ppm`, never past
    `spend_max_wei`.
    """
    now = gas * (base_fee_wei + parameters.tip_max_wei) + value_wei
    if now > parameters.spend_max_wei:
        return None
    roomy = gas * (
        base_fee_wei * parameters.base_fee_headroom_ppm // 1_000_000 + parameters.tip_max_wei
    )
    return min(roomy + value_wei, parameters.spend_max_wei)
