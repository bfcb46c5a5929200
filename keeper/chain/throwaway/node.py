"""A local node that is thrown away: changed at will, after it was proved to be one.

Nothing here may ever reach a real endpoint, so every change goes through an object that exists only
for a development node on this very host. It knows the cheat calls of anvil; it must not know what
an address means.
"""

import asyncio
from typing import Any, Final, Self
from urllib.parse import urlsplit

from keeper.chain.link import wire
from keeper.chain.link.transport import Rpc
from keeper.domain.errors import ConfigError, EndpointError, MalformedReply, RpcError
from keeper.domain.units import Address, Hash


LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")
DEADLINE_S: Final = 30.0
ACT_GAS: Final = 3_000_000
COINS_WEI: Final = 10**21
WORD: Final = 64  # hex digits
# Widths of the fields that contracts pack a number into, bits, and where one may begin.
FIELD_BITS: Final = (256, 240, 128, 96)
FIELD_STEP_BITS: Final = 8


class ThrowawayNode:
    """One development node on this host; made by `proved` alone."""

    def __init__(self, rpc: Rpc) -> None:
        self._rpc = rpc

    @classmethod
    async def proved(cls, rpc: Rpc, url: str) -> Self:
        """Return the node behind a URL; raises ConfigError for anything but one of our own host.

        A client that calls itself anvil and answers a call that only anvil has, on loopback.
        """
        cure = "a drill changes balances: give it a development node of this host, or let it fork"
        if urlsplit(url).hostname not in LOOPBACK:
            raise ConfigError("--node-url", urlsplit(url).hostname, f"not this host; {cure}")
        try:
            version = await rpc.call("web3_clientVersion", [], deadline_s=DEADLINE_S)
            info = await rpc.call("anvil_nodeInfo", [], deadline_s=DEADLINE_S)
        except RpcError as error:
            raise ConfigError("--node-url", error.message, f"no development node; {cure}") from None
        if not str(version).lower().startswith("anvil/") or not isinstance(info, dict):
            raise ConfigError("--node-url", str(version), f"no development node; {cure}")
        return cls(rpc)

    async def head(self) -> tuple[int, Hash, int]:
        """Return number, hash and timestamp of the newest block."""
        raw = await self._call("eth_getBlockByNumber", "latest", False)
        header = wire.header(self._rpc.name, raw)
        return header.number, header.hash, header.timestamp

    async def mine(self) -> int:
        """Make one block, a second after the last: quotes age no faster; its number."""
        _, _, timestamp = await self.head()
        await self._call("evm_setNextBlockTimestamp", timestamp + 1)
        await self._call("evm_mine")
        return (await self.head())[0]

    async def fund(self, address: Address, wei: int = COINS_WEI) -> None:
        """Give an address coins for gas."""
        await self._call("anvil_setBalance", address, hex(wei))

    async def act(self, sender: Address, to: Address, data: str) -> None:
        """Have one transaction of anybody's included; raises EndpointError where it fails."""
        await self.fund(sender)
        await self._call("anvil_impersonateAccount", sender)
        request = {"from": sender, "to": to, "data": data, "gas": hex(ACT_GAS)}
        hashed = await self._call("eth_sendTransaction", request)
        await self._call("anvil_stopImpersonatingAccount", sender)
        await self.mine()
        receipt = await self._call("eth_getTransactionReceipt", hashed)
        if not isinstance(receipt, dict) or receipt.get("status") != "0x1":
            raise EndpointError(self._rpc.name, f"{data[:10]} of {to} was refused to {sender}")

    async def view(self, to: Address, data: str, word: int = 0) -> int:
        """Return one word of what a view says now, as a signed number."""
        answer = wire.hex_data(
            self._rpc.name, await self._call("eth_call", {"to": to, "data": data}, "latest"), "view"
        )
        text = answer[2 + WORD * word : 2 + WORD * (word + 1)]
        if len(text) != WORD:
            raise MalformedReply(self._rpc.name, f"a view of {to} without word {word}")
        return _signed(int(text, 16), 256)

    async def rewrite(self, to: Address, data: str, value: int, word: int = 0) -> None:
        """Override the stored number that a view shows in a word; raises EndpointError.

        Where it is stored is found, not known: every field of every slot the view reads that
        holds the number is tried until the view shows the new one.
        """
        before = await self.view(to, data, word)
        listed = await self._call("eth_createAccessList", {"to": to, "data": data}, "latest")
        for each in listed["accessList"]:
            for slot in each["storageKeys"]:
                if await self._rewritten(each["address"], slot, before, value, (to, data, word)):
                    return
        raise EndpointError(self._rpc.name, f"no stored number behind {data[:10]} of {to}")

    async def keep(self) -> str:
        """Remember the state as it is; a place to go back to."""
        return str(await self._call("evm_snapshot"))

    async def give_back(self, place: str) -> None:
        """Go back to a place; raises EndpointError where the node does not."""
        if await self._call("evm_revert", place) is not True:
            raise EndpointError(self._rpc.name, "did not go back to the state before the drill")

    async def _rewritten(
        self, holder: Address, slot: str, before: int, value: int, shown: tuple[Address, str, int]
    ) -> bool:
        """Try every field of a slot that holds a number; True where the view then shows `value`."""
        held = int(str(await self._call("eth_getStorageAt", holder, slot, "latest")), 16)
        for bits in FIELD_BITS:
            for low in range(0, 256 - bits + 1, FIELD_STEP_BITS):
                mask = (1 << bits) - 1
                if held >> low & mask != before & mask:
                    continue
                changed = held & ~(mask << low) | (value & mask) << low
                await self._store(holder, slot, changed)
                if await self.view(*shown) == value:
                    return True
                await self._store(holder, slot, held)
        return False

    async def _store(self, holder: Address, slot: str, word: int) -> None:
        await self._call("anvil_setStorageAt", holder, slot, f"0x{word:064x}")

    async def _call(self, method: str, *params: Any) -> Any:
        return await self._rpc.call(method, params, deadline_s=DEADLINE_S)


async def answering(rpc: Rpc, limit_s: float) -> bool:
    """Wait until a node that is just starting answers; False where it does not in time."""
    try:
        async with asyncio.timeout(limit_s):
            while True:
                try:
                    await rpc.call("eth_chainId", [], deadline_s=DEADLINE_S)
                except EndpointError:
                    await asyncio.sleep(0.05)
                else:
                    return True
    except TimeoutError:
        return False


def _signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> (bits - 1) else value
