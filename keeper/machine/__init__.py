"""The pure core: entries in, effects out.

`machine` folds and decides, `assessing` margins a venue on a block, `serving` turns breaches into
commands in priority order, `gates` says why nothing is decided for a venue.
"""

from keeper.machine.machine import Machine
from keeper.machine.serving import MachineParameters, Round


__all__ = ["Machine", "MachineParameters", "Round"]
