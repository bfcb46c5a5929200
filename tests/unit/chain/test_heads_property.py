"""Whatever the chain and the notifications do, what is posted folds to the node's branch."""

import asyncio
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.chain.fake_chain import FakeChain
from tests.unit.chain.test_heads import START, Following, chain_of, following


def _reorg(chain: FakeChain, depth: int, tell: bool) -> None:
    undoable = len(chain.canonical) - 1 - START
    chain.reorg(min(depth, undoable), longer=1, tell=tell)


def _rewind(chain: FakeChain, depth: int, tell: bool) -> None:
    undoable = len(chain.canonical) - 1 - START
    if undoable:
        chain.rewind(min(depth, undoable))


def _mine(chain: FakeChain, blocks: int, tell: bool) -> None:
    chain.mine(blocks, logs=blocks % 3, tell=tell)


def _repeat(chain: FakeChain, back: int, tell: bool) -> None:
    blocks = list(chain.known)[-back:]
    for block in reversed(blocks) if tell else blocks:
        chain.tell(chain.known[block])


def _cut(chain: FakeChain, _: int, tell: bool) -> None:
    if tell:
        chain.cut()


Step = tuple[Callable[[FakeChain, int, bool], None], int, bool, bool]
_steps = st.lists(
    st.tuples(
        st.sampled_from([_reorg, _rewind, _mine, _mine, _repeat, _cut]),
        st.integers(1, 5),
        st.booleans(),
        st.booleans(),
    ),
    max_size=14,
)


async def _drive(it: Following, steps: list[Step]) -> None:
    for step, count, tell, pause in steps:
        if len(it.chain.canonical) < START + 9:  # so that no rewind leaves the undo window
            step(it.chain, count, tell)
        if pause:
            await asyncio.sleep(0.002)
    it.chain.mine()
    await it.caught_up()


@settings(max_examples=120, deadline=None)
@given(_steps)
def test_what_is_posted_folds_to_the_nodes_branch(steps: list[Step]) -> None:
    async def run() -> None:
        async with following(chain=chain_of(START)) as it:
            await _drive(it, steps)

    asyncio.run(run())
