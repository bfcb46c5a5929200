"""dYdX v4: initial margin that grows with the market's open interest.

Exact, in rationals: a float's dust would round up a whole quantum. Source: v4-chain
perpetuals/types and lib/margin. Fractions of a million are the chain's own unit.
"""

from fractions import Fraction

from keeper.margin.errors import BadNumber, within


PPM = 1_000_000


def scaled_fraction(base_ppm: int, open_interest: int, lower: int, upper: int) -> Fraction:
    """Return the initial margin fraction; caps of 0 and 0 switch the scaling off."""
    base = Fraction(int(within("base_ppm", base_ppm, 0, PPM)), PPM)
    for field, value in (("open_interest", open_interest), ("lower", lower), ("upper", upper)):
        if value < 0:
            raise BadNumber(field, value, "pass zero or more")
    if upper <= lower:
        return base
    share = Fraction(open_interest - lower, upper - lower)
    return base + min(max(share, Fraction(0)), Fraction(1)) * (1 - base)


def scaled_ppm(base_ppm: int, open_interest: int, lower: int, upper: int) -> int:
    """Return the same in parts per million, rounded down."""
    fraction = scaled_fraction(base_ppm, open_interest, lower, upper) * PPM
    return fraction.numerator // fraction.denominator


def initial_margin(quote_quantums: int, fraction: Fraction) -> int:
    """Return the requirement in quote quantums, rounded up."""
    if quote_quantums < 0:
        raise BadNumber("quote_quantums", quote_quantums, "pass the notional's size, unsigned")
    product = quote_quantums * fraction
    return -(-product.numerator // product.denominator)
