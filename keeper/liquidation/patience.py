"""The backup's patience: act only on what has been unserved for some blocks.

A second keeper with its own keys serves what the first has left: it acts on an opportunity that
stood in need of the same service for `act_after_blocks` decided blocks. It must not know why the
first did not act; that it is slow, frozen, poor or gone is all the same. The on-chain guards make
it harmless when both do.

The table is ours and no reorg undoes it as it does the chain's state: what was seen at or before
the common ancestor was there on this branch too, and what was seen later is forgotten, so that
after a reorg the backup is late rather than early.
"""

from collections.abc import Sequence

from keeper.domain.units import AccountId
from keeper.liquidation.priority import Appraised


Need = tuple[str, AccountId, str]  # venue, account, what is to be done and at which stage


def need_of(appraised: Appraised) -> Need:
    """Return what an opportunity stands in need of.

    An auction that started, was restarted or sold a slice since is another need than before:
    somebody serves that account, and the clock begins anew.
    """
    opportunity, appraisal = appraised
    stage = str(appraisal.service)
    auction = opportunity.auction
    if auction is not None:
        stage += f":{auction.started_s}:{auction.insolvent:d}:{auction.reserved_usd!r}"
    return (opportunity.venue, opportunity.account, stage)


class Patience:
    """Since which block each need of each venue was seen on every block decided on."""

    def __init__(self, act_after_blocks: int) -> None:
        self._after = act_after_blocks
        self._since: dict[str, dict[Need, int]] = {}
        self._asked: dict[str, int] = {}  # by venue, the block last asked about

    def __len__(self) -> int:
        return sum(len(needs) for needs in self._since.values())

    def ripe(self, venue: str, number: int, appraised: Sequence[Appraised]) -> list[Appraised]:
        """Return those seen for long enough, in the order given; learns of all of them.

        To be asked for each decided block of a venue with everything that wants doing: what is
        not among it is served, healed or in our own hands, and is forgotten. Asked again for the
        same block, it learns of what was held back the first time.
        """
        if self._after <= 0:
            return list(appraised)
        before = self._since.get(venue, {})
        now: dict[Need, int] = dict(before) if self._asked.get(venue) == number else {}
        self._asked[venue] = number
        found = []
        for each in appraised:
            need = need_of(each)
            now[need] = min(before.get(need, number), number)
            if number - now[need] >= self._after:
                found.append(each)
        self._since[venue] = now
        return found

    def rewind(self, number: int) -> None:
        """Forget what was first seen after block `number`, the common ancestor."""
        self._asked.clear()
        for venue, needs in self._since.items():
            self._since[venue] = {need: since for need, since in needs.items() if since <= number}
