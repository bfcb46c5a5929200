"""Calldata against eth-abi, selectors against keccak, revert data against the venue's errors."""

import pytest
from eth_abi.abi import decode, encode
from eth_utils.crypto import keccak

from keeper.domain.effects import Call
from keeper.domain.errors import InvariantViolation
from keeper.liquidation.strategy import Service
from keeper.protocols.derive.actions import calls


TO = "0x" + "11" * 20
OPTION = "0x" + "a2" * 20


def body(signature: str, *values: object) -> str:
    """Return calldata as eth-abi lays it out."""
    types = signature[signature.index("(") + 1 : -1].split(",")
    return "0x" + (keccak(text=signature)[:4] + encode(types, values)).hex()


@pytest.mark.parametrize(
    ("call", "data"),
    [
        (calls.start_auction(TO, 7, 32), body("startAuction(uint256,uint256)", 7, 32)),
        (calls.terminate_auction(TO, 7), body("terminateAuction(uint256)", 7)),
        (calls.convert_auction(TO, 7), body("convertToInsolventAuction(uint256)", 7)),
        (calls.update_scenario(TO, 7, 4), body("updateScenarioId(uint256,uint256)", 7, 4)),
        (calls.settle_options(TO, OPTION, 7), body("settleOptions(address,uint256)", OPTION, 7)),
        (
            calls.bid(TO, 7, 9, 10**17, -(5 * 10**18)),
            body("bid(uint256,uint256,uint256,int256,uint256)", 7, 9, 10**17, -(5 * 10**18), 0),
        ),
        (
            calls.advanced_bid(TO, 3, 7, 9, 10**18, 10**20, 10**21),
            body(
                "advancedBid(uint256,uint256,uint256,uint256,int256,uint256,uint256,bool,bytes)",
                *(3, 7, 9, 10**18, 10**20, 0, 10**21, False, b""),
            ),
        ),
    ],
    ids=lambda value: value.data[:10] if isinstance(value, Call) else "",
)
def test_calldata_is_what_eth_abi_makes_of_it(call: Call, data: str) -> None:
    assert call == Call(TO, data, 0)


@pytest.mark.parametrize(("selector", "name"), calls.REASONS.items())
def test_every_error_selector_is_the_hash_of_its_name(selector: str, name: str) -> None:
    assert keccak(text=f"{name}()")[:4].hex() == selector
    assert calls.reason("0x" + selector) == name


@pytest.mark.parametrize(
    ("data", "word"),
    [
        ("0x", "empty"),
        ("", "empty"),
        ("0xdeadbeef", "unknown"),
        ("0x08c379a0" + encode(["string"], ["no"]).hex(), "Error"),
        ("0x4e487b71" + f"{0x32:064x}", "Panic_0x32"),
        ("0x4e487b71", "unknown"),
        ("0xAE769B25", "DA_AccountIsAboveMaintenanceMargin"),
    ],
)
def test_other_revert_data_has_a_word_too(data: str, word: str) -> None:
    assert calls.reason(data) == word


@pytest.mark.parametrize("fraction", [0.0, -0.1, 1.0000001, float("nan")])
def test_an_impossible_fraction_is_a_bug_of_ours(fraction: float) -> None:
    with pytest.raises(InvariantViolation):
        calls.fraction_wad(fraction)


def test_a_fraction_is_never_rounded_beyond_the_whole() -> None:
    assert calls.fraction_wad(1.0) == 10**18
    assert calls.fraction_wad(0.3) <= 3 * 10**17


@pytest.mark.parametrize(
    ("usd", "wad"), [(0.0, 1), (-0.0, 1), (12.5, 125 * 10**17), (-2.0, -2 * 10**18)]
)
def test_a_limit_of_nothing_is_one_wei_because_zero_means_no_limit(usd: float, wad: int) -> None:
    assert calls.limit_wad(usd) == wad


@pytest.mark.parametrize(
    ("service", "positions", "measured"),
    [
        (Service.START, 3, 960_000),
        (Service.START, 30, 3_000_000),
        (Service.START, 100, 7_200_000),
        (Service.BID, 2, 1_100_000),
        (Service.BID, 30, 7_700_000),
        (Service.BID, 100, 23_900_000),
        (Service.BID, 126, 30_000_000),
        (Service.CONVERT, 1, 370_000),
        (Service.SETTLE_OPTIONS, 1, 254_000),
    ],
)
def test_gas_covers_what_was_measured_with_room_and_without_waste(
    service: Service, positions: int, measured: int
) -> None:
    gas = calls.gas_limit(service, positions)

    assert 1.3 * measured < gas < 2.6 * measured
    assert calls.gas_limit(service, positions, through_helper=True) > gas


def test_a_price_limit_travels_as_a_signed_word() -> None:
    data = bytes.fromhex(calls.bid(TO, 1, 2, 10**18, calls.limit_wad(-1.5)).data[10:])

    assert decode(["uint256", "uint256", "uint256", "int256", "uint256"], data) == (
        *(1, 2, 10**18, -15 * 10**17, 0),
    )
