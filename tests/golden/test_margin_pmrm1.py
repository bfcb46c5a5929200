"""PMRM v1 against the upstream auction cases' own margins.

The file names neither the move of its worst scenario (15 %) nor the share of a naked short (1 %):
both are fitted to one case, so the others agreeing is a check of the form, not of the fit.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keeper.margin.book import Book, Kind, Listing, Market
from keeper.margin.methods.pmrm1 import Pmrm1, mainnet
from keeper.margin.methods.pmrm2_parameters import Scenario, VolShock, VolShockRange


WEI = 1e18
CASES = ("Test1", "Test2", "Test3", "Test4", "Test5", "Test6", "InsolventTest1", "InsolventTest2")


def as_arrays(raw: dict[str, Any], passed: float) -> tuple[Book, Market]:
    """Return the case's one account after some seconds: options, a perpetual and a base."""
    count, dates = len(raw["OptionStrikes"]), raw["FeedExpiries"]
    kinds = [Kind.CALL if each else Kind.PUT for each in raw["OptionIsCall"]]
    listing = Listing(
        np.array([*kinds, Kind.PERPETUAL, Kind.BASE], np.int8),
        np.zeros(count + 2, np.int32),
        np.array([*(dates.index(each) for each in raw["OptionExpiries"]), -1, -1], np.int32),
        np.array([*raw["OptionStrikes"], 0, 0], np.float64) / WEI,
    )

    def listed(name: str) -> Any:
        return np.array(raw[name], np.float64) / WEI

    spot = np.array([raw["SpotPrice"] / WEI])
    one = np.ones(1)
    market = Market(
        listing=listing,
        seconds=np.array(dates, np.float64) - passed,
        forward_fixed=listed("ForwardsFixed"),
        forward_variable=listed("ForwardsVariable"),
        rate=listed("Rates"),
        expiry_confidence=np.ones(len(dates)),
        spot=spot,
        spot_confidence=one,
        perp_price=np.array([raw["PerpPrice"] / WEI or spot[0]]),
        perp_confidence=one,
        stable=raw["StablePrice"] / WEI,
        vol=np.array([*raw["OptionVols"], 0, 0], np.float64) / WEI,
        price=np.append(np.zeros(count + 1), spot),
        confidence=np.ones(count + 2),
        usable=np.ones(count + 2, np.bool_),
    )
    held = np.array([*raw["OptionAmounts"], raw["Perps"], raw["Base"]], np.float64) / WEI
    book = Book(
        np.array([0, count + 2]),
        np.arange(count + 2, dtype=np.int32),
        held,
        np.array([raw["Cash"] / WEI]),
        np.array([(raw["UnrealisedPerpPNL"] + raw["UnrealisedFunding"]) / WEI]),
    )
    return book, market


@pytest.mark.parametrize("case", CASES)
def test_pmrm1_gives_the_auction_cases_margins(case: str, vectors_dir: Path) -> None:
    path = vectors_dir / "derive_auction" / "liquidationTests.json"
    if not path.is_file():
        pytest.skip(f"no {path.name}")
    action = json.loads(path.read_text())[case]["Actions"][0]
    raw, results = action["PortfolioAndFeeds"], action["Results"]
    parameters = replace(
        mainnet(),
        scenarios=(Scenario(1.15, VolShock.UP, 1.0),),
        vol=VolShockRange(0.45, 0.3, 0.3, 0.13, 86_400.0, 0.0),
        option_share=0.01,
    )
    result = Pmrm1(parameters).require(*as_arrays(raw, action["Time"]))
    mtm, mm = results["PreMtM"] / WEI, results["PreMM"] / WEI
    assert result.equity[0] == pytest.approx(mtm, rel=1e-12)
    assert result.excess[0] == pytest.approx(mm, rel=1e-12)
