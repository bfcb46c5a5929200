"""Required quotes that are growing old, told once each time: an alert before anything is wrong.

At half its heartbeat a quote still looks fine to the chain; its publisher does not. Must not know
what a quote is of.
"""

from collections.abc import Sequence
from typing import Final

from keeper.domain.effects import Assessment, Notice


# Age over heartbeat from which it is told, and below which the episode is over.
OLD: Final = 0.5
YOUNG_AGAIN: Final = 0.4


class QuoteAges:
    """The quotes that stand in an episode, by (venue, quote)."""

    def __init__(self) -> None:
        self._old: dict[tuple[str, str], None] = {}

    def look(self, assessments: Sequence[Assessment]) -> list[Notice]:
        """Return what is to be told of a block's assessments: once when an episode begins."""
        told = []
        for assessment in assessments:
            for quote, age in assessment.quote_ages:
                key = (assessment.venue, quote)
                if age >= OLD and key not in self._old:
                    self._old[key] = None
                    fields = (("venue", key[0]), ("quote", quote), ("age_of_heartbeat", age))
                    told.append(Notice("quote_ageing", "warning", fields))
                elif age < YOUNG_AGAIN and key in self._old:
                    del self._old[key]
                    fields = (("venue", key[0]), ("quote", quote), ("age_of_heartbeat", age))
                    told.append(Notice("quote_young_again", "info", fields))
        return told
