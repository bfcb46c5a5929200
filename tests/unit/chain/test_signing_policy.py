"""The last wall before a signature: what a key never signs, whoever asks."""

from typing import Any

import pytest

from keeper.chain.keys.signer import LocalSigner
from keeper.chain.keys.signing_policy import (
    SigningForbidden,
    SigningLimits,
    SigningPolicy,
    Transaction,
)
from tests.unit.telemetry.entries import HandClock


TARGET = "0x" + "c0" * 20
US = "0x" + "0a" * 20
LIMITS = SigningLimits(value_wei_max=1_000, fee_wei_max=50_000, signatures_per_minute_max=3)


def transaction(**changes: Any) -> Transaction:
    fields = {
        "chain_id": 5, "nonce": 0, "tip_wei": 1, "cap_wei": 2, "gas": 21_000,
        "to": TARGET, "value_wei": 0, "data": b"\1",
    }  # fmt: skip
    return Transaction(**(fields | changes))


def to_ourselves(**changes: Any) -> Transaction:
    return transaction(to=US, data=b"", **changes)


@pytest.mark.parametrize(
    ("asked", "refusal"),
    [
        (transaction(value_wei=1_000), None),
        (transaction(value_wei=1_001), "value_beyond_policy"),
        (transaction(gas=25_000), None),
        (transaction(gas=25_001), "fee_beyond_policy"),
        (transaction(cap_wei=3), "fee_beyond_policy"),
        (to_ourselves(gas=25_001), "fee_beyond_policy"),
        (to_ourselves(chain_id=6), "wrong_chain"),
        (to_ourselves(), None),
    ],
)
def test_value_and_gas_times_cap_have_their_most(asked: Transaction, refusal: str | None) -> None:
    policy = SigningPolicy(US, 5, [TARGET], LIMITS)
    assert policy.refusal(asked) == refusal
    if refusal is not None:
        with pytest.raises(SigningForbidden, match=refusal):
            policy.admit(asked)


def test_only_so_many_a_minute_are_signed_and_a_transfer_of_nothing_always() -> None:
    clock = HandClock()
    policy = SigningPolicy(US, 5, [TARGET], LIMITS, clock)
    for _ in range(3):
        policy.admit(transaction())
        clock.move_ms(1_000)
    assert policy.refusal(transaction()) == "signing_rate"
    with pytest.raises(SigningForbidden):
        policy.admit(transaction())
    for _ in range(5):  # a cancel or a fill must never wait: it frees what is stuck
        policy.admit(to_ourselves())
    clock.move_ms(57_000)
    policy.admit(transaction())
    assert policy.refusal(transaction()) == "signing_rate"


async def test_a_signer_asks_its_policy_before_each_signature() -> None:
    signer = LocalSigner(b"\1" * 32, 5, [TARGET], LIMITS, HandClock())
    for _ in range(3):
        await signer.sign(transaction())
    with pytest.raises(SigningForbidden, match="signing_rate"):
        await signer.sign(transaction())
    with pytest.raises(SigningForbidden, match="value_beyond_policy"):
        await signer.sign(transaction(value_wei=1_001))
