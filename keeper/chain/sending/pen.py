"""Intents and fees into signed attempts: the one place where a signer is asked for bytes.

It must not choose lanes, nonces or fees, and what it returns is not durable yet.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from keeper.chain.keys.signer import SigningForbidden, Transaction
from keeper.chain.ledger.rows import ACT, Attempt, Intent
from keeper.chain.sending.fees import Fee
from keeper.chain.sending.intents import Passed
from keeper.chain.sending.lanes import Lane
from keeper.domain.errors import EndpointError
from keeper.ports import Clock


NO_SIGNATURE: Final = "no_signature"


class Planned(NamedTuple):
    """A command with a lane and a nonce, not signed yet; `place` is its index in its group."""

    place: int
    lane: Lane
    passed: Passed
    intent: Intent
    transaction: Transaction


class Pen:
    """Makes transactions of one chain and has them signed."""

    def __init__(self, chain_id: int, clock: Clock, point: Callable[[str], None]) -> None:
        self._chain_id = chain_id
        self._clock = clock
        self._point = point

    def transaction(self, nonce: int, fee: Fee, intent: Intent) -> Transaction:
        """Return what is to be signed for an intent."""
        return Transaction(
            chain_id=self._chain_id,
            nonce=nonce,
            tip_wei=fee.tip_wei,
            cap_wei=fee.cap_wei,
            gas=intent.gas,
            to=intent.to,
            value_wei=intent.value_wei,
            data=bytes.fromhex(intent.data[2:]),
        )

    async def sign(
        self, lane: Lane, transaction: Transaction, seq: int, kind: str, l1_fee_max_wei: int = 0
    ) -> Attempt:
        """Return signed bytes; raises EndpointError, SigningForbidden where there are none."""
        signed = await lane.signer.sign(transaction)
        self._point("after_sign")
        return Attempt(
            hash=signed.hash,
            lane=lane.address,
            nonce=transaction.nonce,
            seq=seq,
            raw=signed.raw,
            tip_wei=transaction.tip_wei,
            cap_wei=transaction.cap_wei,
            gas=transaction.gas,
            value_wei=transaction.value_wei,
            kind=kind,
            signed_at_ns=self._clock.now_ns(),
            l1_fee_max_wei=l1_fee_max_wei,
        )

    async def sign_all(self, planned: Sequence[Planned]) -> list[Attempt | str]:
        """Sign at once what a remote signer would answer slowly one by one; stop at the first no.

        The last answer may be a word: why the signer gave no bytes.
        """
        results = await asyncio.gather(
            *(
                self.sign(each.lane, each.transaction, 0, ACT, each.passed.l1_fee_max_wei)
                for each in planned
            ),
            return_exceptions=True,
        )
        signed: list[Attempt | str] = []
        for result in results:
            if isinstance(result, SigningForbidden):
                return [*signed, result.reason]
            if isinstance(result, EndpointError):
                return [*signed, NO_SIGNATURE]
            if isinstance(result, BaseException):
                raise result
            signed.append(result)
        return signed
