"""Configurations for tests of the composition root: the shipped one, changed where it matters."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from keeper.config import Config, read


SHIPPED = Path(__file__).resolve().parents[3] / "config.toml"


def configured(**tables: dict[str, Any]) -> Config:
    """Return the shipped configuration with keys of its tables replaced; `venue` is derive's."""
    document = tomllib.loads(SHIPPED.read_text())
    for name, changes in tables.items():
        table = document["venues"]["derive"] if name == "venue" else document[name]
        table.update(changes)
    return read(document, {})
