import json
from typing import Any

import aiohttp
import pytest
from eth_account import Account
from eth_hash.auto import keccak

from tests.world.relay import Manners, Relay, relay, signature_header


KEY = "0x" + "22" * 32
RAW = "0x02" + "ab" * 100


async def ask(
    at: Relay, method: str, asked: dict[str, Any], *, key: str = KEY, spoil: bytes = b""
) -> tuple[int, Any]:
    body = json.dumps({"jsonrpc": "2.0", "id": 7, "method": method, "params": [asked]}).encode()
    headers = {"X-Flashbots-Signature": signature_header(key, body)}
    async with (
        aiohttp.ClientSession() as session,
        session.post(at.url, data=body + spoil, headers=headers) as response,
    ):
        return response.status, json.loads(await response.text())


async def test_a_bundle_is_taken_for_one_block() -> None:
    async with relay() as at:
        at.head = 9
        _, reply = await ask(at, "eth_sendBundle", {"txs": [RAW, RAW], "blockNumber": "0xa"})
        transaction = keccak(bytes.fromhex(RAW[2:]))
        assert reply["result"]["bundleHash"] == "0x" + keccak(transaction * 2).hex()
        assert (at.due(10), at.due(11)) == ([RAW, RAW], [])
        assert at.taken[0].signer == Account.from_key(KEY).address


async def test_a_private_transaction_is_tried_until_its_last_block_and_cancelled_by_its_key() -> (
    None
):
    async with relay() as at:
        asked = {"tx": RAW, "maxBlockNumber": "0x3"}
        _, reply = await ask(at, "eth_sendPrivateTransaction", asked)
        assert [number for number in range(6) if at.due(number)] == [1, 2, 3]
        cancel = {"txHash": reply["result"]}
        _, foreign = await ask(at, "eth_cancelPrivateTransaction", cancel, key="0x" + "23" * 32)
        assert "key" in foreign["error"]["message"]
        _, done = await ask(at, "eth_cancelPrivateTransaction", cancel)
        assert (done["result"], at.due(2)) == (True, [])


async def test_the_signature_must_be_over_the_exact_bytes() -> None:
    async with relay() as at:
        bundle = {"txs": [RAW], "blockNumber": "0xa"}
        _, reply = await ask(at, "eth_sendBundle", bundle, spoil=b" ")
        assert "not over these bytes" in reply["error"]["message"]
        async with aiohttp.ClientSession() as session:
            async with session.post(at.url, data=b"{}") as response:
                assert "no X-Flashbots-Signature" in await response.text()
            broken = {"X-Flashbots-Signature": "0x12:0x34"}
            async with session.post(at.url, data=b"{}", headers=broken) as response:
                assert "cannot be read" in await response.text()
        assert not at.taken


@pytest.mark.parametrize(
    ("bundle", "words"),
    [
        ({"blockNumber": "0xa"}, "missing txs"),
        ({"txs": [RAW] * 101, "blockNumber": "0xa"}, "too many"),
        ({"txs": ["0x" + "00" * 300_001], "blockNumber": "0xa"}, "too large"),
        ({"txs": [RAW], "blockNumber": 10}, "hex quantity"),
        ({"txs": [RAW], "blockNumber": "0x0"}, "in the past"),
    ],
)
async def test_a_bundle_out_of_bounds_is_refused(bundle: dict[str, Any], words: str) -> None:
    async with relay() as at:
        _, reply = await ask(at, "eth_sendBundle", bundle)
        assert words in reply["error"]["message"]


async def test_it_rejects_and_lies_as_told() -> None:
    bundle = {"txs": [RAW], "blockNumber": "0xa"}
    async with relay(Manners(reject="busy")) as at:
        assert (await ask(at, "eth_sendBundle", bundle))[1]["error"]["message"] == "busy"
        at.manners.conformant = False
        assert await ask(at, "eth_sendBundle", bundle) == (400, {"error": "busy"})
    async with relay(Manners(lie=True, wrong_hash=True)) as at:
        _, reply = await ask(at, "eth_sendBundle", bundle)
        assert reply["result"]["bundleHash"] == "0x" + "66" * 32
        assert not at.due(10)
    async with relay(Manners(garbage=b"[1, 2]", status=502)) as at:
        assert await ask(at, "eth_sendBundle", bundle) == (502, [1, 2])
