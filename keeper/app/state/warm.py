"""Beginning a run: from the newest state file the chain still has, else from a cold snapshot.

A state is believed once a sample of accounts and their number agree with the chain at the same
block. After a cold snapshot that is settled here, before there is a run; after a warm start the
state stands blocks behind, so that the run itself settles it (`keeper.app.state.keeping`).
"""

from dataclasses import dataclass

from keeper.app.assembly import Core, Places, assemble, load_snapshot
from keeper.app.state.files import candidates, open_state
from keeper.app.state.snapshots import take_snapshot
from keeper.config import Config
from keeper.domain.effects import Notice
from keeper.domain.errors import EndpointError, StateMismatch, StateRefused
from keeper.ports import ChainReader, Header
from keeper.protocols.derive.derive import Derive
from keeper.protocols.derive.snapshot import compare
from keeper.protocols.derive.views.agreement import Standing, chosen, standing
from keeper.telemetry.logging import Lines


DIFFERENCES_TOLD_MAX = 3


@dataclass(frozen=True, slots=True)
class Begun:
    """Where a run begins: its loaded pure side, the block it is of, and the file that holds it.

    `agreed` where the state was compared with the chain at that very block.
    """

    core: Core
    header: Header
    file: str
    digest: str
    warm: bool
    agreed: bool


async def begin(
    config: Config,
    reader: ChainReader,
    places: Places,
    lines: Lines,
    gap_blocks_max: int,
    *,
    cold: bool,
) -> Begun | None:
    """Return where the run begins; None where the block left the chain before it was compared.

    `cold`: no state file will do. Raises StateMismatch where a fresh snapshot is not what the
    chain says, and what taking one raises.
    """
    if config.keeper.save_blocks and not cold:
        begun = await _from_file(config, reader, places, lines, gap_blocks_max)
        if begun is not None:
            return begun
    core = assemble(config)
    taken = await take_snapshot(config, reader, places, lines)
    load_snapshot(core, taken.document)
    taken.document.clear()  # the tables hold it now; a large book's text would stay all day
    try:
        await _vouch(config, core, reader, taken.header)
    except EndpointError as error:
        fields = (("problem", f"the snapshot could not be compared: {error}"),)
        lines.tell(Notice("new_snapshot_needed", "warning", fields))
        return None
    return Begun(core, taken.header, taken.file, taken.digest, warm=False, agreed=True)


async def _from_file(
    config: Config, reader: ChainReader, places: Places, lines: Lines, gap_blocks_max: int
) -> Begun | None:
    """Return the newest state file that will do, loaded; None where there is none."""
    for path in candidates(places):
        core = assemble(config)
        try:
            image, digest, header = await open_state(path, config, reader, gap_blocks_max)
            load_snapshot(core, image)
        except StateRefused as refused:
            fields = (("file", path.name), ("reason", refused.reason), ("problem", refused.problem))
            lines.tell(Notice("state_refused", "warning", fields))
            continue
        except EndpointError as error:
            fields = (("file", path.name), ("reason", "unchecked"), ("problem", str(error)))
            lines.tell(Notice("state_refused", "warning", fields))
            return None
        unsupported = sum(venue.unsupported() for venue in core.venues)
        loaded = (("number", header.number), ("hash", header.hash), ("file", path.name))
        lines.tell(Notice("state_loaded", "info", (*loaded, ("unsupported", unsupported))))
        return Begun(core, header, path.name, digest, warm=True, agreed=False)
    return None


async def _vouch(config: Config, core: Core, reader: ChainReader, block: Header) -> None:
    for venue in core.venues:
        found = await compare(reader, venue.config, block, sampled(config, venue, block.hash))
        if found:
            raise StateMismatch(venue.name, f"{block.number} {block.hash}", told(found))


def sampled(config: Config, venue: Derive, block: str) -> Standing:
    """Return what a venue holds now of the accounts that a block's hash chooses."""
    tables = venue.tables
    return standing(tables, chosen(tables, block, config.keeper.sample_accounts))


def told(found: list[str]) -> str:
    """Return the first differences as one text."""
    more = len(found) - DIFFERENCES_TOLD_MAX
    return "; ".join(found[:DIFFERENCES_TOLD_MAX]) + (f"; and {more} more" if more > 0 else "")
