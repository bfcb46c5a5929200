"""What to ask the chain for a snapshot, and how the answers become rows. Pure: it asks by yielding.

Each survey is a generator: it yields (address, calldata) pairs and is sent as many answers, bytes
or None where the call reverted. It knows views and tables; it must not know nodes, batches or logs.
"""

from collections.abc import Generator, Sequence

from keeper.domain.errors import ChainMismatch
from keeper.domain.units import Address
from keeper.protocols.derive.abi import call
from keeper.protocols.derive.logs.decode import (
    BASIS_SHAPE,
    OTHER_SHAPE,
    RULES_SHAPE,
    SKEW_SHAPE,
    VOL_SHOCK_SHAPE,
    scenario_rows,
)
from keeper.protocols.derive.tables import (
    AuctionRulesRow,
    BasisRow,
    CashRow,
    DeriveTables,
    ManagerRow,
    MarginRow,
    OtherRow,
    PerpRow,
    RateModelRow,
    SkewRow,
    VolShockRow,
)
from keeper.protocols.derive.wiring import NOWHERE
from keeper.protocols.derive.words import Unfit, Value, values


Ask = tuple[Address, str]
Answer = bytes | None
Survey = Generator[list[Ask], Sequence[Answer], None]

MANAGER_SHAPE = {
    "option": "a",
    "perp": "a",
    "lib": "a",
    "spotFeed": "a",
    "stableFeed": "a",
    "forwardFeed": "a",
    "interestRateFeed": "a",
    "volFeed": "a",
    "maxAccountSize": "u",
    "maxExpiries": "u",
    "adjustmentsPaused": "b",
}
CASH_SHAPE = {
    "totalSupply": "u",
    "totalBorrow": "u",
    "borrowIndex": "u",
    "supplyIndex": "u",
    "lastTimestamp": "u",
    "netSettledCash": "i",
    "smFeePercentage": "u",
    "previousSmFeePercentage": "u",
    "temporaryWithdrawFeeEnabled": "b",
    "rateModel": "a",
}
MODEL_SHAPE = {"minRate": "u", "rateMultiplier": "u", "highRateMultiplier": "u", "optimalUtil": "u"}
PERP_SHAPE = {
    "aggregatedFunding": "i",
    "lastFundingPaidAt": "u",
    "fundingConvergencePeriod": "i",
    "maxRatePerHour": "i",
    "minRatePerHour": "i",
    "staticInterestRate": "i",
    "isDisabled": "b",
    "frozenPerpPrice": "u",
    "spotFeed": "a",
    "perpFeed": "a",
    "impactAskPriceFeed": "a",
    "impactBidPriceFeed": "a",
}


def read(where: Address, view: str, answer: Answer, shape: str) -> list[Value]:
    """Return an answer's words by their shape; raises ChainMismatch, naming the view."""
    if answer is None:
        raise mismatch(where, view, shape, "a revert")
    if len(answer) < 32 * len(shape.split()):
        raise mismatch(where, view, shape, f"{len(answer)} bytes")
    try:
        return values(answer, shape)
    except Unfit as error:
        raise mismatch(where, view, shape, str(error)) from error


def mismatch(where: Address, view: str, expected: str, actual: str) -> ChainMismatch:
    """Return the error for an answer that no contract of this venue gives."""
    cure = "check the address in the configuration, and that the node has state of the block"
    return ChainMismatch(f"{view}() of {where}", expected, actual, cure)


def rows_of(where: Address, view: str, answer: Answer) -> tuple[bytes, int]:
    """Return an answer that is one list of three-word structs, with its length."""
    _, count = read(where, view, answer, "u u")
    raw = answer or b""
    if len(raw) != 32 * (2 + 3 * int(count)):
        raise mismatch(where, view, f"{count} structs", f"{len(raw)} bytes")
    return raw, int(count)


def _fields(where: Address, shape: dict[str, str]) -> Generator[list[Ask], Sequence[Answer], list]:  # type: ignore[type-arg]
    """Ask a contract for one word by each view; return the values in order."""
    answers = yield [(where, call(view)) for view in shape]
    return [
        read(where, view, answer, kind)[0]
        for (view, kind), answer in zip(shape.items(), answers, strict=True)
    ]


# ── contracts ──


def contracts(tables: DeriveTables) -> Survey:
    """Read managers, libs, perpetuals, cash and the auction."""
    for manager in tables.config.managers:
        yield from manager_rows(tables, manager)
    managers = [row for _, row in tables.managers.items()]
    for lib in sorted({row.lib for row in managers}):
        yield from lib_rows(tables, lib)
    for perp in sorted({row.perp for row in managers} - {NOWHERE}):
        tables.perps.set(perp, PerpRow(*(yield from _fields(perp, PERP_SHAPE))))
    yield from cash_rows(tables)
    yield from auction_rows(tables)


def manager_rows(tables: DeriveTables, manager: Address) -> Survey:
    """Read one manager's wiring, limits and scenarios."""
    fields = yield from _fields(manager, MANAGER_SHAPE)
    tables.managers.set(manager, ManagerRow(tables.config.underlying(manager), *fields))
    (answer,) = yield [(manager, call("getScenarios"))]
    raw, count = rows_of(manager, "getScenarios", answer)
    for index, row in enumerate(scenario_rows(raw, 2, count)):
        tables.scenarios.set((manager, index), row)


def lib_rows(tables: DeriveTables, lib: Address) -> Survey:
    """Read one lib's parameters."""
    views = {
        "getBasisContingencyParams": BASIS_SHAPE,
        "getOtherContingencyParams": OTHER_SHAPE,
        "getMarginParams": OTHER_SHAPE,
        "getVolShockParams": VOL_SHOCK_SHAPE,
        "getSkewShockParams": SKEW_SHAPE,
    }
    answers = yield [(lib, call(view)) for view in views]
    basis, other, margin, vol, skew = (
        read(lib, view, answer, shape)
        for (view, shape), answer in zip(views.items(), answers, strict=True)
    )
    tables.basis.set(lib, BasisRow._make(basis))
    tables.other.set(lib, OtherRow._make(other))
    tables.margin.set(lib, MarginRow._make(margin))
    tables.vol_shock.set(lib, VolShockRow._make(vol))
    tables.skew.set(lib, SkewRow._make(skew))


def cash_rows(tables: DeriveTables) -> Survey:
    """Read the cash asset and its rate model."""
    cash = tables.config.cash
    row = CashRow(*(yield from _fields(cash, CASH_SHAPE)))
    # Nothing borrowed, nothing accrues: then the time of the last accrual is nobody's business.
    row = row._replace(accrued_at=row.accrued_at if row.borrow > 0 else 0)
    tables.cash_state.set(cash, row)
    model = RateModelRow(*(yield from _fields(row.rate_model, MODEL_SHAPE)))
    tables.rate_models.set(row.rate_model, model)


def auction_rows(tables: DeriveTables) -> Survey:
    """Read the auction's rules and which managers it serves."""
    auction, managers = tables.config.auction, tables.config.managers
    answers = yield [
        (auction, call("getAuctionParams")),
        (auction, call("mtmCutoff")),
        (auction, call("smAccount")),
        *((auction, call("managerWhitelisted", manager)) for manager in managers),
    ]
    rules = read(auction, "getAuctionParams", answers[0], RULES_SHAPE)
    cutoff = read(auction, "mtmCutoff", answers[1], "i")
    account = read(auction, "smAccount", answers[2], "u")
    tables.auction_rules.set(auction, AuctionRulesRow._make([*rules, *cutoff, *account]))
    for manager, answer in zip(managers, answers[3:], strict=True):
        (allowed,) = read(auction, "managerWhitelisted", answer, "b")
        tables.whitelist.set(manager, bool(allowed))
