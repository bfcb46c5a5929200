"""The next base fee of each kind of chain, by published numbers and by hand."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.chain.sending.base_fee import ARBITRUM, ETHEREUM, OP_STACK, ahead
from keeper.chain.sending.fees import base_fee_ahead
from keeper.domain.errors import MalformedReply


GWEI = 10**9
HASH = "0x" + "11" * 32


def block(base=GWEI, limit=30_000_000, used=15_000_000, **more) -> dict:
    return {
        "number": "0x5",
        "hash": HASH,
        "parentHash": HASH,
        "timestamp": "0x64",
        "baseFeePerGas": hex(base),
        "gasLimit": hex(limit),
        "gasUsed": hex(used),
        **more,
    }


def holocene(denominator: int, elasticity: int) -> str:
    return f"0x00{denominator:08x}{elasticity:08x}"


def jovian(denominator: int, elasticity: int, floor: int) -> str:
    return f"0x01{denominator:08x}{elasticity:08x}{floor:016x}"


def test_ethereum_is_an_eighth_up_or_down():
    full = ahead("node", block(used=30_000_000), ETHEREUM)
    assert full == (1_125_000_000, Fraction(9, 8))


@pytest.mark.parametrize(
    ("used", "after"),
    # op-geth's TestCalcBaseFeeOptimism after Canyon: elasticity 6, denominator 250.
    [(5_000_000, 1_000_000_000), (4_000_000, 999_200_000), (10_000_000, 1_004_000_000)],
)
@pytest.mark.parametrize("extra", ["0x", None, holocene(250, 6)])
def test_an_op_chain_follows_canyon_and_says_the_same_in_its_header_since_holocene(
    used, after, extra
):
    found = ahead("node", block(used=used, extraData=extra), OP_STACK)
    assert found == (after, Fraction(255, 250))


@pytest.mark.parametrize(
    ("used", "after"),
    # The same test before Canyon, with its denominator of 50 named by the header.
    [(5_000_000, 1_000_000_000), (4_000_000, 996_000_000), (10_000_000, 1_020_000_000)],
)
def test_an_op_chains_header_names_its_own_parameters(used, after):
    found = ahead("node", block(used=used, extraData=holocene(50, 6)), OP_STACK)
    assert found == (after, Fraction(55, 50))


def test_an_op_chain_has_a_floor_since_jovian_and_counts_data_as_gas():
    low = ahead("node", block(used=0, extraData=jovian(250, 6, 2 * GWEI)), OP_STACK)
    assert low.base_next_wei == 2 * GWEI
    none = ahead("node", block(used=4_000_000, extraData=jovian(250, 6, 0)), OP_STACK)
    assert none.base_next_wei == 999_200_000
    heavy = block(used=0, blobGasUsed=hex(10_000_000), extraData=jovian(250, 6, 0))
    assert ahead("node", heavy, OP_STACK).base_next_wei == 1_004_000_000


@pytest.mark.parametrize(
    "extra",
    [
        "0x01",
        "0x02" + "00000032" + "00000006",
        holocene(250, 6) + "00",
        jovian(250, 6, 1)[:-2],
        "0x00" + jovian(250, 6, 1)[4:],
        holocene(0, 6),
        holocene(250, 0),
        "0xzz",
    ],
)
def test_an_op_header_we_do_not_understand_is_no_ground_for_a_fee(extra):
    with pytest.raises(MalformedReply):
        ahead("node", block(extraData=extra), OP_STACK)


def test_extra_data_means_nothing_elsewhere():
    assert ahead("node", block(extraData="0x01", used=15_000_000)).base_next_wei == GWEI


def test_arbitrum_rises_by_no_more_than_its_backlog_can():
    # 7.14 million gas are a hundredth of 7 million a second times 102 seconds: e^0.01 and a bit.
    found = ahead("node", block(base=10**8, limit=2**50, used=7_140_000), ARBITRUM)
    assert found.base_next_wei == 101_020_306  # 1e8 / (1 - 0.0101), rounded up
    idle = ahead("node", block(base=10**8, limit=2**50, used=0), ARBITRUM)
    assert idle.base_next_wei == 100_010_002  # 1e8 / 0.9999, rounded up


def arbos(minimum: int, backlog: int) -> int:
    """Return ArbOS's base fee for a backlog: Taylor's e^x to the fourth power, x in bips."""
    bips = 10_000 * max(0, backlog - 10 * 7_000_000) // (102 * 7_000_000)
    result = 10_000 + bips // 4
    for divisor in (3, 2, 1):
        result = 10_000 + bips * result // (divisor * 10_000)
    return minimum * result // 10_000


@given(st.integers(0, 3_000_000_000), st.integers(0, 32_000_000), st.integers(0, 3))
def test_no_block_of_arbitrum_outgrows_the_bound(backlog, used, blocks):
    minimum = 10**8
    header = block(base=arbos(minimum, backlog), limit=2**50, used=used)
    found = ahead("node", header, ARBITRUM)
    after = arbos(minimum, backlog + used + blocks * 32_000_000)
    # ArbOS rounds to whole bips of the minimum: no more than two of them, one at each end.
    assert after <= base_fee_ahead(found, blocks) + 2 * minimum // 10_000
