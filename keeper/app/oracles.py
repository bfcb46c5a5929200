"""The `[[oracles]]` of a run as sources, and what a scrape sees of them."""

from collections.abc import Mapping

from keeper.config import Config
from keeper.domain.errors import ConfigError
from keeper.oracle.chainlink import ChainlinkWatch
from keeper.oracle.stream import OracleSource, Tell, source
from keeper.ports import ChainReader, Clock, Source
from keeper.telemetry.metrics import Metrics


def oracle_sources(
    config: Config, reader: ChainReader, clock: Clock, tell: Tell, metrics: Metrics
) -> Mapping[str, Source]:
    """Return a source each, by the name of its part; raises ConfigError for a name given twice."""
    found: dict[str, Source] = {}
    streams: list[OracleSource] = []
    for settings in config.oracles:
        part = f"oracle_{settings.name}"
        if part in found:
            raise ConfigError("oracles.name", settings.name, "give each oracle its own name")
        if settings.kind == "chainlink":
            found[part] = ChainlinkWatch(settings, reader, tell)
        else:
            made = source(settings, clock, tell)
            streams.append(made)
            found[part] = made
    if streams:
        _watch(metrics, streams)
    return found


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
