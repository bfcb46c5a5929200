"""The node that the unit tests of the sending side share."""

import pytest

from tests.unit.chain.fake_node import FakeNode


@pytest.fixture
def node() -> FakeNode:
    """A fake node, three blocks old."""
    made = FakeNode()
    made.mine(3)
    return made
