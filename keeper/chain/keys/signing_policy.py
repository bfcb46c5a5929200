"""What a key may ever sign, whoever asks: chain, contracts, value, cost, and how often.

The last wall before a signature: it repeats what caps and preflight have decided, from its own
figures, because the process that asks may be the one that went wrong. It must not hold a key.
"""

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass
from typing import ClassVar, Final

from keeper.domain.errors import InvariantViolation
from keeper.domain.units import Address, Hash
from keeper.ports import Clock


@dataclass(frozen=True, slots=True)
class Transaction:
    """An EIP-1559 transaction without access list; `data` is bytes, fees are wei per gas."""

    chain_id: int
    nonce: int
    tip_wei: int
    cap_wei: int
    gas: int
    to: Address
    value_wei: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Signed:
    """The bytes to send and the hash the chain will know them by."""

    raw: bytes
    hash: Hash


class SigningForbidden(InvariantViolation):
    """The policy forbids it; `reason` is its word. Nothing was signed."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"asked to sign what the policy forbids: {reason}")


@dataclass(frozen=True, slots=True)
class SigningLimits:
    """Most of one transaction in wei (value; gas times fee cap), and signatures a minute."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    value_wei_max: int = 10**18
    fee_wei_max: int = 2 * 10**18
    signatures_per_minute_max: int = 600


_MINUTE_NS: Final = 60 * 10**9


class SigningPolicy:
    """One address's policy; without a clock it has no rate."""

    def __init__(
        self,
        address: Address,
        chain_id: int,
        targets: Collection[Address],
        limits: SigningLimits | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._address = address
        self._chain_id = chain_id
        self._targets = frozenset(targets)
        self._limits = limits or SigningLimits()
        self._clock = clock
        self._signed_ns: deque[int] = deque()

    def refusal(self, transaction: Transaction) -> str | None:
        """Return why a transaction is forbidden, None where it may be signed.

        A transfer of nothing to itself needs no target: that is how a nonce is taken back. It is
        outside the rate too, or a busy minute would leave a nonce that cannot be healed.
        """
        if transaction.chain_id != self._chain_id:
            return "wrong_chain"
        if transaction.gas * transaction.cap_wei > self._limits.fee_wei_max:
            return "fee_beyond_policy"
        if self._is_nothing(transaction):
            return None
        if transaction.to not in self._targets:
            return "target_not_allowed"
        if transaction.value_wei > self._limits.value_wei_max:
            return "value_beyond_policy"
        return "signing_rate" if self._is_busy() else None

    def admit(self, transaction: Transaction) -> None:
        """Count a signature that is about to be made; raises SigningForbidden."""
        reason = self.refusal(transaction)
        if reason is not None:
            raise SigningForbidden(reason)
        if self._clock is not None and not self._is_nothing(transaction):
            self._signed_ns.append(self._clock.monotonic_ns())

    def _is_nothing(self, transaction: Transaction) -> bool:
        return (
            transaction.to == self._address and not transaction.data and not transaction.value_wei
        )

    def _is_busy(self) -> bool:
        if self._clock is None:
            return False
        since = self._clock.monotonic_ns() - _MINUTE_NS
        while self._signed_ns and self._signed_ns[0] <= since:
            self._signed_ns.popleft()
        return len(self._signed_ns) >= self._limits.signatures_per_minute_max
