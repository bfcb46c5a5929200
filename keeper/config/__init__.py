"""config.toml → one frozen value; every mistake named with its key, its value and its cure."""

from keeper.config.description import config_digest, describe, masked
from keeper.config.loading import load, read
from keeper.config.sections import (
    ChainSection,
    Config,
    JournalSection,
    KeeperSection,
    LaneSection,
    StrategySection,
    TelemetrySection,
)


__all__ = [
    "ChainSection",
    "Config",
    "JournalSection",
    "KeeperSection",
    "LaneSection",
    "StrategySection",
    "TelemetrySection",
    "config_digest",
    "describe",
    "load",
    "masked",
    "read",
]
