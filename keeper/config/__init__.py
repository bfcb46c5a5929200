"""config.toml → one frozen value; every mistake named with its key, its value and its cure."""

from keeper.config.description import config_digest, describe, looks_like_key, masked
from keeper.config.loading import load, read
from keeper.config.sections import (
    AuditSection,
    ChainSection,
    Config,
    JournalSection,
    KeeperSection,
    LaneSection,
    StrategySection,
    TelemetrySection,
)


__all__ = [
    "AuditSection",
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
    "looks_like_key",
    "masked",
    "read",
]
