"""A header's hash is that of its fields; whatever a node changes in them, it no longer fits."""

from typing import Any

import pytest
import rlp
from eth_hash.auto import keccak

from keeper.chain.link.header_hash import header_hash
from keeper.chain.sealing.blocks import BlockReader
from keeper.chain.sealing.completeness import Watchlist
from keeper.domain.errors import MalformedReply


# Block 1 of Ethereum's mainnet.
FIRST: dict[str, Any] = {
    "number": "0x1",
    "hash": "0x88e96d4537bea4d9c05d12549907b32561d3bf31f45aae734cdc119f13406cb6",
    "parentHash": "0xd4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3",
    "sha3Uncles": "0x1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347",
    "miner": "0x05a56e2d52c817161883f50c441c3228cfe54d9f",
    "stateRoot": "0xd67e4d450343046425ae4271474353857ab860dbc0a1dde64b41b5cd3a532bf3",
    "transactionsRoot": "0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421",
    "receiptsRoot": "0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421",
    "logsBloom": "0x" + 512 * "0",
    "difficulty": "0x3ff800000",
    "gasLimit": "0x1388",
    "gasUsed": "0x0",
    "timestamp": "0x55ba4224",
    "extraData": "0x476574682f76312e302e302f6c696e75782f676f312e342e32",
    "mixHash": "0x969b900de27b6ac6a67742365dd65f55a0526c41fd18e1b16f1a1215c2e66f59",
    "nonce": "0x539bd4979fef1ec4",
}
LATER: dict[str, Any] = {
    "baseFeePerGas": "0x7",
    "withdrawalsRoot": "0x" + 32 * "01",
    "blobGasUsed": "0x0",
    "excessBlobGas": "0x20000",
    "parentBeaconBlockRoot": "0x" + 32 * "02",
    "requestsHash": "0x" + 32 * "03",
}
HASHED = [name for name in FIRST if name != "hash"]
NUMBERS = (
    "difficulty", "number", "gasLimit", "gasUsed", "timestamp", "baseFeePerGas", "blobGasUsed",
    "excessBlobGas",
)  # fmt: skip
ORDER = (
    "parentHash", "sha3Uncles", "miner", "stateRoot", "transactionsRoot", "receiptsRoot",
    "logsBloom", "difficulty", "number", "gasLimit", "gasUsed", "timestamp", "extraData", "mixHash",
    "nonce", *LATER,
)  # fmt: skip


def by_rlp(header: dict[str, Any]) -> str:
    """Return the hash by another's encoder."""
    fields = [
        int(header[name], 16) if name in NUMBERS else bytes.fromhex(header[name][2:])
        for name in ORDER
        if name in header
    ]
    return "0x" + keccak(rlp.encode(fields)).hex()


def test_mainnet_s_first_block_has_its_hash() -> None:
    assert header_hash(FIRST) == FIRST["hash"]


@pytest.mark.parametrize("forks", range(len(LATER) + 1))
def test_fields_of_later_forks_are_hashed_as_rlp_says(forks: int) -> None:
    header = FIRST | dict(list(LATER.items())[:forks])
    assert header_hash(header) == by_rlp(header)


@pytest.mark.parametrize("number", [0, 1, 127, 128, 255, 256, 2**64 - 1, 2**255])
def test_numbers_are_hashed_without_zeros_ahead(number: int) -> None:
    header = FIRST | {"gasUsed": hex(number)}
    assert header_hash(header) == by_rlp(header)


@pytest.mark.parametrize("data", ["0x", "0x00", "0x7f", "0x80", "0x" + 55 * "ab", "0x" + 56 * "ab"])
def test_short_and_long_extra_data_is_hashed_as_rlp_says(data: str) -> None:
    header = FIRST | {"extraData": data}
    assert header_hash(header) == by_rlp(header)


@pytest.mark.parametrize("name", [*HASHED, *LATER])
def test_a_field_that_was_changed_or_left_out_does_not_fit_any_more(name: str) -> None:
    header = FIRST | LATER
    whole = header_hash(header)
    changed = header[name][:-1] + ("0" if header[name][-1] != "0" else "1")
    assert header_hash(header | {name: changed}) not in (whole, None)
    left = {key: value for key, value in header.items() if key != name}
    assert header_hash(left) != whole


@pytest.mark.parametrize("odd", [None, 5, "", "0x", "zz", "0xzz", [], {}, "0x" + 10_000 * "ab"])
def test_what_is_no_header_has_no_hash(odd: Any) -> None:
    assert header_hash(odd) is None
    assert header_hash(FIRST | {"number": odd}) is None


class Answers:
    """An Rpc that gives one header for whatever is asked."""

    name = "node"

    def __init__(self, header: dict[str, Any]) -> None:
        self._header = header

    async def call(self, method: str, params: Any, *, deadline_s: float) -> Any:
        return self._header

    async def batch(self, calls: Any, *, deadline_s: float) -> list[Any]:
        return [self._header for _ in calls]


@pytest.mark.parametrize("hashed", [True, False])
async def test_a_header_that_does_not_have_its_hash_is_an_endpoint_s_fault(hashed: bool) -> None:
    forged = FIRST | {"timestamp": "0x1"}
    blocks = BlockReader(Answers(forged), Watchlist([]), 1.0, hashed=hashed)
    if not hashed:
        assert (await blocks.full(FIRST["hash"])) is not None
        return
    for asked in (blocks.full(FIRST["hash"]), blocks.header(FIRST["hash"]), blocks.range(1, 1)):
        with pytest.raises(MalformedReply, match="does not have its hash"):
            await asked
    assert blocks.denied == 3


async def test_a_header_that_has_its_hash_is_believed() -> None:
    blocks = BlockReader(Answers(FIRST), Watchlist([]), 1.0, hashed=True)
    full = await blocks.full(FIRST["hash"])
    assert full is not None
    assert full.header.timestamp == 0x55BA4224
    assert blocks.denied == 0
