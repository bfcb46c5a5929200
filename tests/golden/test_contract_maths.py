"""The contracts' fixed-point mathematics against scipy: the normal distribution and Black-76."""

from __future__ import annotations

import math

import pytest
from scipy.special import ndtr

from deploy.devnet.chain.contract import Contract, Sender
from deploy.devnet.chain.node import Node


pytestmark = pytest.mark.node

# Hart's formula has an absolute error of its own far out in the tail; the real venue's has it too.
RELATIVE = 1e-14
ABSOLUTE = 3e-17


@pytest.fixture(scope="module")
def maths(node: Node) -> Contract:
    sender = Sender(node.rpc, node.call("eth_accounts")[0])
    harness = sender.deploy("BookHarness")
    sender.flush()
    return harness


def test_normal_distribution_is_good_to_fourteen_digits(node: Node, maths: Contract) -> None:
    # Multiples of 1/64 are exact in binary and, within eighteen decimals, in decimal.
    points = [at / 64 for at in (-2560, *range(-700, 701), 2560)]
    got = maths.call(node.rpc, "cdf", [round(each * 64) * 10**18 // 64 for each in points])
    for point, value in zip(points, got, strict=True):
        exact = float(ndtr(point))
        assert abs(value / 1e18 - exact) <= RELATIVE * exact + ABSOLUTE, point


@pytest.mark.parametrize("is_call", [True, False])
@pytest.mark.parametrize(
    ("forward", "strike", "deviation", "discount"),
    [
        (3000.0, 3000.0, 0.1, 0.99),
        (3000.0, 3300.0, 0.02, 1.0),
        (96_248.75, 973_384.0, 0.2291, 0.98),
        (3000.0, 500.0, 0.4, 0.9),
        (3000.0, 30_000.0, 3.5, 0.8),
        (1.25, 1.5, 0.75, 0.97),
    ],
)
def test_option_value_is_black_76(
    node: Node,
    maths: Contract,
    is_call: bool,
    forward: float,
    strike: float,
    deviation: float,
    discount: float,
) -> None:
    above = math.log(forward / strike) / deviation + deviation / 2
    sign = 1 if is_call else -1
    exact = sign * (forward * ndtr(sign * above) - strike * ndtr(sign * (above - deviation)))
    arguments = [round(each * 10**9) * 10**9 for each in (forward, strike, deviation, discount)]
    got = maths.call(node.rpc, "price", *arguments, is_call) / 1e18
    assert got == pytest.approx(exact * discount, rel=1e-13, abs=1e-14 * max(forward, strike))


@pytest.mark.parametrize(
    ("forward", "strike", "deviation", "is_call", "value"),
    [
        (3000, 0, 1, True, 2700),
        (3000, 0, 1, False, 0),
        (0, 3000, 1, True, 0),
        (0, 3000, 1, False, 2700),
        (3000, 1000, 0, True, 1800),
        (1000, 3000, 0, False, 1800),
        (1000, 3000, 0, True, 0),
        (3000, 1000, 24, True, 2700),
        (3000, 1000, 24, False, 900),
    ],
)
def test_degenerate_options_have_their_limits(
    node: Node,
    maths: Contract,
    forward: int,
    strike: int,
    deviation: int,
    is_call: bool,
    value: int,
) -> None:
    wads = (forward * 10**18, strike * 10**18, deviation * 10**18, 9 * 10**17)
    got = maths.call(node.rpc, "price", *wads, is_call)
    assert abs(got - value * 10**18) <= 3000
