"""What a chain that holds a deployment's tables answers to an audit's questions."""

from keeper.domain.events import BlockSealed
from keeper.domain.units import WAD
from keeper.machine.assessing import assess
from keeper.protocols.derive.abi import SELECTOR
from keeper.protocols.derive.views.audit import Question, question
from keeper.protocols.derive.views.survey import Answer, Ask
from keeper.venue import Margined
from tests.unit.protocols.derive.deployment import CASH, NOW, Deployment
from tests.unit.protocols.derive.fake_reader import words


VIEW = {selector: view for view, selector in SELECTOR.items()}


def block(number: int = 1, timestamp: int = NOW) -> BlockSealed:
    return BlockSealed(
        1, number, hash_of(number), hash_of(number - 1), timestamp, 0, 0, True, 0, ()
    )


def hash_of(number: int) -> str:
    """The first is the deployment's own block."""
    return "0x" + ("11" * 32 if number == 1 else f"{number:064x}")


def margined(deployment: Deployment) -> list[Margined]:
    """Return every account's margin, as the machine computes it."""
    return assess(deployment.venue, block()).margined


def questions(deployment: Deployment) -> dict[int, Question]:
    """Return what would be asked of each account now."""
    return {
        found.account: found
        for each in margined(deployment)
        for found in (question(deployment.tables, each, r) for r in range(len(each.book.accounts)))
    }


class Views:
    """The views of a chain that holds these tables, as they are when it is made."""

    def __init__(self, truth: Deployment) -> None:
        self.reverting: set[int] = set()  # accounts whose margin view reverts
        self._truth = truth
        self._rows = {
            int(account): (each, row)
            for each in margined(truth)
            for row, account in enumerate(each.book.accounts)
        }

    def answers(self, asks: list[Ask]) -> list[Answer]:
        return [self._answer(data) for _, data in asks]

    def _answer(self, data: str) -> Answer:
        view, tables = VIEW[data[:10]], self._truth.tables
        if view == "lastAccountId":
            return raw(max(account for account, _ in tables.accounts.items()))
        account = int(data[10:74], 16)
        each, row = self._rows[account]
        at = tables.row(account)
        if view == "calculateBalanceWithInterest":
            return raw(wad(float(each.book.book.cash[row] + each.book.accrued[row])))
        if view == "getAccountBalances":
            held = [
                (
                    tables.portfolio.instruments[each].address,
                    tables.portfolio.instruments[each].sub_id,
                    quantity,
                )
                for each, quantity in tables.portfolio.positions.held(at)
            ]
            held += [(CASH, 0, tables.cash.get(at))] if tables.cash.get(at) else []
            return raw(32, len(held), *(word for line in held for word in line))
        result = each.stored
        if account in self.reverting or not result.defined[row]:
            return None
        initial = int(data[74:138], 16)
        margin = (result.excess_initial if initial else result.excess)[row]
        return raw(wad(float(margin)), wad(float(result.equity[row])), int(result.worst[row]))


def raw(*values: object) -> bytes:
    return bytes.fromhex(words(*values)[2:])


def wad(value: float) -> int:
    """Return 18 decimals, rounded as the float is: what the chain has beyond it does not matter."""
    return round(value * 10**9) * (WAD // 10**9)
