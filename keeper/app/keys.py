"""The lanes' keys: a file, a remote signer or AWS KMS each, opened under the same policy.

Nothing is read before the process has denied itself core dumps and readers.
"""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import aiohttp

from keeper.app.assembly import targets
from keeper.chain.keys.hardening import deny_dumps
from keeper.chain.keys.kms import KmsKey, open_client
from keeper.chain.keys.remote_signer import HttpKey, RemoteSigner, find_key
from keeper.chain.keys.secret_files import read_secret
from keeper.chain.keys.signer import Signer, load_signer
from keeper.chain.keys.signing_policy import SigningPolicy
from keeper.config import Config, LaneSection
from keeper.config.lanes import key_name
from keeper.domain.errors import ChainMismatch, ConfigError, EndpointError, KeyFileError
from keeper.domain.units import Address
from keeper.runtime.clock import SystemClock


SIGNATURES_AT_ONCE_MAX = 64

Open = Callable[[Config, int, LaneSection, AsyncExitStack], Awaitable[Signer]]


async def load_signers(config: Config, stack: AsyncExitStack) -> list[Signer]:
    """Open every lane's key; connections stay open until the stack ends.

    Raises KeyFileError, ConfigError where KMS cannot be used here, ChainMismatch where two lanes
    are one.
    """
    signers: list[Signer] = []
    if config.lanes:
        deny_dumps()
    for number, lane in enumerate(config.lanes):
        signer = await _opener(lane)(config, number, lane, stack)
        if any(signer.address == other.address for other in signers):
            cure = "give each lane its own key"
            raise ChainMismatch(key_name(number, lane), "a new sender", signer.address, cure)
        signers.append(signer)
    return signers


def _opener(lane: LaneSection) -> Open:
    if lane.remote_signer_url is not None:
        return _remote
    return _kms if lane.kms_key_id is not None else _file


async def _file(config: Config, number: int, lane: LaneSection, _: AsyncExitStack) -> Signer:
    if lane.key_file is None:
        raise ConfigError(f"lanes[{number}].key_file", None, "name the lane's key file")
    return await load_signer(
        lane.key_file,
        lane.password_file,
        config.chain.chain_id,
        targets(config),
        config.signing,
        SystemClock(),
    )


async def _remote(config: Config, number: int, lane: LaneSection, stack: AsyncExitStack) -> Signer:
    url, address = lane.remote_signer_url or "", _address(number, lane)
    headers = {}
    if lane.remote_signer_token_file is not None:
        token = read_secret(lane.remote_signer_token_file).strip()
        headers["Authorization"] = f"Bearer {token}"
    connector = aiohttp.TCPConnector(limit=SIGNATURES_AT_ONCE_MAX)
    session = await stack.enter_async_context(
        aiohttp.ClientSession(connector=connector, headers=headers)
    )
    try:
        name = await find_key(session, url, address)
    except EndpointError as error:
        raise _unusable(number, lane, error) from error
    return RemoteSigner(HttpKey(session, url, name), address, _policy(config, address))


async def _kms(config: Config, number: int, lane: LaneSection, _: AsyncExitStack) -> Signer:
    key_id, address = lane.kms_key_id or "", _address(number, lane)
    key = KmsKey(open_client(lane.kms_region, key_name(number, lane), key_id), key_id)
    try:
        actual = await key.address()
    except EndpointError as error:
        raise _unusable(number, lane, error) from error
    if actual != address:
        cure = "correct the lane's address or its kms_key_id"
        raise ChainMismatch(f"lanes[{number}].address", address, actual, cure)
    return RemoteSigner(key, address, _policy(config, address))


def _address(number: int, lane: LaneSection) -> Address:
    if lane.address is None:
        raise ConfigError(f"lanes[{number}].address", None, "add the lane's address")
    return lane.address.lower()


def _policy(config: Config, address: Address) -> SigningPolicy:
    chain = config.chain.chain_id
    return SigningPolicy(address, chain, targets(config), config.signing, SystemClock())


def _unusable(number: int, lane: LaneSection, error: EndpointError) -> KeyFileError:
    cure = "start it, and see that it lets this host in"
    return KeyFileError(f"at {key_name(number, lane)}", f"cannot be used: {error.problem}", cure)
