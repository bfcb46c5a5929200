"""What `[[routes]]` may say, and the book of routes it comes to.

Knows each kind's class, and where the reputation key lies; the keys of lanes are no business of it.
"""

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import ClassVar, Final, Literal

from keeper.chain.keys.secret_files import read_secret
from keeper.chain.link.http import RpcHttp
from keeper.chain.routes.book import RouteBook, RoutePolicy
from keeper.chain.routes.nodes import MevBlockerRoute, SequencerRoute
from keeper.chain.routes.relay import (
    PRIVATE_BLOCKS_MAX,
    BundleRoute,
    PrivateTransactionRoute,
    RelayClient,
    RelayIdentity,
)
from keeper.chain.routes.routing import Route
from keeper.domain.errors import ConfigError, KeeperError, KeyFileError


Kind = Literal["private_transaction", "bundle", "mev_blocker", "sequencer"]
SIGNED: Final = ("private_transaction", "bundle")
KEY_DIGITS: Final = 64
PRIVATE: Final = (*SIGNED, "mev_blocker")


@dataclass(frozen=True, slots=True)
class RouteSettings:
    """One route besides the public nodes of `[chain] send_urls`; its URL may hold a secret.

    `blocks` is for how many blocks a private transaction is to be tried.
    """

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    name: str
    kind: Kind
    route_url: str = field(repr=False)
    deadline_ms: int = 2_000
    blocks: int = PRIVATE_BLOCKS_MAX


def load_identity(reference: str) -> RelayIdentity:
    """Read the reputation key, 32 bytes as hex, as keys are read; raises KeyFileError."""
    text = read_secret(reference).strip().removeprefix("0x")
    # The library would fill up what is missing of a key.
    cure = "write 64 hex digits of a key that holds no money"
    if len(text) != KEY_DIGITS:
        raise KeyFileError(reference, "holds no valid key", cure)
    try:
        return RelayIdentity(bytes.fromhex(text))
    except ValueError:
        raise KeyFileError(reference, "holds no valid key", cure) from None


async def open_book(
    nodes: Sequence[Route],
    settings: Sequence[RouteSettings],
    identity: RelayIdentity | None,
    policy: RoutePolicy,
    stack: AsyncExitStack,
    report: Callable[[str, KeeperError], None] | None = None,
) -> RouteBook:
    """Return all routes, their connections open until the stack ends; raises ConfigError.

    `nodes` are the public ones of `[chain]`. A sequencer hides nothing and stands with them: it is
    asked at once, too. `report` is told of routes that only an operator can mend.
    """
    names = [*(node.name for node in nodes), *(each.name for each in settings)]
    if len(set(names)) != len(names):
        raise ConfigError("routes", names, "give each route a name of its own")
    public = list(nodes)
    private: list[Route] = []
    for each in settings:
        route = await _open(each, identity, stack)
        (private if each.kind in PRIVATE else public).append(route)
    if not public and not private:
        raise ConfigError("routes", (), "name a route or a node to send to")
    if not public and policy.public_ever:
        cure = "name a public node to fall back to, or say false"
        raise ConfigError("public_ever", policy.public_ever, cure)
    return RouteBook(public, private, policy, report)


async def _open(
    settings: RouteSettings, identity: RelayIdentity | None, stack: AsyncExitStack
) -> Route:
    deadline_s = settings.deadline_ms / 1_000
    if settings.kind in SIGNED:
        if identity is None:
            raise ConfigError("routes", settings.name, "give the reputation key's file")
        client = RelayClient(settings.name, settings.route_url, identity)
        relay = await stack.enter_async_context(client)
        if settings.kind == "bundle":
            return BundleRoute(relay, deadline_s)
        return PrivateTransactionRoute(relay, settings.blocks, deadline_s)
    rpc = await stack.enter_async_context(RpcHttp(settings.name, settings.route_url))
    if settings.kind == "sequencer":
        return SequencerRoute(rpc, deadline_s)
    return MevBlockerRoute(rpc, deadline_s)
