"""Whether the keeper lives and whether it is ready, and the small web server that says so.

Must not know where a head or a quote comes from: it is told. Readiness starts red and is earned;
red always says why. The server reads nothing from a request but its path, and changes nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from keeper.domain.effects import Effects
from keeper.domain.errors import ConfigError
from keeper.domain.events import BlockSealed, Entry
from keeper.domain.units import NS_PER_MS
from keeper.ports import Clock, Timing
from keeper.telemetry.metrics import Metrics
from keeper.telemetry.text import clean


REASONS_MAX: Final = 32
REQUEST_BYTES_MAX: Final = 4_096
REQUESTS_AT_ONCE_MAX: Final = 8
ANSWER_MS_MAX: Final = 2_000
KEEPALIVE_S: Final = 15.0
# A scrape is built at most this often: a flood of them must not slow a send.
EXPOSITION_AGE_MS_MAX: Final = 250

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class HealthLimits:
    """When silence becomes red, milliseconds of a monotonic clock."""

    head_age_ms_max: int
    progress_age_ms_max: int = 10_000


class Health:
    """What is known of the keeper's health; an `Observer`, and plain methods for the rest."""

    def __init__(self, clock: Clock, limits: HealthLimits) -> None:
        self._clock = clock
        self._limits = limits
        self._started_ns = clock.monotonic_ns()
        self._progress_ns: int | None = None
        self._head_ns: int | None = None
        self._quotes: dict[str, tuple[tuple[str, str], ...]] = {}
        self._open: dict[str, str] = {"recovery": "not done"}

    def observe(self, entry: Entry, effects: Effects, timing: Timing) -> None:
        """Note that the engine goes on, that a head came, and what its quotes are."""
        self._progress_ns = timing.decided_ns
        if isinstance(entry.event, BlockSealed) and entry.event.at_tip:
            self._head_ns = timing.decided_ns
        for assessment in effects.assessments:
            self._quotes[assessment.venue] = assessment.quotes

    def hold(self, what: str, why: str) -> None:
        """Keep readiness red for `what` (e.g. "lanes") until it is released."""
        self._open[what] = why

    def release(self, what: str) -> None:
        """Take back a `hold`; "recovery" is held from the start."""
        self._open.pop(what, None)

    def not_alive(self) -> list[str]:
        """Return why the process should be restarted; empty when its loop goes on."""
        since = self._started_ns if self._progress_ns is None else self._progress_ns
        age_ms = self._age_ms(since)
        if age_ms > self._limits.progress_age_ms_max:
            return [f"engine: no entry for {age_ms} ms"]
        return []

    def not_ready(self) -> list[str]:
        """Return why nothing should be expected of this keeper now; empty when it is ready."""
        reasons = [f"{what}: {why}" for what, why in self._open.items()]
        reasons += self.not_alive()
        if self._progress_ns is None:
            reasons.append("engine: no entry yet")
        if self._head_ns is None:
            reasons.append("head: none yet")
        elif (age_ms := self._age_ms(self._head_ns)) > self._limits.head_age_ms_max:
            reasons.append(f"head: none for {age_ms} ms")
        if not self._quotes:
            reasons.append("venues: none assessed yet")
        for venue, quotes in self._quotes.items():
            reasons += [f"quote {venue} {name}: {state}" for name, state in quotes if state != "OK"]
        more = len(reasons) - REASONS_MAX
        shown = [clean(reason) for reason in reasons[:REASONS_MAX]]
        return [*shown, f"and {more} more"] if more > 0 else shown

    def _age_ms(self, since_ns: int) -> int:
        return (self._clock.monotonic_ns() - since_ns) // NS_PER_MS


class HealthServer:
    """Serves `/metrics`, `/livez` and `/readyz`, GET only; a `Service` of the supervisor."""

    def __init__(
        self, health: Health, metrics: Metrics, clock: Clock, host: str, port: int
    ) -> None:
        self._health = health
        self._metrics = metrics
        self._clock = clock
        self._host = host
        self._port = port
        self._at_once = 0
        self._exposition = b""
        self._exposed_ns: int | None = None
        self._port_bound: int | None = None

    async def run(self) -> None:
        """Serve until cancelled; raises ConfigError when the port cannot be had."""
        runner = web.AppRunner(
            self._app(),
            access_log=None,
            handle_signals=False,
            keepalive_timeout=KEEPALIVE_S,
            lingering_time=0.0,
            max_line_size=REQUEST_BYTES_MAX,
            max_field_size=REQUEST_BYTES_MAX,
            shutdown_timeout=0.5,
        )
        await runner.setup()
        try:
            await self._bind(runner)
            await asyncio.get_running_loop().create_future()
        finally:
            self._port_bound = None
            await runner.cleanup()

    @property
    def port(self) -> int | None:
        """Return the port being served, None while there is none."""
        return self._port_bound

    async def _bind(self, runner: web.AppRunner) -> None:
        site = web.TCPSite(runner, self._host, self._port, backlog=16)
        try:
            await site.start()
        except OSError as error:
            where = f"{self._host}:{self._port}"
            cure = f"cannot listen on {where} ({error.strerror}); free it or take another port"
            raise ConfigError("telemetry.listen_port", self._port, cure) from error
        self._port_bound = runner.addresses[0][1]

    def _app(self) -> web.Application:
        app = web.Application(client_max_size=REQUEST_BYTES_MAX, middlewares=[self._limited])
        # Without HEAD: three paths, one method, nothing else to get wrong.
        app.router.add_get("/metrics", self._answer_metrics, allow_head=False)
        app.router.add_get("/livez", self._answer_live, allow_head=False)
        app.router.add_get("/readyz", self._answer_ready, allow_head=False)
        return app

    @web.middleware
    async def _limited(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if self._at_once >= REQUESTS_AT_ONCE_MAX:
            return web.json_response({"reasons": ["too many requests at once"]}, status=503)
        self._at_once += 1
        try:
            async with asyncio.timeout(ANSWER_MS_MAX / 1_000):
                return await handler(request)
        finally:
            self._at_once -= 1

    async def _answer_metrics(self, _: web.Request) -> web.Response:
        now = self._clock.monotonic_ns()
        age_ns = EXPOSITION_AGE_MS_MAX * NS_PER_MS
        if self._exposed_ns is None or now - self._exposed_ns >= age_ns:
            self._exposition = self._metrics.exposition()
            self._exposed_ns = now
        return web.Response(body=self._exposition, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _answer_live(self, _: web.Request) -> web.Response:
        return _verdict("alive", self._health.not_alive())

    async def _answer_ready(self, _: web.Request) -> web.Response:
        return _verdict("ready", self._health.not_ready())


def _verdict(name: str, reasons: list[str]) -> web.Response:
    document: dict[str, Any] = {name: not reasons, "reasons": reasons}
    return web.json_response(document, status=503 if reasons else 200)
