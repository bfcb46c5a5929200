"""Rules for `RpcProxy`: what nodes and networks do to calls and notifications, one each."""

import asyncio
from collections.abc import Callable
from typing import Any

from eth_hash.auto import keccak

from tests.world.rpc_proxy import Call, NoteRule, Onward, Reply, Rule


def rewriting(method: str, change: Callable[[Any], Any]) -> Rule:
    """Change the result of a method; errors pass."""

    async def rule(call: Call, onward: Onward) -> Reply:
        reply = await onward(call)
        if call.method != method or "result" not in reply:
            return reply
        return {"result": change(reply["result"])}

    return rule


def refusing(method: str, code: int, message: str, times: int | None = None) -> Rule:
    """Answer a method with an error: `times` times, or always."""
    left = [times]

    async def rule(call: Call, onward: Onward) -> Reply:
        if call.method != method or left[0] == 0:
            return await onward(call)
        left[0] = None if left[0] is None else left[0] - 1
        return {"error": {"code": code, "message": message}}

    return rule


def forgetting(heard: list[str]) -> Rule:
    """Say yes to raw transactions, by their hash, and keep them from the node; `heard` gets them.

    A yes is not "in the pool": a node may answer so for what it throws away a moment later.
    """

    async def rule(call: Call, onward: Onward) -> Reply:
        if call.method != "eth_sendRawTransaction":
            return await onward(call)
        heard.append(call.params[0])
        return {"result": "0x" + keccak(bytes.fromhex(call.params[0][2:])).hex()}

    return rule


def delaying(delay_s: Callable[[str], float]) -> Rule:
    """Answer each call late by what `delay_s` says of its method."""

    async def rule(call: Call, onward: Onward) -> Reply:
        await asyncio.sleep(delay_s(call.method))
        return await onward(call)

    return rule


def dropping_nth(nth: int) -> NoteRule:
    """Lose every nth notification."""
    seen = [0]

    def rule(note: dict[str, Any]) -> list[dict[str, Any]]:
        seen[0] += 1
        return [] if seen[0] % nth == 0 else [note]

    return rule


def duplicating(note: dict[str, Any]) -> list[dict[str, Any]]:
    """Send every notification twice."""
    return [note, note]


def reordering(run: int) -> NoteRule:
    """Hold notifications back in runs, and send each run backwards."""
    held: list[dict[str, Any]] = []

    def rule(note: dict[str, Any]) -> list[dict[str, Any]]:
        held.append(note)
        if len(held) < run:
            return []
        backwards = held[::-1]
        held.clear()
        return backwards

    return rule


def truncating(every: int, keep: float = 0.5) -> Callable[[bytes], bytes]:
    """Cut every nth message off, as a broken middlebox does; for `RpcProxy.mangle`."""
    seen = [0]

    def mangle(raw: bytes) -> bytes:
        seen[0] += 1
        return raw[: int(len(raw) * keep)] if seen[0] % every == 0 else raw

    return mangle
