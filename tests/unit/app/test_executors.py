"""What a check and an activation learn of an executor contract before money depends on it."""

from __future__ import annotations

from typing import Any

import pytest
from eth_hash.auto import keccak

from keeper.app.leave.executors import standings
from tests.unit.app.chain_answers import HEAD, OWNER, Answers
from tests.unit.app.documents import configured


LANES = ("0x" + 40 * "1", "0x" + 40 * "2")
EXECUTOR = "0x" + 40 * "e"


async def complaint(config: Any = None, **changes: Any) -> str:
    """What is said of an executor that is right but for the changes."""
    reader = Answers(LANES)
    for name, value in changes.items():
        setattr(reader, name, value)
    chosen = config or configured(venue={"executor": EXECUTOR})
    (found,) = await standings(chosen, reader, HEAD.hash, LANES)
    return found.complaint(LANES)


async def test_an_executor_as_it_should_be_is_not_complained_of() -> None:
    reader = Answers(LANES)
    helped = configured(venue={"executor": EXECUTOR, "auction_utils": "0x" + 40 * "a"})
    (found,) = await standings(helped, reader, HEAD.hash, LANES)
    assert found.complaint(LANES) == ""
    assert found.code_hash == "0x" + keccak(bytes.fromhex("6001")).hex()
    assert (found.owner, found.calls) == (OWNER, ("bid", "advancedBid"))


async def test_without_an_executor_nothing_is_asked() -> None:
    assert await standings(configured(), Answers(LANES), HEAD.hash, LANES) == []


@pytest.mark.parametrize(
    ("changes", "cure"),
    [
        ({"paused": True}, "resume()"),
        ({"lanes": LANES[:1]}, f"may not be used by {LANES[1]}"),
        ({"leave": False}, "setPermission"),
        ({"owner": LANES[0]}, "kept cold"),
        ({"silent": True}, "does not answer as an executor"),
    ],
)
async def test_what_would_refuse_every_bid_is_named_with_its_cure(
    changes: dict[str, Any], cure: str
) -> None:
    assert cure in await complaint(**changes)
