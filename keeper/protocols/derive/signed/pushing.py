"""Signed data of ours as a transaction of their own: every feed that holds older ones, brought up.

Anybody may post them, through the venue's data submitter; a feed leaves what is no newer than what
it holds. Must not know when feeds are pushed, nor what that may cost.
"""

from collections.abc import Iterator
from typing import Final

from keeper.domain.units import Address
from keeper.protocols.derive.signed.ahead import PAYLOAD_GAS, Ahead, Bundle, Key
from keeper.protocols.derive.signed.bundling import submitting
from keeper.protocols.derive.signed.payloads import LAYOUTS
from keeper.protocols.derive.tables import DeriveTables
from keeper.venue import Encoded, Push


PAYLOADS_MAX: Final = 64
BYTES_MAX: Final = 98_304  # of data; nodes pass on no transaction of more than 131,072 bytes
PUSH_GAS: Final = 100_000  # besides the payloads: the transaction's own, and the submitter's loop


class Pusher:
    """What is pushed next, and what the newest push brought."""

    def __init__(self, tables: DeriveTables) -> None:
        self._tables = tables
        self._newest = Bundle()
        self._most = PAYLOADS_MAX

    def push(self, submitter: Address, ahead: Ahead, gas_max: int) -> Push:
        """Return what is ahead of the feeds in one call: spots first, for others stand on them."""
        order = list(LAYOUTS)
        keys = sorted(ahead.payloads, key=lambda key: order.index(self._tables.feeds[key[0]].kind))
        chosen = list(self._fitting(keys, ahead, gas_max))
        left = len(keys) - len(chosen)
        if not chosen:
            return Push(None, 0, left)
        self._newest = ahead.bundle(chosen)
        call, gas = submitting(submitter, self._newest), PUSH_GAS + self._newest.gas
        return Push(Encoded(call, gas, None), len(chosen), left)

    def refused(self) -> tuple[bytes, ...]:
        """Take note that a feed would not take its data; return what is to be forgotten.

        One bad payload sinks a push, and nobody says which it was: fewer are tried next, until it
        stands alone.
        """
        brought = self._newest.items
        if len(brought) > 1:
            self._most = len(brought) // 2
            return ()
        self._most = PAYLOADS_MAX
        return tuple(data for _, data in brought)

    def _fitting(self, keys: list[Key], ahead: Ahead, gas_max: int) -> Iterator[Key]:
        most = min(self._most, max(0, gas_max - PUSH_GAS) // PAYLOAD_GAS)
        size = 0
        for key in keys[:most]:
            size += len(ahead.payloads[key].data)
            if size > BYTES_MAX:
                return
            yield key
