"""OKX portfolio margin: nine risks of a risk unit, added over units.

Exact aggregation; the half cover of MR6 and IMR = 1.3 MMR are inferred from the venue's example,
and its two examples do not tell max(MR1, MR6) from either alone. Source: OKX API v5 position
builder and the parameter notice of January 2025. USD; losses negative going in, positive out.
"""

from dataclasses import dataclass
from typing import Final

from keeper.margin.addons import Charges
from keeper.margin.book import Floats
from keeper.margin.errors import finite, finite_array, not_negative
from keeper.margin.form import Form
from keeper.margin.shocks import Shock


MR6_COVER: Final = 0.5
INITIAL: Final = 1.3
BORROW_MMR, BORROW_IMR = 0.02, 0.10
# (MR1 spot moves, MR6 move) by class of coin.
CLASSES: Final = {
    "btc_eth": ((0.0, 0.04, 0.08, 0.12), 0.24),
    "mid": ((0.0, 0.06, 0.12, 0.18), 0.36),
    "other": ((0.0, 0.08, 0.16, 0.25), 0.5),
}


@dataclass(frozen=True, slots=True)
class Risks:
    """MR1 spot and vol, MR2 theta, MR3 vega term, MR4 basis, MR5 rates, MR6 extreme, MR7 least."""

    mr1: float = 0.0
    mr2: float = 0.0
    mr3: float = 0.0
    mr4: float = 0.0
    mr5: float = 0.0
    mr6: float = 0.0
    mr7: float = 0.0

    @property
    def mmr(self) -> float:
        """Return max(max(MR1, MR2, MR6) + MR3 + MR4 + MR5, MR7)."""
        core = max(self.mr1, self.mr2, self.mr6) + self.mr3 + self.mr4 + self.mr5
        return max(core, self.mr7)

    @property
    def imr(self) -> float:
        """Return the initial requirement."""
        return INITIAL * self.mmr


def scenario_loss(pnl: Floats, cover: float = 1.0) -> float:
    """Return the covered part of the worst loss, zero where nothing loses."""
    return not_negative("cover", cover) * max(0.0, -float(finite_array("pnl", pnl, 1).min()))


def linear_steps(end: float) -> tuple[float, float]:
    """Return a linear book's loss at two thirds and one third of the last move."""
    loss = abs(finite("end", end))
    return 2.0 / 3.0 * loss, loss / 3.0


def linear_extreme(end: float) -> float:
    """Return a linear book's raw MR6 loss: twice the last MR1 move, before the half cover."""
    return 2.0 * abs(finite("end", end))


def account_totals(
    mmr: Floats, imr: Floats, owed: tuple[float, float]
) -> tuple[float, float, float]:
    """Return (derivatives' MMR, total MMR, total IMR): units add up; owed = borrow's two."""
    unit_mmr, unit_imr = finite_array("unit_mmr", mmr), finite_array("unit_imr", imr)
    derivatives = float(unit_mmr.sum())
    return derivatives, derivatives + owed[0], float(unit_imr.sum()) + owed[1]


def in_usd(amount: float, usdt_usd: float) -> float:
    """Return a USDT amount in USD."""
    return finite("amount", amount) * not_negative("usdt_usd", usdt_usd)


def stable_charge(amounts: Floats, rates: Floats) -> float:
    """Return MR9 from amounts INSIDE each tier and the tiers' rates."""
    inside, rate = finite_array("amounts", amounts), finite_array("rates", rates)
    return float((inside * rate).sum())


def borrow(equity_usd: float) -> tuple[float, float]:
    """Return (MMR, IMR) of a coin that is owed."""
    owed = max(0.0, -finite("eq_usd", equity_usd))
    return BORROW_MMR * owed, BORROW_IMR * owed


def method(coin_class: str, vol: float) -> Form:
    """Return MR1 and MR6 as one scenario set; OUTLINE for options.

    MR2, MR3, MR5 and MR7 are left out. `vol` is the operator's: the venue's vol shifts were not
    found.
    """
    steps, extreme = CLASSES[coin_class]
    spots = sorted({-step for step in steps} | set(steps))
    body = [Shock(spot=spot, vol=move) for spot in spots for move in (vol, 0.0, -vol)]
    tails = [Shock(spot=side * extreme, weight=MR6_COVER) for side in (-1.0, 1.0)]
    return Form("okx", (*body, *tails), charges=Charges(), im_factor=INITIAL)
