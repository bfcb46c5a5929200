"""Fixtures that tests of every room share: where the golden vectors are, and a local node."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from deploy.devnet.chain.node import Node


# How long an example takes, and is looked for, is the machine's business.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")


@pytest.fixture(scope="session")
def vectors_dir() -> Path:
    """Folder of the golden vectors; the test is skipped, visibly, where there is none."""
    default = Path(__file__).resolve().parents[2] / "shared" / "vectors"
    folder = Path(os.environ.get("KEEPER_VECTORS", default))
    if not folder.is_dir():
        pytest.skip(f"no golden vectors at {folder}: set KEEPER_VECTORS to their folder")
    return folder


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    """A fresh node for each test file, so that no file inherits another's clock."""
    with Node() as running:
        yield running
