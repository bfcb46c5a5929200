"""What we have asked for and not heard the end of: one live action an account.

The outbox is ours, not the chain's: no reorg rewinds it. It changes with proposals and with the
outcomes that come back as events; the ledger in the shell is its durable twin.
"""

from dataclasses import dataclass
from typing import NamedTuple

from keeper.domain.errors import InvariantViolation
from keeper.domain.units import AccountId


# Whose a live action is: a venue's account, or the venue's feeds, which are no account's.
Key = tuple[str, AccountId | None]


class Live(NamedTuple):
    """A command that may still be, or come to be, on chain."""

    venue: str
    account: AccountId | None
    kind: str
    decided_number: int


@dataclass(frozen=True, slots=True)
class CooldownRule:
    """Blocks an account rests after a refusal or revert: first, then doubled up to the most."""

    first_blocks: int = 1
    most_blocks: int = 64


class Outbox:
    """Live commands by id and by account, and the accounts that rest."""

    def __init__(self, rule: CooldownRule, next_id: int = 1) -> None:
        self._rule = rule
        self._next_id = next_id
        self._live: dict[int, Live] = {}
        # One each, but for orphans: a reorg may bring old actions back beside a newer one.
        self._by_account: dict[Key, dict[int, None]] = {}
        self._rest: dict[Key, tuple[int, int]] = {}  # account -> (failures, free again at block)

    def __len__(self) -> int:
        return len(self._live)

    def start_from(self, next_id: int) -> None:
        """Take the next command id from the ledger, at the start of a run."""
        if next_id < self._next_id:
            raise InvariantViolation(f"command ids go back from {self._next_id} to {next_id}")
        self._next_id = next_id

    def free(self, venue: str, account: AccountId | None, number: int) -> bool:
        """Tell whether a new action for this account may be decided at block `number`.

        None stands for the venue's feeds, here and in `open`: one live push a venue.
        """
        key = (venue, account)
        if key in self._by_account:
            return False
        rest = self._rest.get(key)
        return rest is None or number >= rest[1]

    def open(self, venue: str, account: AccountId | None, kind: str, number: int) -> int:
        """Give a new command its id; the account has a live action from here on."""
        key = (venue, account)
        if key in self._by_account:
            raise InvariantViolation(f"account {account} of {venue} has a live action already")
        command_id = self._next_id
        self._next_id += 1
        self._live[command_id] = Live(venue, account, kind, number)
        self._by_account[key] = {command_id: None}
        return command_id

    def close(self, command_id: int) -> Live | None:
        """End a command; None where it is not live (told twice, or of a run before)."""
        live = self._live.pop(command_id, None)
        if live is not None:
            key = (live.venue, live.account)
            del self._by_account[key][command_id]
            if not self._by_account[key]:
                del self._by_account[key]
        return live

    def reopen(self, command_id: int, live: Live) -> None:
        """Take back an end that a reorg undid: the action is live again.

        Also beside a newer one of the account, which may yet be refused: the orphan's bytes can be
        in a block again until it is told that they cannot, and the account is not free before.
        """
        self._live[command_id] = live
        self._by_account.setdefault((live.venue, live.account), {})[command_id] = None

    def rest(self, live: Live, number: int) -> int:
        """Let an account rest after a failure; return until which block."""
        key = (live.venue, live.account)
        failures = self._rest.get(key, (0, 0))[0]
        blocks = min(self._rule.first_blocks << min(failures, 32), self._rule.most_blocks)
        until = number + blocks
        self._rest[key] = (failures + 1, until)
        return until

    def forgive(self, live: Live) -> None:
        """Forget an account's failures after a success."""
        self._rest.pop((live.venue, live.account), None)

    def expire(self, number: int) -> None:
        """Forget rests that ended long ago, so that the table stays small."""
        horizon = number - 4 * self._rule.most_blocks
        for key in [key for key, (_, until) in self._rest.items() if until < horizon]:
            del self._rest[key]
