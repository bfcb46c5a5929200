"""The grids our methods start from are the reference table's, and the presets are readable."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keeper.margin.methods import aevo, dederi, finra, okx, paradex, span


@pytest.fixture
def grids(vectors_dir: Path) -> dict[str, Any]:
    path = vectors_dir / "scenario_grids.json"
    if not path.is_file():
        pytest.skip(f"no scenario_grids.json in {vectors_dir}")
    found: dict[str, Any] = json.loads(path.read_text())["grids"]
    return found


def test_span_scans_in_the_tables_order(grids: dict[str, Any]) -> None:
    assert np.allclose(span.moves(span.Extreme()), grids["span_cme"]["scen"])


def test_paradex_has_the_tables_shocks_and_the_new_weights(grids: dict[str, Any]) -> None:
    table = grids["paradex"]
    ours = [(each.spot, each.vol) for each in paradex.shocks()]
    assert np.allclose(ours, [row[:2] for row in table["scen"]])
    weights = [each.weight for each in paradex.shocks()]
    assert weights[-8:] == table["tail_weights_2026_04_22"]
    assert set(weights[:-8]) == {1.0}


def test_other_venues_have_the_tables_moves(grids: dict[str, Any]) -> None:
    assert list(dederi.SPOTS) == grids["dederi"]["spot"]
    assert grids["dederi"]["future_contingency"] == dederi.CONTINGENCY
    assert sorted({each.spot for each in aevo.method().shocks}) == sorted(grids["aevo"]["spot"])
    vols = [each.vol for each in aevo.method().shocks[:3]]
    assert vols == grids["aevo"]["iv_add"]
    for name, (steps, extreme) in okx.CLASSES.items():
        assert list(steps) == grids["okx"]["mr1"][name]
        assert extreme == grids["okx"]["mr6"][name]
    assert grids["okx"]["mr6"]["cover"] == okx.MR6_COVER
    assert grids["okx"]["imr"] == okx.INITIAL
    for name, (low, high) in finra.RANGES.items():
        assert [low, high] == grids["finra_4210g"][name]
    assert grids["finra_4210g"]["min_per_contract_usd"] == finra.LEAST_USD
