"""Rules in motion as nothing but a look tells them: code, proxies' slots, owners, heartbeats. Pure.

What to ask at a block, and how the answers read; whoever asks compares them with what stood there
before. In the manner of `survey`; what logs tell is `authority`'s.
"""

from collections.abc import Sequence
from typing import Final

from keeper.domain.units import Address
from keeper.protocols.derive.abi import call
from keeper.protocols.derive.tables import DIFF, FORWARD, RATE, SPOT, VOL, DeriveTables, FeedRow
from keeper.protocols.derive.views.survey import Answer, Ask, read
from keeper.protocols.derive.words import Unfit, address


# EIP-1967: keccak of "eip1967.proxy.implementation" and of "eip1967.proxy.beacon", less one.
SLOTS: Final = {
    "implementation": "0x360894a13ba1a3210667c828492db98dca3e2076cc3735a920a3ca505d382bbc",
    "beacon": "0xa3f0ad74e5423aebfd80d3ef4346578335a9a72aeaee59ff6cb3582b35133d50",
}
PUSHED: Final = (SPOT, DIFF, FORWARD, VOL, RATE)


def standing_asks(contract: Address) -> list[Ask]:
    """Return what to ask of any contract: who may change it."""
    return [(contract, call("owner")), (contract, call("guardian"))]


def standing(answers: Sequence[Answer]) -> dict[str, str]:
    """Return owner and guardian as they read; a contract that knows no such word has none."""
    return {
        word: _address(answer) for word, answer in zip(("owner", "guardian"), answers, strict=True)
    }


def _address(answer: Answer) -> str:
    if answer is None or len(answer) < 32:
        return "none"
    try:
        return address(answer)
    except Unfit:
        return f"0x{answer[:32].hex()}"


def heartbeat_asks(tables: DeriveTables) -> list[Ask]:
    """Return what to ask of feeds whose rules change without a log, for `heartbeat_changes`."""
    asked = [(feed, call("heartbeat")) for feed, _ in _pushed(tables)]
    forwards = [feed for feed, row in _pushed(tables) if row.kind == FORWARD]
    return [*asked, *((feed, call("settlementHeartbeat")) for feed in forwards)]


def heartbeat_changes(tables: DeriveTables, answers: Sequence[Answer]) -> list[tuple[Address, str]]:
    """Return (feed, change) where a feed's answer is not what we hold; raises ChainMismatch."""
    pushed = _pushed(tables)
    held = [(feed, "heartbeat", row.heartbeat_s) for feed, row in pushed]
    held += [
        (feed, "settlementHeartbeat", row.settlement_heartbeat_s)
        for feed, row in pushed
        if row.kind == FORWARD
    ]
    found = []
    for (feed, view, ours), answer in zip(held, answers, strict=True):
        theirs = read(feed, view, answer, "u64")[0]
        if theirs != ours:
            found.append((feed, f"{view} {ours} s -> {theirs} s"))
    return found


def _pushed(tables: DeriveTables) -> list[tuple[Address, FeedRow]]:
    """Return the feeds that grow old, in address order."""
    return [(feed, row) for feed, row in tables.feeds.items() if row.kind in PUSHED]
