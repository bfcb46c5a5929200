"""Options under every shock: what is to be priced, by numpy or by the compiled kernel.

The kernel takes regular options; what stands at a limit of the formula (no time, no strike, no
forward, no volatility, or no number) goes through `pricing.black76` on either path.
Must not know methods or accounts.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from keeper.margin.book import Flags, Floats, Indices
from keeper.margin.kernel.front import aligned, blank, compiled, share, width_of
from keeper.margin.kernel.shapes import Forwards, Options, Spreads, Table
from keeper.margin.netting import Places
from keeper.margin.pricing import VOL_CEILING, YEAR_S, black76


TOTAL_MIN: Final = 1e-6  # total volatility below which an option is as good as intrinsic
PRICE_MIN, PRICE_MAX = 1e-100, 1e100  # strikes and forwards beyond have no safe ratio


@dataclass(frozen=True, slots=True)
class Pricing:
    """Options and shocks.

    expiry, strike, call  (option,); strike USD
    seconds, discount     (expiry,)
    forward               (expiry, column) shocked, USD
    vol                   (kind, option) volatility a year under each kind of shock
    kind                  (column,) the one a column uses
    """

    expiry: Indices
    strike: Floats
    call: Flags
    seconds: Floats
    forward: Floats
    discount: Floats
    vol: Floats
    kind: Places

    def price(self) -> Floats:
        """Return values by numpy, USD, (column, option)."""
        return self._price(np.arange(len(self.strike)))

    def regular(self, total: Floats) -> Flags:
        """Return which options the kernel may price, (option,); total as `vol`, x sqrt(years)."""
        forward = np.all((self.forward > PRICE_MIN) & (self.forward < PRICE_MAX), axis=1)
        forward &= np.isfinite(self.discount)
        spread = np.all((total > TOTAL_MIN) & (total < VOL_CEILING), axis=0)
        strike = (self.strike > PRICE_MIN) & (self.strike < PRICE_MAX)
        found: Flags = forward[self.expiry] & spread & strike
        return found

    def irregular(self, flags: Flags) -> tuple[Places, Floats]:
        """Return the options without a flag, and their values by numpy, (column, option)."""
        places = np.flatnonzero(~flags)
        return places, self._price(places)

    def _price(self, at: Places) -> Floats:
        expiry = self.expiry[at]
        return black76(
            self.forward[expiry].T,
            self.strike[at],
            self.seconds[expiry],
            self.vol[:, at][self.kind],
            self.discount[expiry],
            self.call[at],
        )


def price_table(
    work: Pricing, rows: Places, instruments: int, threads: int
) -> tuple[Floats, Flags] | None:
    """Return values USD, (instrument, width), 64-byte aligned, and which options have numbers.

    None where no kernel is.

    rows  (option,) the instrument of each option; other instruments stay 0.0
    """
    loop, columns = compiled().values, len(work.kind)
    if loop is None:
        return None
    width = width_of(columns)
    table = aligned(instruments, width)
    total = work.vol * np.sqrt(work.seconds / YEAR_S)[work.expiry]
    regular = work.regular(total)
    at = np.flatnonzero(regular)
    forward = np.ones((len(work.seconds), width))
    forward[:, :columns] = work.forward
    used = np.zeros((len(work.vol), width))
    used[work.kind, np.arange(columns)] = 1.0
    used[0, columns:] = 1.0  # padding is priced too, and must stay a number
    strike = work.strike[at]
    options = Options(
        rows[at].astype(np.int64),
        work.expiry[at].astype(np.int64),
        work.call[at].view(np.uint8),
        strike,
        np.log(strike),
    )
    total = total if len(at) == len(rows) else total[:, at]
    forwards = Forwards(work.discount, forward.reshape(-1), np.log(forward).reshape(-1))
    spreads = Spreads(len(total), len(at), total.reshape(-1), used.reshape(-1))
    target = Table(table.reshape(-1))
    if not share(loop, len(at), (options, forwards, spreads, blank(width), target), threads):
        return None
    if len(at) < len(rows):
        places, values = work.irregular(regular)
        table[rows[places], :columns] = values.T
        regular[places] = np.isfinite(values).all(axis=0)
    return table, regular
