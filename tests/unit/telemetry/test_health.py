"""Health: red from the start, green when earned, red again with the reason."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from keeper.domain.effects import NOTHING, Effects
from keeper.domain.errors import ConfigError
from keeper.domain.events import Ticked
from keeper.telemetry.health import Health, HealthLimits
from keeper.telemetry.metrics import Metrics
from keeper.telemetry.server import HealthServer
from tests.unit.chain.scripted_node import until
from tests.unit.telemetry.entries import HandClock, assessment, entry, head, timing


class Rig:
    def __init__(self) -> None:
        self.clock = HandClock()
        self.health = Health(self.clock, HealthLimits(head_age_ms_max=5_000))

    def decide(self, **changes: Any) -> None:
        self.health.observe(
            entry(head()), Effects(assessments=(assessment(**changes),)), self.now()
        )

    def tick(self) -> None:
        self.health.observe(entry(Ticked()), NOTHING, self.now())

    def now(self) -> Any:
        return timing(self.clock.monotonic, fold_ms=0, decide_ms=0)


def test_readiness_starts_red_and_says_what_is_missing() -> None:
    rig = Rig()

    assert rig.health.not_ready() == [
        "recovery: not done",
        "engine: no entry yet",
        "head: none yet",
        "venues: none assessed yet",
    ]
    assert rig.health.not_alive() == []


def test_readiness_is_earned_by_recovery_a_head_and_good_quotes() -> None:
    rig = Rig()
    rig.health.release("recovery")
    rig.decide()

    assert rig.health.not_ready() == []


def test_recovery_not_done_keeps_it_red() -> None:
    rig = Rig()
    rig.decide()

    assert rig.health.not_ready() == ["recovery: not done"]


def test_a_head_that_stalls_turns_it_red_and_the_next_one_green() -> None:
    rig = ready()
    for _ in range(6):
        rig.clock.move_ms(1_000)
        rig.tick()

    assert rig.health.not_ready() == ["head: none for 6000 ms"]
    rig.decide()
    assert rig.health.not_ready() == []


def test_a_block_of_the_past_is_no_head() -> None:
    rig = ready()
    rig.clock.move_ms(6_000)
    rig.health.observe(entry(head(at_tip=False)), NOTHING, rig.now())

    assert rig.health.not_ready() == ["head: none for 6000 ms"]


@pytest.mark.parametrize("state", ["STALE", "SUSPECT", "HALTED"])
def test_a_required_quote_that_is_not_ok_turns_it_red_by_name(state: str) -> None:
    rig = ready()
    rig.decide(quotes=(("ETH.spot", "OK"), ("ETH.vol", state)))

    assert rig.health.not_ready() == [f"quote derive ETH.vol: {state}"]
    rig.decide()
    assert rig.health.not_ready() == []


def test_one_venues_good_quotes_do_not_hide_anothers() -> None:
    rig = ready()
    rig.decide(venue="other", quotes=(("BTC.spot", "STALE"),))
    rig.decide()

    assert rig.health.not_ready() == ["quote other BTC.spot: STALE"]


def test_an_engine_without_progress_is_neither_ready_nor_alive() -> None:
    rig = ready()
    rig.clock.move_ms(10_001)

    assert rig.health.not_alive() == ["engine: no entry for 10001 ms"]
    assert "engine: no entry for 10001 ms" in rig.health.not_ready()


def test_an_engine_that_never_starts_is_not_alive_for_long() -> None:
    rig = Rig()
    rig.clock.move_ms(10_001)

    assert rig.health.not_alive() == ["engine: no entry for 10001 ms"]


def test_a_room_may_hold_readiness_and_release_it() -> None:
    rig = ready()
    rig.health.hold("lanes", "0 of 2 ready\n\x1b[2J")

    (reason,) = rig.health.not_ready()
    assert reason.startswith("lanes: 0 of 2 ready")
    assert "\x1b" not in reason
    rig.health.release("lanes")
    assert rig.health.not_ready() == []


def test_reasons_are_limited_and_the_rest_is_counted() -> None:
    rig = ready()
    rig.decide(quotes=tuple((f"Q{number}", "STALE") for number in range(100)))

    reasons = rig.health.not_ready()
    assert len(reasons) == 33
    assert reasons[-1] == "and 68 more"


async def test_readyz_turns_from_red_to_green_to_red() -> None:
    rig = Rig()
    async with serving(rig) as get:
        status, document = await get("/readyz")
        assert (status, document["ready"]) == (503, False)
        assert "recovery: not done" in document["reasons"]

        rig.health.release("recovery")
        rig.decide()
        assert await get("/readyz") == (200, {"ready": True, "reasons": []})

        rig.clock.move_ms(5_001)
        status, document = await get("/readyz")
        assert (status, document["reasons"]) == (503, ["head: none for 5001 ms"])
        assert await get("/livez") == (200, {"alive": True, "reasons": []})

        rig.clock.move_ms(5_000)
        assert (await get("/livez"))[0] == 503


async def test_metrics_are_served_and_built_at_most_four_times_a_second() -> None:
    rig = Rig()
    metrics = Metrics()
    async with serving(rig, metrics) as get:
        _, before = await get("/metrics")
        metrics.loop_lagged(0.002)
        _, flood = await get("/metrics")
        rig.clock.move_ms(250)
        _, after = await get("/metrics")

    assert "# TYPE keeper_head_number gauge" in before
    assert flood == before
    assert "keeper_event_loop_lag_seconds_count 1.0" in after


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD", "OPTIONS"])
async def test_only_get_is_answered(method: str) -> None:
    async with serving(Rig()) as get:
        assert (await get("/readyz", method))[0] == 405


@pytest.mark.parametrize("path", ["/", "/admin", "/metrics/", "/../config.toml"])
async def test_nothing_but_the_three_paths_exists(path: str) -> None:
    async with serving(Rig()) as get:
        assert (await get(path))[0] == 404


async def test_an_oversized_request_is_refused() -> None:
    async with serving(Rig()) as get:
        assert (await get("/livez?" + "x" * 10_000))[0] == 431
        assert (await get("/livez"))[0] == 200


async def test_a_port_that_is_taken_is_the_operators_to_mend() -> None:
    rig = Rig()
    async with serving(rig) as get:
        port = get.port  # type: ignore[attr-defined]
        second = HealthServer(rig.health, Metrics(), rig.clock, "127.0.0.1", port)
        with pytest.raises(ConfigError, match=r"telemetry\.listen_port = \d+: cannot listen on"):
            await second.run()


def ready() -> Rig:
    rig = Rig()
    rig.health.release("recovery")
    rig.decide()
    return rig


@asynccontextmanager
async def serving(rig: Rig, metrics: Metrics | None = None) -> AsyncIterator[Any]:
    server = HealthServer(rig.health, metrics or Metrics(), rig.clock, "127.0.0.1", 0)
    task = asyncio.create_task(server.run())
    await until(lambda: server.port is not None)
    port = server.port

    async def get(path: str, method: str = "GET") -> tuple[int, Any]:
        async with session.request(method, f"http://127.0.0.1:{port}{path}") as answer:
            if answer.content_type == "application/json":
                return answer.status, await answer.json()
            return answer.status, await answer.text()

    get.port = port  # type: ignore[attr-defined]
    async with aiohttp.ClientSession() as session:
        yield get
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert server.port is None
