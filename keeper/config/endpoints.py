"""The endpoints of `[chain]` as the chain room's own parameters, the most preferred first.

Must not know files, and opens nothing.
"""

from keeper.chain.link.budget import BudgetConfig
from keeper.chain.link.endpoints import EndpointConfig, Role
from keeper.chain.link.pool import PoolConfig
from keeper.config.sections import ChainSection, EndpointSection


def endpoint_configs(chain: ChainSection) -> tuple[EndpointConfig, ...]:
    """Return every endpoint the section names; without a `read_url` the watched one is read too."""
    watched = (Role.WATCH,) if chain.read_url is not None else (Role.WATCH, Role.READ)
    plain = [("watch", chain.watch_url, watched)]
    if chain.read_url is not None:
        plain.append(("read", chain.read_url, (Role.READ,)))
    plain += [(f"send{place}", url, (Role.SEND,)) for place, url in enumerate(chain.send_urls)]
    return (
        *(
            EndpointConfig(name, url, chain.chain_id, chain.genesis_hash, roles=roles)
            for name, url, roles in plain
        ),
        *(_besides(chain, each) for each in chain.endpoints),
    )


def read_endpoint(chain: ChainSection) -> EndpointConfig:
    """Return the most preferred endpoint that state is read from."""
    return next(each for each in endpoint_configs(chain) if Role.READ in each.roles)


def pool_config(chain: ChainSection) -> PoolConfig:
    """Return how the section wants its endpoints compared."""
    return PoolConfig(
        block_time_ms=chain.block_time_ms,
        call_deadline_ms=chain.call_deadline_ms,
        lag_blocks_max=chain.lag_blocks_max,
        stall_blocks=chain.stall_blocks,
    )


def _besides(chain: ChainSection, section: EndpointSection) -> EndpointConfig:
    return EndpointConfig(
        section.name,
        section.node_url,
        chain.chain_id,
        chain.genesis_hash,
        roles=tuple(Role(role) for role in section.roles),
        polling_url=section.polling_url,
        budget=BudgetConfig(weight_per_s=section.weight_per_s, sends_per_s=section.sends_per_s),
    )
