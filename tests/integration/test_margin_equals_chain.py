"""Our arrays against the chain's own margin: every account, every condition, both ways to a state.

Random books under several parameter sets are followed by logs alone, and read afresh by a
snapshot, through low confidence, a depeg, funding and interest, the settlement window, expired
options and stale quotes. To 1e-8 of gross notional, and refused exactly where the chain refuses.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from deploy.devnet.chain.node import Node
from deploy.devnet.venue.parameters import (
    LINEAR,
    BookParameters,
    MarginParameters,
    VenueParameters,
    golden_scenarios,
    two_books,
    wad,
)
from keeper.protocols.derive.derive import Derive
from keeper.venue import Margined
from tests.integration.margin_world import DAY_S, HOUR_S, Market, View, World, margins, snapshot_of


pytestmark = pytest.mark.node

ACCOUNTS_A_BOOK = 16
ERROR_MAX = 1e-8


def _wads(*texts: str) -> tuple[int, ...]:
    return tuple(wad(text) for text in texts)


def venue_with(margin: MarginParameters) -> VenueParameters:
    books: tuple[BookParameters, ...] = tuple(replace(book, margin=margin) for book in two_books())
    return VenueParameters(books=books)


GOLDEN_LIKE = MarginParameters(
    margin=_wads("1", "0.8", "0.5", "1", "0.08", "0.08", "1.04", "0.95"),
    other=_wads("0.98", "2", "0.55", "1", "0.015", "0.005", "0.003", "0.002"),
    vol_shock=(*_wads("0.5", "0.275", "0.3", "0.13"), 86_400, wad("0.45")),
    skew=_wads("0.15", "0.15", "-0.05", "-0.05", "0.01", "4", "0.6", "-0.1"),
)
# No skew, so that a strike of nothing has a margin; the basis often worst; few expiries allowed.
HARSH = MarginParameters(
    scenarios=tuple(each for each in golden_scenarios() if each[1] < LINEAR)[:20],
    basis=_wads("1.1", "0.9", "1.5", "5"),
    margin=_wads("1.25", "1", "2", "0.5", "0.3", "0.02", "1.1", "0.9"),
    other=_wads("0.995", "6", "0.9", "1.5", "0.05", "0.02", "0.01", "0.005"),
    vol_shock=(*_wads("0.9", "0.6", "0.5", "-0.1"), 172_800, wad("0.6")),
    max_expiries=2,
)
PARAMETERS = {"deployed": MarginParameters(), "golden_like": GOLDEN_LIKE, "harsh": HARSH}


@dataclass(frozen=True)
class Checkpoint:
    """One block: what the chain says, and what we say from logs and from a snapshot."""

    name: str
    truth: dict[int, View]
    ours: dict[str, list[Margined]]


@pytest.fixture(scope="module", params=list(PARAMETERS))
def played(request: pytest.FixtureRequest) -> Iterator[dict[str, Checkpoint]]:
    """Play the whole course on a node of its own, checking nothing yet."""
    with Node() as node:
        seed = list(PARAMETERS).index(request.param) + 1
        world = World(node, venue_with(PARAMETERS[request.param]), seed)
        yield {checkpoint.name: checkpoint for checkpoint in course(world)}


def course(world: World) -> Iterator[Checkpoint]:
    """Yield the checkpoints in the order of time."""
    start, settle = world.start, world.expiries[0]
    fallen = {"ETH": 2_750.0, "BTC": 84_000.0}
    world.post(start, Market())
    world.open_books(ACCOUNTS_A_BOOK)
    world.post(start + 60, Market())
    yield look(world, "fresh", start + 60)
    world.post(start + HOUR_S, Market(fallen, stable=0.93, confidence_least=0.1))
    yield look(world, "doubtful_depegged", start + HOUR_S)
    world.post(start + 20 * HOUR_S, Market(fallen, rate=-0.05))
    yield look(world, "funding_interest_negative_rates", start + 20 * HOUR_S)
    world.post(settle - 650, Market(fallen, confidence_least=0.5))
    world.post_average(settle - 600, settle - 700)
    yield look(world, "settlement_window", settle - 600)
    world.post_average(settle + 290, settle)
    world.post(settle + 300, Market(fallen))
    yield look(world, "expired_unsettled", settle + 300)
    world.post(settle + 1_500, Market(fallen))
    yield look(world, "expired_smile_too_old", settle + 1_500)
    late = settle + 1_500 + 2 * HOUR_S
    world.post(late, Market(fallen, skip=frozenset({"impact", "vol"}), books=("ETH",)))
    yield look(world, "stale", late)
    world.post(late + 30 * DAY_S, Market(fallen))
    yield look(world, "a_month_of_interest", late + 30 * DAY_S)


def look(world: World, name: str, now: int) -> Checkpoint:
    """Return the chain's answers and ours at the latest block, whose timestamp is `now`."""
    world.follower.follow()
    venues: dict[str, Derive] = {
        "logs": world.follower.venue,
        "snapshot": snapshot_of(world.reads, world.config),
    }
    ours = {way: margins(venue, now) for way, venue in venues.items()}
    return Checkpoint(name, world.views(), ours)


CONDITIONS = (
    "fresh",
    "doubtful_depegged",
    "funding_interest_negative_rates",
    "settlement_window",
    "expired_unsettled",
    "expired_smile_too_old",
    "stale",
    "a_month_of_interest",
)
WAYS = ("logs", "snapshot")


def rows(checkpoint: Checkpoint, way: str) -> Iterator[tuple[int, Margined, int, View]]:
    """Yield (account, its book with margin, its row, the chain's view) of every account."""
    seen = 0
    for margined in checkpoint.ours[way]:
        for row, account in enumerate(margined.book.accounts.tolist()):
            if account in checkpoint.truth:  # the security module's own is nobody's book
                seen += 1
                yield account, margined, row, checkpoint.truth[account]
    assert seen == len(checkpoint.truth) == 2 * ACCOUNTS_A_BOOK


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("condition", CONDITIONS)
def test_we_refuse_exactly_the_accounts_whose_view_reverts(
    played: dict[str, Checkpoint], condition: str, way: str
) -> None:
    checkpoint = played[condition]

    ours = {
        account for account, each, row, _ in rows(checkpoint, way) if not each.stored.defined[row]
    }

    assert ours == {account for account, view in checkpoint.truth.items() if view.margins is None}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("condition", CONDITIONS)
def test_margins_on_stored_cash_are_the_chain_s(
    played: dict[str, Checkpoint], condition: str, way: str
) -> None:
    compared = 0
    for account, each, row, view in rows(played[condition], way):
        if view.margins is None:
            continue
        result, (mm, im, mtm, _) = each.stored, view.margins
        allowed = ERROR_MAX * max(1.0, float(result.gross[row]))
        compared += 1

        assert abs(float(result.excess[row]) - mm) <= allowed, account
        assert abs(float(result.excess_initial[row]) - im) <= allowed, account
        assert abs(float(result.equity[row]) - mtm) <= allowed, account
    assert compared > 0


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("condition", CONDITIONS)
def test_the_worst_scenario_is_the_chain_s(
    played: dict[str, Checkpoint], condition: str, way: str
) -> None:
    for account, each, row, view in rows(played[condition], way):
        if view.margins is None or int(each.stored.worst[row]) == view.margins[3]:
            continue
        # Another index is right only where the two lose the same, to the last digits.
        ladder = each.book.method.ladder(each.book.book, each.book.market)[row]
        tie = 1e-12 * max(1.0, float(each.stored.gross[row]))

        ours = ladder[int(each.stored.worst[row])]
        assert ours == pytest.approx(ladder[view.margins[3]], abs=tie), account


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("condition", CONDITIONS)
def test_accrued_cash_is_what_settling_interest_would_store(
    played: dict[str, Checkpoint], condition: str, way: str
) -> None:
    for account, each, row, view in rows(played[condition], way):
        ours = float(each.book.book.cash[row] + each.book.accrued[row])

        assert abs(ours - view.cash_now) <= ERROR_MAX * max(1.0, abs(view.cash_now)), account


def test_the_course_was_no_toy(played: dict[str, Checkpoint]) -> None:
    def defined(condition: str) -> int:
        return sum(view.margins is not None for view in played[condition].truth.values())

    everybody = 2 * ACCOUNTS_A_BOOK
    assert defined("fresh") >= everybody // 2
    assert defined("expired_smile_too_old") < defined("expired_unsettled")
    assert 0 < defined("stale") < ACCOUNTS_A_BOOK
    month = played["a_month_of_interest"]
    owed = [each.book.accrued[row] for _, each, row, _ in rows(month, "logs")]
    assert min(owed) < -1.0
    worst = {view.margins[3] for view in played["fresh"].truth.values() if view.margins}
    assert len(worst) >= 4
    carried = [each.book.book.carried[row] for _, each, row, _ in rows(month, "logs")]
    assert any(abs(value) > 1.0 for value in carried)
