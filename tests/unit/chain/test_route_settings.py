"""A configuration of routes comes to a book of them, or is refused with a cure."""

from contextlib import AsyncExitStack

import pytest

from keeper.chain.routes.book import RoutePolicy
from keeper.chain.routes.relay import RelayIdentity
from keeper.chain.routes.routing import PublicRoute
from keeper.chain.routes.settings import RouteSettings, load_identity, open_book
from keeper.domain.errors import ConfigError, KeyFileError
from tests.unit.chain.fake_node import FakeNode
from tests.unit.chain.lane_bench import attempt


URL = "http://127.0.0.1:1/secret-token"
IDENTITY = RelayIdentity(bytes(range(1, 33)))
ALL = tuple(
    RouteSettings(kind, kind, URL)
    for kind in ("private_transaction", "bundle", "mev_blocker", "sequencer")
)


async def test_each_kind_is_opened_and_stands_on_its_side() -> None:
    node = FakeNode()
    async with AsyncExitStack() as stack:
        book = await open_book([PublicRoute(node)], ALL, IDENTITY, RoutePolicy(), stack)
        book.see(10)
        private = {route.name for route in book.choose(attempt())}
        assert private == {"private_transaction", "bundle", "mev_blocker"}
        book.see(13)
        assert {route.name for route in book.choose(attempt())} == private | {
            "sequencer",
            node.name,
        }


@pytest.mark.parametrize(
    ("settings", "identity", "policy"),
    [
        (ALL[:1], None, RoutePolicy()),
        ((*ALL, ALL[0]), IDENTITY, RoutePolicy()),
    ],
)
async def test_a_configuration_that_cannot_work_is_refused(settings, identity, policy) -> None:
    async with AsyncExitStack() as stack:
        with pytest.raises(ConfigError) as caught:
            await open_book([PublicRoute(FakeNode())], settings, identity, policy, stack)
    assert "secret-token" not in str(caught.value)


async def test_without_a_public_node_there_is_no_falling_back_to_one() -> None:
    async with AsyncExitStack() as stack:
        with pytest.raises(ConfigError):
            await open_book([], ALL[:1], IDENTITY, RoutePolicy(), stack)
        never = RoutePolicy(public_ever=False)
        book = await open_book([], ALL[:1], IDENTITY, never, stack)
        book.see(10_000)
        assert len(book.choose(attempt())) == 1
        with pytest.raises(ConfigError):
            await open_book([], (), None, never, stack)


def test_a_urls_secret_is_in_no_repr() -> None:
    assert "secret" not in repr(ALL)


@pytest.mark.parametrize("text", ["", "zz", "11" * 31, "00" * 32])
def test_an_identity_that_is_no_key_is_refused_without_its_text(tmp_path, text: str) -> None:
    path = tmp_path / "relay.key"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(KeyFileError) as caught:
        load_identity(str(path))
    assert not text or text not in str(caught.value)


def test_an_identity_is_read_from_a_file_of_ours_alone(tmp_path) -> None:
    path = tmp_path / "relay.key"
    path.write_text("0x" + bytes(range(1, 33)).hex() + "\n")
    path.chmod(0o600)
    assert load_identity(str(path)).address == IDENTITY.address
    path.chmod(0o644)
    with pytest.raises(KeyFileError):
        load_identity(str(path))
