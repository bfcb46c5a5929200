"""What a process that holds keys denies itself: core dumps, and being read by its own user.

Called once, before the first key is read. It must not know keys or configuration.
"""

import ctypes
import resource
from typing import Final

from keeper.domain.errors import KeyFileError


_PR_SET_DUMPABLE: Final = 4


def deny_dumps() -> None:
    """Forbid core dumps and ptrace by others; raises KeyFileError where the system refuses."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        answer = ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    except AttributeError:
        return  # no Linux: the limit above is what there is
    if answer != 0:
        cure = "run where prctl(PR_SET_DUMPABLE) is allowed"
        raise KeyFileError("process memory", "could be dumped", cure)
