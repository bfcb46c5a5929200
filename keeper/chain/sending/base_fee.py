"""The base fee of the block after a header, by the rule of its chain, and how fast it can grow.

Pure; read from the parent's header alone, never from what a node suggests. Sources: EIP-1559; the
OP stack's Canyon, Holocene and Jovian specifications (parameters in the header's extra data); ArbOS
`UpdatePricingModel`, whose backlog no header holds, so that for Arbitrum this is the least upper
bound the header allows. It must not know offers or lanes.
"""

from fractions import Fraction
from typing import Any, Final, Literal, NamedTuple

from keeper.chain.link import wire
from keeper.domain.errors import MalformedReply


Rule = Literal["ethereum", "op_stack", "arbitrum"]
ETHEREUM: Final[Rule] = "ethereum"
OP_STACK: Final[Rule] = "op_stack"
ARBITRUM: Final[Rule] = "arbitrum"

ELASTICITY: Final = 2
CHANGE_DENOMINATOR: Final = 8
# The OP stack's from Canyon until a header names its own.
_CANYON: Final = (6, 250)
# ArbOS: gas a second that leaves the price alone, seconds of it that raise the price e times, and
# the most gas of one block; the exponent is counted in hundredths of a percent, rounded down.
_SPEED_GAS_PER_S: Final = 7_000_000
_INERTIA_S: Final = 102
_BLOCK_GAS_MAX: Final = 32_000_000
_BIP: Final = Fraction(1, 10_000)


class Ahead(NamedTuple):
    """The next block's base fee, wei per gas, and by how much one more full block multiplies it."""

    base_next_wei: int
    growth: Fraction = Fraction(CHANGE_DENOMINATOR + 1, CHANGE_DENOMINATOR)


NOTHING_AHEAD: Final = Ahead(0)


class _Change(NamedTuple):
    """Parameters of EIP-1559 on a chain of its own: the floor is the OP stack's since Jovian."""

    elasticity: int
    denominator: int
    floor_wei: int = 0


def next_base_fee(
    base_fee_wei: int,
    gas_used: int,
    gas_limit: int,
    elasticity: int = ELASTICITY,
    denominator: int = CHANGE_DENOMINATOR,
) -> int:
    """Return the child's base fee, exactly as EIP-1559 computes it from its parent."""
    target = gas_limit // elasticity
    if target in (0, gas_used):
        return base_fee_wei
    change = base_fee_wei * abs(gas_used - target) // target // denominator
    if gas_used > target:
        return base_fee_wei + max(change, 1)
    return max(base_fee_wei - change, 0)


def ahead(endpoint: str, raw: Any, rule: Rule = ETHEREUM) -> Ahead:
    """Return what follows a block as a node gives it; raises MalformedReply.

    Extra data of a version we do not know is malformed: a fee cap must not rest on a guess.
    """
    header = wire.header(endpoint, raw)
    used = wire.quantity(endpoint, raw.get("gasUsed"), "gas used")
    if rule == ARBITRUM:
        return _arbitrum(header.base_fee_wei, used)
    change = _Change(ELASTICITY, CHANGE_DENOMINATOR)
    if rule == OP_STACK:
        change = _op_change(endpoint, raw)
        # Since Jovian a block's data counts as gas too, and stands where blobs' gas would.
        used = max(used, wire.quantity(endpoint, raw.get("blobGasUsed") or "0x0", "data gas"))
    plain = next_base_fee(
        header.base_fee_wei, used, header.gas_limit, change.elasticity, change.denominator
    )
    growth = 1 + Fraction(change.elasticity - 1, change.denominator)
    return Ahead(max(plain, change.floor_wei), growth)


def _op_change(endpoint: str, raw: Any) -> _Change:
    """Return the parameters in an OP stack header: version, denominator, elasticity, and a floor.

    Holocene: version 0 and 4 + 4 bytes; Jovian: version 1 and 8 more, the least base fee. A header
    from before Holocene has no extra data.
    """
    data = bytes.fromhex(wire.hex_data(endpoint, raw.get("extraData") or "0x", "extra data")[2:])
    if not data:
        return _Change(*_CANYON)
    if (len(data), data[0]) not in ((9, 0), (17, 1)):
        raise MalformedReply(endpoint, "extra data of a version we do not know")
    denominator, elasticity = (int.from_bytes(data[at : at + 4], "big") for at in (1, 5))
    if denominator == 0 or elasticity == 0:
        raise MalformedReply(endpoint, "extra data with a zero parameter")
    return _Change(elasticity, denominator, int.from_bytes(data[9:17], "big"))


def _arbitrum(base_fee_wei: int, gas_used: int) -> Ahead:
    """Return the most the next base fee can be: the price is exponential in the backlog.

    Gas used adds to the backlog, time only takes from it; e^x <= 1 / (1 - x), and one hundredth of
    a percent is what rounding the exponent down can hide.
    """
    return Ahead(-(-base_fee_wei * _raised(gas_used) // 1), _raised(_BLOCK_GAS_MAX))


def _raised(gas: int) -> Fraction:
    """Return the most by which a block of so much gas multiplies ArbOS's price."""
    exponent = Fraction(min(gas, _BLOCK_GAS_MAX), _SPEED_GAS_PER_S * _INERTIA_S) + _BIP
    return 1 / (1 - exponent)
