"""The `[[oracles]]` of a run as sources, what a scrape sees of them, and what a check does."""

from collections.abc import AsyncIterator, Mapping

from keeper.chain.keys.secret_files import read_secret
from keeper.config import Config
from keeper.domain.effects import Notice
from keeper.domain.errors import ConfigError, EndpointError, KeyFileError
from keeper.domain.events import PriceObserved
from keeper.oracle.chainlink import ChainlinkWatch
from keeper.oracle.pyth import PythWatch, Sampled, Samples
from keeper.oracle.settings import OracleSettings
from keeper.oracle.stream import OracleSource, Tell, source
from keeper.ports import ChainReader, Clock, Source
from keeper.telemetry.metrics import Metrics


def oracle_sources(
    config: Config, reader: ChainReader, clock: Clock, tell: Tell, metrics: Metrics
) -> Mapping[str, Source]:
    """Return a source each, by the name of its part.

    Raises ConfigError for a name given twice, KeyFileError for a token that may not be read.
    """
    found: dict[str, Source] = {}
    streams: list[OracleSource] = []
    samples: Samples = {}
    for settings in config.oracles:
        part = f"oracle_{settings.name}"
        if part in found:
            raise ConfigError("oracles.name", settings.name, "give each oracle its own name")
        if settings.kind == "chainlink":
            found[part] = ChainlinkWatch(settings, reader, tell)
        elif settings.kind == "pyth":
            found[part] = PythWatch(settings, reader, tell, samples)
        else:
            made = source(settings, clock, tell, _headers(settings))
            streams.append(made)
            found[part] = Sampled(made, samples) if settings.kind == "pyth_updates" else made
    if streams:
        _watch(metrics, streams)
    return found


async def oracle_faults(config: Config, reader: ChainReader) -> AsyncIterator[tuple[str, str, str]]:
    """Return (what, what was found, its cure or "") of what a run would read and send itself.

    Raises EndpointError where there is no head to look at.
    """
    header = await reader.header("latest")
    brought = [each.feed for each in config.oracles if each.kind == "pyth_updates"]
    for settings in config.oracles:
        what = f"oracles.{settings.name}"
        try:
            _headers(settings)
        except KeyFileError as error:
            yield what, f"{error.path}: {error.problem}", error.cure
        if settings.kind != "pyth":
            continue
        try:
            seen = await PythWatch(settings, reader, _untold, {}).read(header)
        except EndpointError as error:
            yield what, error.problem, "correct feed or price_id, or have a first price brought"
            continue
        cure = _cure(seen, header.timestamp, pulled=settings.feed in brought)
        yield what, _price_line(seen, header.timestamp), cure


def _price_line(seen: PriceObserved, now: int) -> str:
    """Return a stored price as the operator reads it."""
    unit = 10.0**-seen.decimals
    price, interval = seen.price * unit, seen.confidence * unit
    return f"{price:g} within {interval:g} either way, {now - seen.published_s} s old"


def _cure(seen: PriceObserved, now: int, *, pulled: bool) -> str:
    """Return what to do about a stored price that could check nothing, "" where it could."""
    if seen.price <= 0:
        return "no price: it would halt its market; choose another feed"
    if seen.decimals_expected not in (-1, seen.decimals):
        return f"decimals are {seen.decimals}: it would halt its market; correct decimals"
    if now - seen.published_s > seen.heartbeat_s and not pulled:
        return "stale: hear pyth_updates of the same feed, or allow more feed_heartbeat_s"
    return ""


def _untold(_: Notice) -> None:
    """Tell nobody: whoever reads by hand gets the error itself."""


def _headers(settings: OracleSettings) -> dict[str, str]:
    """Return what an off-chain source is told of us: its token, where there is one."""
    if settings.token_file is None:
        return {}
    return {"Authorization": f"Bearer {read_secret(settings.token_file).strip()}"}


def _watch(metrics: Metrics, streams: list[OracleSource]) -> None:
    metrics.watch(
        "oracle_age_seconds",
        "Time since the quietest off-chain source said something usable.",
        lambda: max(each.age_s for each in streams),
    )
    metrics.watch(
        "oracle_frames_malformed",
        "Frames of off-chain sources that were nonsense.",
        lambda: sum(each.malformed for each in streams),
    )
    metrics.watch(
        "oracle_frames_dropped",
        "Frames of off-chain sources that a flood pushed out.",
        lambda: sum(each.dropped for each in streams),
    )
