"""Whether a block is believed to be whole, and who is asked when it is not."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from keeper.chain.link import wire
from keeper.chain.link.transport import Rpc
from keeper.chain.sealing.blocks import BlockReader
from keeper.chain.sealing.completeness import Watchlist, bloom_of
from keeper.domain.errors import EndpointUnreachable, MalformedReply, RpcError
from tests.unit.chain.fake_chain import OTHER, WATCHED, FakeChain


Answer = Callable[[str, Sequence[Any]], Any]


class Copy(FakeChain):
    """Another node on the same chain, with its own answers."""

    def __init__(self, chain: FakeChain, name: str) -> None:
        super().__init__()
        self.known, self.logs, self.canonical = chain.known, chain.logs, chain.canonical
        self.name = name


def chained(logs: int = 3) -> tuple[FakeChain, str]:
    chain = FakeChain()
    chain.mine(1, logs=logs)
    return chain, chain.canonical[-1]


def reader(chain: FakeChain, *witnesses: Rpc, watched: Sequence[str] = (WATCHED,)) -> BlockReader:
    return BlockReader(chain, Watchlist(watched), 1.0, lambda: witnesses)


def changing(chain: FakeChain, method: str, change: Callable[[Any], Any]) -> None:
    def answer(asked: str, params: Sequence[Any]) -> Any:
        truth = chain.truth(asked, params)
        return change(truth) if asked == method else truth

    chain.answer = answer


def raising(_: Any) -> Any:
    raise EndpointUnreachable("witness", "gone")


async def test_an_empty_answer_against_the_bloom_is_decided_by_another_endpoint() -> None:
    chain, block = chained()
    witness = Copy(chain, "witness")
    changing(chain, "eth_getLogs", lambda _: [])
    blocks = reader(chain, witness)
    full = await blocks.full(block)
    assert full is not None
    assert len(full.logs) == 3
    assert (blocks.doubts, blocks.refuted) == (1, 1)
    assert "eth_getBlockReceipts" not in chain.asked


@pytest.mark.parametrize("change", [lambda _: [], raising, lambda _: {"no": "list"}])
async def test_where_the_other_endpoint_is_no_help_the_receipts_decide(change: Any) -> None:
    chain, block = chained()
    witness = Copy(chain, "witness")
    changing(chain, "eth_getLogs", lambda _: [])
    changing(witness, "eth_getLogs", change)
    full = await reader(chain, witness).full(block)
    assert full is not None
    assert len(full.logs) == 3
    assert "eth_getBlockReceipts" in chain.asked


async def test_an_answer_that_lacks_one_address_is_doubted_too() -> None:
    chain, block = chained()
    changing(chain, "eth_getLogs", lambda logs: [log for log in logs if log["address"] == WATCHED])
    blocks = reader(chain, watched=(WATCHED, OTHER))
    full = await blocks.full(block)
    assert full is not None
    assert [log.address for log in full.logs] == [WATCHED, OTHER] * 3
    assert (blocks.doubts, blocks.refuted) == (1, 1)


async def test_a_log_the_bloom_does_not_hold_is_a_lie() -> None:
    chain, block = chained(logs=0)
    donor, made = chained()
    moved = [{**log, "blockHash": block} for log in donor.logs[made][:1]]
    changing(chain, "eth_getLogs", lambda _: moved)
    with pytest.raises(MalformedReply, match="bloom does not hold"):
        await reader(chain).full(block)


async def test_receipts_that_do_not_add_up_to_the_bloom_decide_nothing() -> None:
    chain, block = chained()
    changing(chain, "eth_getLogs", lambda _: [])
    truth = chain.answer

    def answer(method: str, params: Sequence[Any]) -> Any:
        said = truth(method, params)
        return said[:1] if method == "eth_getBlockReceipts" else said

    chain.answer = answer
    with pytest.raises(MalformedReply, match="add up"):
        await reader(chain).full(block)


async def test_every_so_many_whole_answers_one_is_held_against_the_receipts() -> None:
    chain = FakeChain()
    chain.mine(8, logs=3)
    blocks = BlockReader(chain, Watchlist([WATCHED]), 1.0, receipts_every_blocks=4)
    for block in chain.canonical[1:]:
        assert await blocks.full(block) is not None
    assert (blocks.sampled, blocks.refuted) == (2, 0)


async def test_a_node_whose_answers_were_cut_is_held_against_the_receipts_from_then_on() -> None:
    chain = FakeChain()
    chain.mine(14, logs=3)
    blocks = BlockReader(chain, Watchlist([WATCHED]), 1.0, receipts_every_blocks=4)
    # One log too few of the same address: no bloom can show that, only the sample does.
    changing(chain, "eth_getLogs", lambda logs: logs[:-1])
    counts = [len((await blocks.full(block)).logs) for block in chain.canonical[1:9]]  # type: ignore[union-attr]
    assert counts == [2, 2, 2, 3, 3, 3, 3, 3]
    assert blocks.refuted == 5
    chain.answer = chain.truth
    asked = chain.asked.count("eth_getBlockReceipts")
    for block in chain.canonical[9:15]:
        assert await blocks.full(block) is not None
    assert chain.asked.count("eth_getBlockReceipts") == asked + 4


async def test_logs_marked_as_removed_are_never_taken() -> None:
    chain, block = chained()
    changing(chain, "eth_getLogs", lambda logs: [{**log, "removed": True} for log in logs])
    with pytest.raises(MalformedReply, match="taken back"):
        await reader(chain).full(block)


async def test_too_many_results_for_one_block_are_read_from_the_receipts() -> None:
    chain, block = chained()
    error = RpcError("watch", -32005, "query returned more than 10000 results")
    changing(chain, "eth_getLogs", lambda _: error)
    full = await reader(chain).full(block)
    assert full is not None
    assert len(full.logs) == 3


def test_a_full_bloom_is_believed_where_anything_was_found() -> None:
    watched = Watchlist([WATCHED, OTHER])
    chain, block = chained()
    blocks = reader(chain)
    raw = chain.logs[block]
    logs = [log for _, _, log in _read(raw)]
    some = [log for log in logs if log.address == WATCHED]
    assert watched.unheard(bloom_of(logs), some)
    assert not watched.unheard((1 << 2048) - 1, some)
    assert watched.unheard((1 << 2048) - 1, [])
    assert blocks.watched.addresses == (WATCHED,)


def _read(raw: list[dict[str, Any]]) -> Any:
    return wire.logs("test", raw)
