"""The dry run before going live: the whole keeper in mode "simulate" for some blocks, and its sum.

Every command is tried against the chain and none is sent. It must not know how the keeper decides,
nor write the leave that follows.
"""

import asyncio
import shutil
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from keeper.app.running import run
from keeper.config import Config
from keeper.domain.effects import Effects
from keeper.domain.events import CommandRefused, Entry, PreflightPassed
from keeper.ports import Timing
from keeper.runtime.supervisor import Ended


FOLDER: Final = "activation"  # under data_dir: the dry run's own journal and snapshots
# A chain that stands still must not keep an operator waiting for ever.
START_S: Final = 600.0
SLOWER: Final = 10
# Refusals that say nothing of the account: nobody knows what the send would have come to ...
UNKNOWN: Final = ("unknown", "no_answer", "unknown_block", "halted", "empty", "Error", "queue_full")
# ... or what was set up would refuse everything.
SET_UP: Final = (
    "EX_NotLane",
    "EX_NotPermitted",
    "EX_NoCode",
    "EX_Paused",
    "EX_ViewFailed",
    "DA_SenderNotOwner",
    "LAU_NotOwner",
    "insufficient_funds",
)


@dataclass(slots=True)
class Rehearsal:
    """A `Witness` of a run in mode "simulate": counts until so many blocks were decided.

    `passed` counts commands by kind that would have been sent, `refused` the others by reason.
    """

    blocks_wanted: int
    blocks: int = 0
    accounts: int = 0
    undecided: int = 0
    passed: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    exit_code: int = 0
    done: asyncio.Event = field(default_factory=asyncio.Event)
    _kinds: dict[int, str] = field(default_factory=dict)

    def observe(self, entry: Entry, effects: Effects, timing: Timing) -> None:
        """Count one applied entry."""
        del timing
        for command in effects.commands:
            self._kinds[command.id] = command.kind
        event = entry.event
        if effects.assessments:
            self.blocks += 1
            self.accounts = sum(each.accounts for each in effects.assessments)
            self.undecided = sum(each.undecided for each in effects.assessments)
        elif isinstance(event, PreflightPassed):
            self.passed[self._kinds[event.command_id]] += 1
        elif isinstance(event, CommandRefused):
            self._kinds.pop(event.command_id)
            if event.reason != "would_send":
                self.refused[event.reason] += 1
        if self.blocks >= self.blocks_wanted and not self._kinds:
            self.done.set()

    def complaint(self) -> str:
        """Return why nobody should go live on this, empty where nothing speaks against it."""
        if self.exit_code:
            return f"the dry run ended with code {self.exit_code}"
        if self.blocks < self.blocks_wanted:
            return f"only {self.blocks} of {self.blocks_wanted} blocks came"
        for word, reasons in (("unknown", UNKNOWN), ("of the set-up", SET_UP)):
            found = [f"{count} x {reason}" for reason, count in self._among(reasons)]
            if found:
                return f"failures {word}: {', '.join(found)}"
        return ""

    def summary(self) -> dict[str, Any]:
        """Return the counts, for the record and for people."""
        return {
            "blocks": self.blocks,
            "accounts": self.accounts,
            "undecided": self.undecided,
            "would_send": dict(sorted(self.passed.items())),
            "refused": dict(sorted(self.refused.items())),
        }

    def _among(self, reasons: tuple[str, ...]) -> list[tuple[str, int]]:
        panics = UNKNOWN if reasons is UNKNOWN else ()
        return [
            (reason, count)
            for reason, count in sorted(self.refused.items())
            if reason in reasons or (panics and reason.startswith("Panic"))
        ]


def dry(config: Config) -> Config:
    """Return the configuration of a dry run: nothing sent, a folder and a port of its own."""
    folder = str(Path(config.keeper.data_dir) / FOLDER)
    keeper = replace(config.keeper, mode="simulate", data_dir=folder)
    return replace(config, keeper=keeper, telemetry=replace(config.telemetry, listen_port=0))


async def rehearse(config: Config, rehearsal: Rehearsal) -> Ended:
    """Run dry until the rehearsal has seen its blocks, or for so long that something is wrong."""
    trial = dry(config)
    shutil.rmtree(trial.keeper.data_dir, ignore_errors=True)  # only the last one's is kept
    limit_s = START_S + SLOWER * rehearsal.blocks_wanted * config.chain.block_time_ms / 1_000
    try:
        async with asyncio.timeout(limit_s):
            return await run(trial, rehearsal)
    except TimeoutError:
        return Ended(0, ())  # the count of blocks says it
