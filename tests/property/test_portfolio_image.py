"""A state that was saved and loaded is the state that was folded, and goes on like it."""

from hypothesis import given, settings

from keeper.portfolio.image import Label, cut, decode, encode, fill
from tests.property.test_portfolio_undo import BLOCKS, WRITES, World, Write


class Loaded(World):
    """A world begun from another one's image."""

    def __init__(self, world: World) -> None:
        tip = world.portfolio.tip
        assert tip is not None
        parts, digest = encode(cut(world.portfolio), Label("1", 1, "venues", *tip))
        super().__init__()
        self.portfolio = type(self.portfolio)()
        self.table = self.portfolio.table("rows", self.table.row)
        self.column = self.portfolio.column("exact")
        image, read = decode(b"".join(parts), "a file")
        assert read == digest
        fill(self.portfolio, image)


@given(before=BLOCKS, after=BLOCKS)
@settings(max_examples=150, deadline=None)
def test_a_loaded_state_is_the_folded_one_and_folds_on_and_back_like_it(
    before: list[list[Write]], after: list[list[Write]]
) -> None:
    folded = World()
    for number, writes in enumerate(before, 1):
        folded.block(number, writes)
    loaded = Loaded(folded)
    stood = loaded.seen()
    assert stood == folded.seen()
    for number, writes in enumerate(after, len(before) + 1):
        for world in (folded, loaded):
            world.block(number, writes)
        assert loaded.seen() == folded.seen()
    loaded.portfolio.undo.rewind(len(before), f"0x{len(before)}")
    assert loaded.seen() == stood


@given(writes=WRITES)
@settings(max_examples=50, deadline=None)
def test_a_copy_does_not_move_with_the_state(writes: list[Write]) -> None:
    world = World()
    world.block(1, [("position", 0, 0, 5), ("column", 0, 0, 7), ("set", 0, 0, 9)])
    taken = cut(world.portfolio)
    before, _ = encode(taken, Label("1", 1, "venues", 1, "0x1"))
    whole = b"".join(before)
    world.block(2, writes)
    again, _ = encode(taken, Label("1", 1, "venues", 1, "0x1"))
    assert b"".join(again) == whole
