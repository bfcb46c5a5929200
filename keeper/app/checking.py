"""`keeper check`: everything a run would need, looked at one by one, each with its cure.

Sends nothing and writes nothing.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from keeper.app.assembly import Places, assemble, contracts
from keeper.app.keys import load_signers
from keeper.app.leave.activating import activation_of, difference
from keeper.app.leave.executors import standings
from keeper.app.links import open_link
from keeper.app.oracles import oracle_faults
from keeper.chain.link.endpoints import Role
from keeper.chain.link.reader import NodeReader
from keeper.chain.link.skew import check_skew
from keeper.config import Config, describe
from keeper.config.endpoints import endpoint_configs
from keeper.domain.errors import ChainMismatch, EndpointError, KeeperError, OperatorError
from keeper.domain.units import Address, Hash
from keeper.runtime.clock import SystemClock


LANE_BALANCE_LOW_WEI = 10**17


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: what, whether it is right, and what was found (with the cure)."""

    what: str
    good: bool
    found: str
    exit_code: int = 0

    def line(self) -> str:
        """Return the finding as the operator reads it."""
        return f"{'ok  ' if self.good else 'BAD '} {self.what}: {self.found}"


async def check(config: Config) -> AsyncIterator[Finding]:
    """Look at everything in order; a later look may need an earlier one to be good."""
    yield Finding("config", True, f"{len(describe(config))} values, mode {config.keeper.mode}")
    try:
        assemble(config)
        yield Finding("strategy", True, config.strategy.name)
    except OperatorError as error:
        yield Finding("strategy", False, str(error), error.exit_code)
    yield _data_dir(Path(config.keeper.data_dir))
    async with AsyncExitStack() as stack:
        reader: NodeReader | None = None
        async for finding, found in _endpoints(config, stack):
            reader = reader or found
            yield finding
        if reader is None:
            return
        yield await _time(config, reader)
        async for finding in _contracts(config, reader):
            yield finding
        async for finding in _oracles(config, reader):
            yield finding
        async for finding in _lanes(config, reader, stack):
            yield finding


def _data_dir(path: Path) -> Finding:
    where = path if path.exists() else path.parent
    good = where.is_dir()
    found = f"{path.resolve()}" if good else f"{where.resolve()} is no folder; make it"
    return Finding("data_dir", good, found, 0 if good else 74)


async def _endpoints(
    config: Config, stack: AsyncExitStack
) -> AsyncIterator[tuple[Finding, NodeReader | None]]:
    """Connect to each endpoint; the reader is of one that answers and is on our chain."""
    for endpoint in endpoint_configs(config.chain):
        what = f"endpoint {endpoint.name}"
        reader: NodeReader | None = None
        try:
            link = open_link(endpoint)
            await stack.enter_async_context(link)
            deadline_s = config.chain.call_deadline_ms / 1000
            chain_id = int(str(await link.call("eth_chainId", [], deadline_s=deadline_s)), 16)
            told = f"chain {chain_id}"
            if endpoint.roles != (Role.SEND,):  # one that only takes bytes may know no blocks
                reader = NodeReader(link, config.reader)
                told += f", head {(await reader.header('latest')).number}"
        except (EndpointError, ValueError) as error:
            yield Finding(what, False, f"{error}; start the node or correct its URL", 66), None
            continue
        if chain_id != config.chain.chain_id:
            cure = f"chain id is {chain_id}, chain.chain_id says {config.chain.chain_id}"
            yield Finding(what, False, f"{cure}; correct one of them", 66), None
            continue
        yield Finding(what, True, told), reader


async def _time(config: Config, reader: NodeReader) -> Finding:
    """Hold our clock against the head's time."""
    head = await reader.header("latest")
    try:
        check_skew(SystemClock(), head, config.chain.clock_skew_s_max)
    except ChainMismatch as error:
        return Finding("clock", False, str(error), error.exit_code)
    return Finding("clock", True, f"near the head's time, {head.timestamp}")


async def _contracts(config: Config, reader: NodeReader) -> AsyncIterator[Finding]:
    """Look for code at every configured address."""
    head = await reader.header("latest")
    for key, address in contracts(config):
        yield await _code(key, address, head.hash, reader)


async def _code(what: str, address: Address, block: Hash, reader: NodeReader) -> Finding:
    try:
        code = await reader.code(address, block)
    except EndpointError as error:
        return Finding(what, False, str(error), 66)
    if code == "0x":
        cure = f"no code at {address}; correct the address or the chain"
        return Finding(what, False, cure, 66)
    return Finding(what, True, f"{address}, {len(code) // 2 - 1} bytes of code")


async def _oracles(config: Config, reader: NodeReader) -> AsyncIterator[Finding]:
    """Read what is read of oracle contracts, and the tokens of those off-chain."""
    try:
        async for what, found, cure in oracle_faults(config, reader):
            told = f"{found}; {cure}" if cure else found
            yield Finding(what, not cure, told, 66 if cure else 0)
    except EndpointError as error:
        yield Finding("oracles", False, str(error), 66)


async def _lanes(
    config: Config, reader: NodeReader, stack: AsyncExitStack
) -> AsyncIterator[Finding]:
    """Read every key and look at its balance and code."""
    if not config.lanes:
        good = config.keeper.mode != "live"
        yield Finding("lanes", good, "none configured: nothing can be sent", 0 if good else 64)
        return
    try:
        signers = await load_signers(config, stack)
    except KeeperError as error:
        exit_code = error.exit_code if isinstance(error, OperatorError) else 70
        yield Finding("lanes", False, str(error), exit_code)
        return
    head = await reader.header("latest")
    for signer in signers:
        what = f"lane {signer.address}"
        try:
            balance = await reader.balance(signer.address, head.hash)
            code = await reader.code(signer.address, head.hash)
        except EndpointError as error:
            yield Finding(what, False, str(error), 66)
            continue
        if code != "0x":
            yield Finding(what, False, "is a contract or delegated; use a plain account", 66)
        elif balance < LANE_BALANCE_LOW_WEI:
            cure = f"balance {balance / 1e18:.4f} of the gas token is low; fund it"
            yield Finding(what, False, cure, 66)
        else:
            yield Finding(what, True, f"balance {balance / 1e18:.4f} of the gas token")
    async for finding in _leave(config, reader, [each.address for each in signers]):
        yield finding


async def _leave(
    config: Config, reader: NodeReader, lanes: Sequence[Address]
) -> AsyncIterator[Finding]:
    """Ask each executor what it would let the lanes do, and look for the leave to go live."""
    try:
        head = await reader.header("latest")
        for each in await standings(config, reader, head.hash, lanes):
            what, wrong = f"executor of {each.venue}", each.complaint(lanes)
            told = f"code {each.code_hash}, owner {each.owner}, may call {', '.join(each.calls)}"
            yield Finding(what, not wrong, wrong or told, 66 if wrong else 0)
        if config.keeper.mode == "live":
            wanted = await activation_of(config, reader, lanes)
            why = difference(Places(Path(config.keeper.data_dir)), wanted)
            # Missing leave is no fault of the set-up: `keeper activate` looks here first.
            yield Finding("activation", True, "given" if why is None else f"none yet: {why}")
    except (EndpointError, OperatorError) as error:
        yield Finding("executor and activation", False, str(error), 66)
