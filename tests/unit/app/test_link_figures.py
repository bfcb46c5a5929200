"""What the link shows on /metrics follows its parts, by configured names only."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from keeper.app.link_figures import watch_link
from keeper.chain.link.agreement import Conflict
from keeper.chain.link.endpoints import EndpointConfig, Role
from keeper.chain.link.pool import EndpointPool, PoolConfig
from keeper.chain.link.rating import EndpointState
from keeper.chain.sealing.heads import HeadFollower, HeadsConfig
from keeper.ports import Header
from keeper.runtime.clock import SystemClock
from keeper.telemetry.metrics import Metrics


SECRET = "key-of-the-provider"


class Shown:
    """A pool of two endpoints, a follower and their metrics."""

    def __init__(self) -> None:
        clock = SystemClock()
        roles = (Role.WATCH, Role.READ)
        urls = {"watch": "ws://127.0.0.1:1", "second": f"ws://127.0.0.1:2/{SECRET}"}
        configs = [EndpointConfig(name, url, 1, roles=roles) for name, url in urls.items()]
        self.pool = EndpointPool(configs, PoolConfig(1_000, 1_000), clock)
        start = Header(7, "0x" + 64 * "1", "0x" + 64 * "2", 0, 1, 30_000_000)
        heads = HeadsConfig(1_000, 1_000, 1_000)
        self.follower = HeadFollower(self.pool.watch, clock, heads, 1, start, [])
        self.metrics = Metrics()
        watch_link(self.metrics, self.pool, self.follower)

    def __call__(self, name: str, **labels: str) -> float:
        text = self.metrics.exposition().decode()
        assert SECRET not in text
        (value,) = [
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == f"keeper_{name}" and sample.labels == labels
        ]
        return value


def test_each_endpoint_shows_its_state_and_only_that() -> None:
    shown = Shown()
    shown.pool.endpoints[1].state = EndpointState.LAGGING
    for name, stands in (("watch", "unreachable"), ("second", "lagging")):
        for state in EndpointState:
            figure = shown("endpoint_state", endpoint=name, state=state.value)
            assert figure == (state.value == stands)


def test_what_the_invariants_of_the_link_alert_on_is_shown() -> None:
    shown = Shown()
    assert shown("endpoints_wrong_chain") == 0
    assert shown("endpoints_alive") == 0
    assert shown("link_refuses") == 1
    assert shown("link_conflict") == 0
    assert shown("logs_refuted") == 0
    assert shown("logs_distrusted") == 0
    one, other = shown.pool.endpoints
    one.state, other.state = EndpointState.WRONG_CHAIN, EndpointState.ALIVE
    shown.pool.conflict = Conflict(7, "watch", "second")
    shown.follower.blocks.refuted = 2
    shown.follower.blocks._distrusted_blocks = 3
    assert shown("endpoints_wrong_chain") == 1
    assert shown("endpoints_alive") == 1
    assert shown("link_conflict") == 1
    assert shown("logs_refuted") == 2
    assert shown("logs_distrusted") == 1


@pytest.mark.parametrize(
    ("figure", "place"),
    [
        ("logs_doubted", "doubts"),
        ("logs_sampled", "sampled"),
        ("headers_denied", "denied"),
    ],
)
def test_doubts_about_answers_are_counted(figure: str, place: str) -> None:
    shown = Shown()
    setattr(shown.follower.blocks, place, 5)
    assert shown(figure) == 5


def test_work_made_good_is_counted() -> None:
    shown = Shown()
    shown.pool.endpoints[0].budget.refused = 3
    shown.pool.reads.hedged = 4
    shown.pool.watch.switches = 5
    shown.follower.status.heads_dropped = 6
    shown.pool.endpoints[1].connections = 7
    shown.pool.endpoints[1].unserved.unclaimed = 8
    assert shown("budget_refused", endpoint="watch") == 3
    assert shown("budget_refused", endpoint="second") == 0
    assert shown("reads_hedged") == 4
    assert shown("watch_switches") == 5
    assert shown("heads_dropped") == 6
    assert shown("endpoint_connections", endpoint="second") == 7
    assert shown("frames_unclaimed", endpoint="second") == 8
