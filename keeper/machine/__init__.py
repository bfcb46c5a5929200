"""The pure core: entries in, effects out.

`machine` folds and decides, `assessing` margins a venue on a block, `screening` says whose figures
that takes, `serving` turns breaches into commands in priority order, `gates` says why nothing is
decided for a venue.
"""

from keeper.machine.machine import Machine
from keeper.machine.screening import compute
from keeper.machine.serving import MachineParameters, Round


__all__ = ["Machine", "MachineParameters", "Round", "compute"]
