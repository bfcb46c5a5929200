"""What the link to the chain shows on /metrics: endpoints, doubts about answers, work made good.

It reads plain attributes at each scrape and decides nothing. Labels are configured names of
endpoints, never their URLs.
"""

from functools import partial
from typing import Final

from keeper.chain.link.endpoints import Endpoint
from keeper.chain.link.pool import EndpointPool
from keeper.chain.link.rating import EndpointState
from keeper.chain.sealing.heads import HeadFollower
from keeper.telemetry.metrics import Metrics


# Fields of HeadsStatus, by the names they are shown under.
_HEADS: Final = {
    "head_sessions": ("sessions", "Connections followed so far."),
    "head_rewinds": ("rewinds", "Reorgs and silent rewinds seen."),
    "head_gap_blocks": ("gap_blocks_filled", "Blocks that no head announced."),
    "head_stalls": ("stalls", "Times no head came for too long."),
    "heads_polled": ("heads_polled", "Heads that a poll found and no notification told."),
    "heads_dropped": ("heads_dropped", "Heads dropped from a full queue; parents fill the rest."),
    "heads_malformed": ("heads_malformed", "Head notifications that could not be read."),
    "heads_vanished": ("heads_vanished", "Heads the node did not know any more when asked."),
}


def watch_link(metrics: Metrics, pool: EndpointPool, follower: HeadFollower) -> None:
    """Show what is read at each scrape."""
    for endpoint in pool.endpoints:
        _watch_endpoint(metrics, endpoint)
    _watch_pool(metrics, pool)
    _watch_blocks(metrics, follower)


def _watch_endpoint(metrics: Metrics, endpoint: Endpoint) -> None:
    name, unserved = endpoint.name, endpoint.unserved
    for state in EndpointState:
        metrics.watch(
            "endpoint_state",
            "1 for the endpoint's state.",
            partial(_stands, endpoint, state),
            endpoint=name,
            state=state.value,
        )
    for figure, text, read in (
        ("endpoint_connections", "Connections made so far.", lambda: endpoint.connections),
        ("endpoint_failures", "Failures in a row.", lambda: endpoint.failures),
        ("endpoint_polling", "1 while heads are polled for.", lambda: endpoint.polling),
        ("frames_malformed", "Frames that could not be read.", lambda: unserved.malformed),
        ("frames_late", "Answers that came after their call.", lambda: unserved.late),
        ("frames_unclaimed", "Notifications nobody asked for.", lambda: unserved.unclaimed),
        ("budget_waited", "Calls held back by a budget.", lambda: endpoint.budget.waited),
        ("budget_refused", "Calls that a budget refused.", lambda: endpoint.budget.refused),
    ):
        metrics.watch(figure, text, read, endpoint=name)


def _stands(endpoint: Endpoint, state: EndpointState) -> bool:
    return endpoint.state is state


def _watch_pool(metrics: Metrics, pool: EndpointPool) -> None:
    """Show V3 (no endpoint of another chain), V4 (one is alive) and who was asked twice."""

    def count(state: EndpointState) -> int:
        return sum(each.state is state for each in pool.endpoints)

    for figure, text, read in (
        (
            "endpoints_wrong_chain",
            "Endpoints on another chain than ours: 0 or somebody must look.",
            lambda: count(EndpointState.WRONG_CHAIN),
        ),
        (
            "endpoints_alive",
            "Endpoints good for everything: at 0 nothing is sent.",
            lambda: count(EndpointState.ALIVE),
        ),
        (
            "link_refuses",
            "1 while nothing may be sent for the endpoints' sake.",
            lambda: pool.refusal() is not None,
        ),
        (
            "link_conflict",
            "1 while two endpoints have different blocks at one height.",
            lambda: pool.conflict is not None,
        ),
        ("endpoints_compared", "Rounds of comparing endpoints.", lambda: pool.rounds),
        ("watch_switches", "Times another endpoint was followed.", lambda: pool.watch.switches),
        ("reads_hedged", "Reads asked twice for slowness.", lambda: pool.reads.hedged),
        (
            "reads_failed_over",
            "Reads asked elsewhere after an error.",
            lambda: pool.reads.failed_over,
        ),
    ):
        metrics.watch(figure, text, read)


def _watch_blocks(metrics: Metrics, follower: HeadFollower) -> None:
    """Show V6 (no answer is believed that the header denies) and what was made good."""
    status, blocks = follower.status, follower.blocks
    for name, (field, text) in _HEADS.items():
        metrics.watch(name, text, partial(getattr, status, field))
    for figure, text, read in (
        ("logs_doubted", "Answers the bloom did not allow to believe.", lambda: blocks.doubts),
        ("logs_refuted", "Answers that proved wrong: the endpoint lies.", lambda: blocks.refuted),
        ("logs_sampled", "Answers held against the receipts.", lambda: blocks.sampled),
        (
            "logs_distrusted",
            "1 while every block is held against the receipts.",
            lambda: blocks.distrusted,
        ),
        ("headers_denied", "Headers that do not have their hash.", lambda: blocks.denied),
        ("range_halvings", "Ranges of a gap cut in two.", lambda: follower.ranges.halvings),
    ):
        metrics.watch(figure, text, read)
