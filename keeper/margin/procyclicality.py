"""Anti-procyclicality: what keeps margins from jumping when markets do, and how it is measured.

Source: Commission Delegated Regulation (EU) 153/2013, Article 28 (1) (a) to (c). Filters over
time; what the margin is made of is not known here.
"""

import numpy as np

from keeper.margin.book import Floats
from keeper.margin.errors import BadNumber, finite_array, not_negative, positive, within


def buffered(current: float, buffer: float) -> float:
    """Return option (a): a buffer, 0.25 or more, on top of the calculated margin."""
    return not_negative("current", current) * (1.0 + not_negative("buffer", buffer))


def stress_weighted(current: float, stressed: float, weight: float) -> float:
    """Return option (b): stressed observations weigh 0.25 or more."""
    share = within("weight", weight, 0.0, 1.0)
    calm = not_negative("current", current)
    return (1.0 - share) * calm + share * not_negative("stressed", stressed)


def floored(current: float, long_run: float) -> float:
    """Return option (c): never below the margin from ten years of volatility."""
    return max(not_negative("current", current), not_negative("ten_year", long_run))


def buffered_path(margins: Floats, buffer: float) -> Floats:
    """Return option (a) over time: the buffer is used up while margins rise, (day,).

    Our reading of "temporarily exhausted": yesterday's charge stands as long as it lies between
    the calculated margin and the fully buffered one.
    """
    path = finite_array("margins", margins, 1).copy()
    not_negative("least of margins", float(path.min()))
    share = not_negative("buffer", buffer)
    path[0] *= 1.0 + share
    for day in range(1, len(path)):
        path[day] = max(path[day], min(path[day - 1], path[day] * (1.0 + share)))
    return path


def peak_to_trough(margins: Floats) -> float:
    """Return the largest margin of a window over the smallest."""
    series = finite_array("series", margins, 1)
    return float(series.max()) / positive("least of series", float(series.min()))


def largest_call(margins: Floats, days: int) -> float:
    """Return the largest relative rise over `days` steps, a fraction."""
    series = finite_array("series", margins, 2)
    positive("least of series", float(series.min()))
    if not 0 < days < len(series):
        raise BadNumber("n", days, f"pass 1 to {len(series) - 1} steps")
    return float(np.max(series[days:] / series[:-days])) - 1.0
