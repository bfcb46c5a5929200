"""How a run is joined: what readiness hears, and what a lost chain leads to."""

from __future__ import annotations

import asyncio
import io

import pytest

from keeper.app.following import Heads
from keeper.app.observing import Renewal, Telemetry
from keeper.app.running import run
from keeper.chain.link.branch import GapTooDeep
from keeper.domain.effects import NOTHING, Effects, Notice
from keeper.domain.errors import ChainMismatch, ConfigError
from keeper.domain.events import Entry, Event, LaneObserved, Ticked
from keeper.ports import Post, Timing
from keeper.runtime.clock import SystemClock
from keeper.telemetry.health import Health, HealthLimits
from keeper.telemetry.logging import Lines
from keeper.telemetry.metrics import Metrics
from tests.unit.app.documents import configured
from tests.unit.chain.scripted_node import PATIENCE_S


TIMING = Timing(1, 2, 3, 4)


def telemetry() -> Telemetry:
    clock = SystemClock()
    health = Health(clock, HealthLimits(head_age_ms_max=1_000))
    return Telemetry(Lines(clock, stream=io.StringIO()), Metrics(), health, Renewal())


def observe(told: Telemetry, event: Event, effects: Effects = NOTHING) -> list[str]:
    told.observe(Entry(1, 1, event), effects, TIMING)
    return told.health.not_ready()


def test_readiness_waits_for_recovery_until_a_lane_is_told_of() -> None:
    told = telemetry()
    assert any("recovery" in why for why in observe(told, Ticked()))
    lane = LaneObserved("0x" + "1" * 40, "READY", 1, 8)
    assert not any("recovery" in why for why in observe(told, lane))


def test_readiness_is_red_while_no_lane_takes_commands() -> None:
    told, one, other = telemetry(), "0x" + "1" * 40, "0x" + "2" * 40
    reasons = observe(told, LaneObserved(one, "QUARANTINE", 1, 0))
    assert f"lanes: {one} is QUARANTINE" in reasons
    reasons = observe(told, LaneObserved(other, "READY", 1, 8))
    assert not any(why.startswith("lanes") for why in reasons)
    reasons = observe(told, LaneObserved(other, "STARVED", 1, 0))
    assert f"lanes: {one} is QUARANTINE, {other} is STARVED" in reasons


def test_a_halted_venue_keeps_readiness_red_and_says_why() -> None:
    told = telemetry()
    notice = Notice("venue_halted", "error", (("venue", "derive"), ("problem", "too short")))
    assert "venue: too short" in observe(told, Ticked(), Effects(notices=(notice,)))
    assert "venue: too short" in observe(told, Ticked()), "and it stays so"


def test_stopped_decisions_keep_readiness_red_until_they_are_resumed() -> None:
    told = telemetry()
    venue = ("venue", "derive")
    stopped = Notice("decisions_stopped", "error", (venue, ("reason", "account 7: mm")))
    observe(told, Ticked(), Effects(notices=(stopped,)))
    assert "decisions derive: account 7: mm" in observe(told, Ticked())
    resumed = Notice("decisions_resumed", "info", (venue, ("number", 5)))
    assert not any(
        "decisions" in why for why in observe(told, Ticked(), Effects(notices=(resumed,)))
    )


def test_listeners_see_every_entry_after_it_was_applied() -> None:
    told = telemetry()
    heard: list[Entry] = []
    told.listeners.append(heard.append)
    observe(told, Ticked())
    assert [entry.event for entry in heard] == [Ticked()]


class Lost:
    """A follower whose chain went too far away."""

    async def run(self, post: Post) -> None:
        post(Ticked())
        raise GapTooDeep(tip=9, head=5_000, window_blocks=128)


class Kept:
    """A state that passes everything on."""

    def __init__(self, agreed: bool) -> None:
        self.agreed = agreed

    def admitted(self, event: Event) -> Event:
        return event


class Idle:
    """An executor that does nothing."""


def test_a_rewiring_to_what_was_never_read_asks_for_a_new_snapshot_once() -> None:
    told = telemetry()
    assert not told.renewal.asked.is_set()
    for unread in ("0x" + "3" * 40, "0x" + "4" * 40):
        notice = Notice("rewired", "warning", (("unread", unread),))
        observe(told, Ticked(), Effects(notices=(notice,)))
    assert told.renewal.asked.is_set()
    assert told.renewal.cold, "no state file can know what was never read"
    assert "0x" + "3" * 40 in told.renewal.reason, "the first reason is the one told"


@pytest.mark.parametrize("agreed", [True, False])
async def test_a_lost_chain_stops_the_run_and_is_not_an_error_of_the_source(agreed: bool) -> None:
    renewal = Renewal()
    heads = Heads(Lost(), Idle(), renewal, Kept(agreed))  # type: ignore[arg-type]
    posted: list[Event] = []
    running = asyncio.create_task(heads.run(posted.append))
    async with asyncio.timeout(PATIENCE_S):
        await renewal.asked.wait()
    assert "5000" in renewal.reason
    assert renewal.cold is not agreed, "an older file may do, unless this one led nowhere"
    assert posted == [Ticked()]
    assert not running.done(), "a source that ends is a failure; this one waits to be stopped"
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_a_wrong_strategy_is_refused_before_any_connection() -> None:
    with pytest.raises(ConfigError, match=r"strategy\.name"):
        await run(configured(strategy={"name": "strategies.nowhere:Some"}))
    assert ChainMismatch.exit_code != ConfigError.exit_code


def test_a_chain_that_stood_still_is_looked_at_anew_from_the_chain_itself() -> None:
    told = telemetry()
    observe(told, Ticked(), Effects(notices=(Notice("halt_ended", "warning", (("block", 8),)),)))
    assert not told.renewal.asked.is_set(), "starts and settlements go on first"
    observe(told, Ticked(), Effects(notices=(Notice("look_anew", "warning", (("block", 10),)),)))
    assert told.renewal.asked.is_set()
    assert told.renewal.reason.startswith("the chain stood still")
    assert told.renewal.cold
