"""A block read out of the bytes of an answer is the block: sealed, in the journal, and folded."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from keeper.chain.sealing.blocks import BlockReader
from keeper.chain.sealing.completeness import Watchlist
from keeper.domain import codec
from keeper.domain.events import Entry, Log
from keeper.domain.logs import Logs
from keeper.machine import Machine
from keeper.protocols.derive.abi import TOPIC
from keeper.venue import fold_each
from tests.performance.busy_block import BusyChain
from tests.performance.chain_bench import Answered
from tests.simulation.sim_chain import Block
from tests.unit.domain.columnar import columnar


# Were it ours it could not be decoded, and would halt the venue.
STRANGER = Log("0x" + "99" * 20, (TOPIC["BalanceAdjusted"],), "0x01", 0, "0x" + "88" * 32)


class World:
    """A busy block, and machines that stand before it."""

    def __init__(self, seed: int) -> None:
        self.busy = BusyChain(60, seed)
        self.machines = [self.busy.machine() for _ in range(3)]
        self.block: Block = self.busy.mine(600)

    async def read(self) -> Sequence[Log]:
        """Return the watched logs as the link reads them."""
        watched = self.machines[0].venues[0].watch()
        reader = BlockReader(Answered(self.busy.answer(self.block, watched)), Watchlist(watched), 1)
        full = await reader.full(self.block.hash)
        assert full is not None
        return full.logs

    def fold(self, machine: Machine, logs: Sequence[Log]) -> None:
        machine.fold(Entry(1, 0, replace(self.block.sealed(), logs=logs)))

    def fold_one_by_one(self, machine: Machine, logs: Sequence[Log]) -> None:
        self.fold(machine, ())
        fold_each(machine.venues[0], logs, self.block.sealed())


@pytest.mark.parametrize("seed", range(3))
async def test_a_block_read_out_of_the_bytes_folds_as_its_logs_do_one_by_one(seed: int) -> None:
    world = World(seed)
    before = world.machines[0].portfolio.contents()
    logs = await world.read()
    plain = world.block.logs
    assert isinstance(logs, Logs)
    assert logs == plain
    columns, whole, single = world.machines
    world.fold(columns, logs)
    world.fold(whole, plain)
    world.fold_one_by_one(single, plain)
    after = single.portfolio.contents()
    assert after != before
    assert columns.portfolio.contents() == whole.portfolio.contents() == after
    for machine in world.machines:
        machine.portfolio.undo.rewind(world.busy.first.number, world.busy.first.hash)
        assert machine.portfolio.contents() == before


async def test_the_journal_of_a_block_read_out_of_the_bytes_is_that_of_its_logs() -> None:
    world = World(7)
    sealed = world.block.sealed()
    lines = [
        codec.canonical(codec.encode_entry(Entry(1, 0, replace(sealed, logs=logs))))
        for logs in (await world.read(), world.block.logs)
    ]
    assert lines[0] == lines[1]
    assert codec.decode_entry(codec.parse(lines[0], "test", 1)).event == sealed


def test_the_logs_of_strangers_fold_nothing_of_a_venues() -> None:
    world = World(8)
    ours, others, _ = world.machines
    world.fold(ours, world.block.logs)
    world.fold(others, columnar([STRANGER, *world.block.logs, STRANGER]))
    assert ours.portfolio.contents() == others.portfolio.contents()
    assert not ours.gates.halted(ours.venues[0].name)
    assert not others.gates.halted(others.venues[0].name)
