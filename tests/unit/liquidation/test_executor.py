"""The executor's calldata against eth-abi, and its errors against the hash of their names."""

import pytest
from eth_abi.abi import decode, encode
from eth_utils.crypto import keccak

from keeper.domain.effects import Call
from keeper.domain.errors import InvariantViolation
from keeper.liquidation.executor import (
    EXECUTE,
    INT_MAX,
    INT_MIN,
    REASONS,
    Callback,
    Condition,
    Gain,
    Guard,
    Step,
    execute,
    gas_limit,
    reason,
)


CONDITION = "(address,bytes,uint16,bool,int256,int256)"
CALL = f"(address,uint256,uint256,bool,bytes,{CONDITION}[])"
GAIN = "(address,bytes,uint16,int256)"
CALLBACK = f"(address,bytes4,{CALL}[],bytes)"
GUARD = f"(uint256,uint256,uint256,{CONDITION}[],{GAIN}[],{CALLBACK}[])"
SIGNATURE = f"execute({CALL}[],{GUARD})"

A, B, C = ("0x" + digit * 40 for digit in "abc")
VIEW = Condition(B, "0x12345678" + "01" * 37, 6, -5, 10**18, is_age=True)
STEPS = (
    Step(Call(A, "0xdeadbeef", 7), (VIEW, Condition(C, "0x")), optional=True, gas=9),
    Step(Call(C, "0x" + "ff" * 64)),
)
GUARD_FULL = Guard(
    block_max=100,
    timestamp_max_s=2_000,
    served_min=1,
    conditions=(VIEW,),
    gains=(Gain(A, "0x70a08231", -3, 2),),
    callbacks=(Callback(B, "c0ffee00", STEPS, "0xbeef"), Callback(C, "00000001", ())),
)


def raw(text: str) -> bytes:
    return bytes.fromhex(text[2:])


def condition(each: Condition) -> tuple:
    words = (each.word, each.is_age, each.least, each.most)
    return (each.target, raw(each.data), *words)


def step(each: Step) -> tuple:
    head = (each.call.to, each.call.value_wei, each.gas, each.optional)
    return (*head, raw(each.call.data), [condition(one) for one in each.conditions])


def guard(each: Guard) -> tuple:
    return (
        each.block_max,
        each.timestamp_max_s,
        each.served_min,
        [condition(one) for one in each.conditions],
        [(one.target, raw(one.data), one.word, one.least) for one in each.gains],
        [
            (one.caller, bytes.fromhex(one.selector), [step(s) for s in one.steps], raw(one.reply))
            for one in each.callbacks
        ],
    )


@pytest.mark.parametrize("guarding", [GUARD_FULL, Guard(1, 2)], ids=["full", "plain"])
@pytest.mark.parametrize("count", [1, 2])
def test_calldata_is_what_eth_abi_makes_of_it(guarding: Guard, count: int) -> None:
    steps = STEPS[:count]
    values = ([step(each) for each in steps], guard(guarding))
    expected = keccak(text=SIGNATURE)[:4] + encode([f"{CALL}[]", GUARD], values)
    call = execute(A, steps, guarding)
    assert call == Call(A, "0x" + expected.hex(), 7)
    assert decode([f"{CALL}[]", GUARD], raw(call.data)[4:])[1][0] == guarding.block_max


def test_the_selector_is_of_the_signature() -> None:
    assert keccak(text=SIGNATURE)[:4].hex() == EXECUTE


def test_the_bounds_left_out_are_no_bounds() -> None:
    assert (Condition(A, "0x").least, Condition(A, "0x").most) == (INT_MIN, INT_MAX)


def test_an_empty_batch_and_a_word_too_large_are_bugs() -> None:
    with pytest.raises(InvariantViolation):
        execute(A, [], Guard(1, 1))
    with pytest.raises(InvariantViolation):
        execute(A, STEPS, Guard(2**256, 1))


def test_only_our_own_errors_have_names() -> None:
    assert reason("0x2ea5c2d2" + "00" * 64) == "EX_ConditionFailed"
    assert reason("0x") is None
    assert reason("0xae769b25") is None
    assert len(set(REASONS.values())) == len(REASONS)


def test_gas_leaves_each_call_its_own_after_the_64th_part() -> None:
    plain = gas_limit([630_000], Guard(1, 1), 0)
    assert plain - plain // 64 >= 630_000
    assert gas_limit([630_000], GUARD_FULL, 4) > plain
