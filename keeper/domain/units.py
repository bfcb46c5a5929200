"""Units and identifiers that every room shares.

Chain quantities are 18-decimal fixed point integers ("wad"); money and prices leave the
exact world only as float64 copies for margin, never the other way round.
"""

from typing import Final


WAD: Final = 10**18
YEAR_S: Final = 31_536_000
NS_PER_S: Final = 1_000_000_000
NS_PER_MS: Final = 1_000_000

# A contract or an externally owned account: "0x" and 40 lower-case hex digits.
Address = str
# A block or transaction hash: "0x" and 64 lower-case hex digits.
Hash = str
# The venue's own number of a margin account.
AccountId = int


def from_wad(value: int) -> float:
    """Return the float64 nearest to `value` / 10^18 (one correct rounding of the ratio)."""
    return value / WAD


def to_wad(value: float) -> int:
    """Return `value` in 18-decimal fixed point, truncated toward zero; exact for float64."""
    numerator, denominator = value.as_integer_ratio()
    scaled = abs(numerator) * WAD // denominator
    return scaled if numerator >= 0 else -scaled
