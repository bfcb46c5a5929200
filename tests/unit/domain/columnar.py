"""Logs as columns, for tests that hold them against plain ones."""

from collections.abc import Sequence

import numpy as np

from keeper.domain.events import Log
from keeper.domain.logs import Logs, columns_of


def columnar(logs: Sequence[Log]) -> Logs:
    """Return the logs as columns; raises ValueError where their data are no bytes."""
    known = [*dict.fromkeys(log.transaction for log in logs)]
    return Logs(
        columns_of(logs),
        np.array([log.log_index for log in logs], np.int64),
        np.array([known.index(log.transaction) for log in logs], np.int64),
        known,
    )
