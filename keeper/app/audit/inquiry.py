"""Asking about figures at one block: of one endpoint, and of another where the two of us differ.

What nobody answers is not known: neither agreement nor drift. A difference must be said twice: an
endpoint that takes it back is told of. One that a second endpoint contradicts is the first one's,
and told; one that nobody contradicts stands, also where there is only one endpoint to ask. Must not
know whose figures they are.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from keeper.chain.link.hedge import is_answer
from keeper.domain.effects import Notice
from keeper.domain.errors import EndpointError
from keeper.domain.units import Hash
from keeper.ports import CallFailed, ChainReader
from keeper.protocols.derive.views.audit import Difference, Question


WITNESSES_MAX: Final = 3
FAILURES_MAX: Final = 16  # requests to one endpoint that may fail before it is given up

Found = list[Difference] | None  # None: nobody answered


class Witness(NamedTuple):
    """An endpoint that can be asked, by its configured name."""

    name: str
    reader: ChainReader


class Block(NamedTuple):
    """The block that is asked about."""

    number: int
    hash: Hash


class Inquiry:
    """Whom to ask; `disputed` counts differences that an endpoint contradicted, or took back."""

    def __init__(
        self,
        witnesses: Callable[[], Sequence[Witness]],
        tell: Callable[[Notice], None],
        call_gas: int,
    ) -> None:
        self.disputed = 0
        self._witnesses = witnesses
        self._tell = tell
        self._call_gas = call_gas

    async def ask(self, questions: Sequence[Question], block: Block) -> list[Found]:
        """Return each question's differences; later endpoints are asked what earlier ones left."""
        found: list[Found] = [None for _ in questions]
        said: dict[int, str] = {}
        for witness in list(self._witnesses())[:WITNESSES_MAX]:
            left = [place for place, each in enumerate(found) if each is None or each]
            if not left:
                break
            hearing = _Hearing(witness, block, self._call_gas, self._tell)
            heard = await self._insist(hearing, [questions[place] for place in left])
            for place, differences in zip(left, heard, strict=True):
                if differences is None:
                    continue
                before = found[place]
                if before and not differences:
                    self._dispute(said[place], witness.name, before[0])
                if before is None or not differences:
                    found[place], said[place] = differences, witness.name
        return found

    async def _insist(self, hearing: "_Hearing", questions: list[Question]) -> list[Found]:
        """Return what an endpoint says, asked once more where it says otherwise than we.

        A node that takes in a block while it answers may have looked at that one: anvil does.
        """
        heard = await hearing.ask(questions)
        apart = [place for place, differences in enumerate(heard) if differences]
        again = await hearing.ask([questions[place] for place in apart]) if apart else []
        taken_back = []
        for place, differences in zip(apart, again, strict=True):
            if differences == []:
                taken_back += heard[place] or []
            if differences is not None:
                heard[place] = differences
        if taken_back:
            self.disputed += len(taken_back)
            fields = (
                ("endpoint", hearing.witness),
                ("differences", len(taken_back)),
                ("difference", str(taken_back[0])),
            )
            self._tell(Notice("audit_retracted", "warning", fields))
        return heard

    def _dispute(self, one: str, other: str, difference: Difference) -> None:
        """Tell of an endpoint that said otherwise than we and another one."""
        self.disputed += 1
        fields = (
            ("endpoint", one),
            ("contradicted_by", other),
            ("difference", str(difference)),
        )
        self._tell(Notice("audit_disputed", "error", fields))


class _Hearing:
    """One endpoint asked about one block."""

    def __init__(
        self, witness: Witness, block: Block, call_gas: int, tell: Callable[[Notice], None]
    ) -> None:
        self._witness = witness
        self._block = block
        self._call_gas = call_gas
        self._tell = tell
        self._failures_left = FAILURES_MAX

    @property
    def witness(self) -> str:
        """Return the endpoint's name."""
        return self._witness.name

    async def ask(self, questions: list[Question]) -> list[Found]:
        """Return what the answers differ in; a question the endpoint cannot take stands alone."""
        asks = [ask for each in questions for ask in each.asks]
        reader = self._witness.reader
        try:
            results = await reader.call_many(asks, self._block.hash, self._call_gas)
            header = await reader.header(self._block.number)
        except EndpointError as error:
            self._failures_left -= 1
            if len(questions) > 1 and is_answer(error) and self._failures_left > 0:
                half = len(questions) // 2
                return [*await self.ask(questions[:half]), *await self.ask(questions[half:])]
            self._unanswered(questions, error.problem)
            return [None for _ in questions]
        if header.hash != self._block.hash:
            # Answers of another branch, or of a node that overlooks which block was meant.
            self._unanswered(questions, f"block {self._block.number} is {header.hash} there")
            return [None for _ in questions]
        answers = iter(results)
        return [each.judge([_bytes(next(answers)) for _ in each.asks]) for each in questions]

    def _unanswered(self, questions: list[Question], problem: str) -> None:
        fields = (
            ("endpoint", self._witness.name),
            ("account", questions[0].account),
            ("questions", len(questions)),
            ("problem", problem),
        )
        self._tell(Notice("audit_unanswered", "warning", fields))


def _bytes(answer: str | CallFailed) -> bytes | None:
    return None if isinstance(answer, CallFailed) else bytes.fromhex(answer.removeprefix("0x"))
