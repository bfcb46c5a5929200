"""Every error of the house, in one tree, named by who must act.

KeeperError
├── OperatorError            the operator: refuse to start, say the cure; an exit code each
│   ├── ConfigError          64  a key of config.toml is unknown, mistyped or out of range
│   ├── KeyFileError         65  a signing key cannot be read, or others may read it
│   ├── ChainMismatch        66  wrong chain id, no code at an address, another contract there
│   ├── FinalityViolated     67  the chain went back behind what it had called final
│   ├── StateMismatch        68  a state just read is not what the chain says of it
│   └── StorageError         74  journal or ledger cannot be written
├── EndpointError            the node's provider: retry elsewhere; never "healthy", never "not sent"
│   ├── EndpointUnreachable      no connection, or it broke
│   ├── DeadlineExceeded         no answer in time: the outcome is unknown
│   ├── RateLimited              429 or its JSON-RPC form, with the seconds to wait
│   ├── MalformedReply           an answer that is not what the protocol says
│   └── RpcError                 a JSON-RPC error object: code, message, data
├── DataError                the data: stop deciding on it, and say which
│   ├── UndecodableLog           a known topic with a body that does not fit it
│   ├── MalformedRecord          a journal line or snapshot that does not parse or does not add up
│   ├── StateRefused             a state file that is torn, foreign or not of this chain any more
│   └── ReplayDiverged           a journal re-applied gave other effects
└── InvariantViolation       us: a bug; the process ends

Fields are plain values, so that this room needs no other.
"""


class KeeperError(Exception):
    """Root of the tree."""


class OperatorError(KeeperError):
    """Something the operator must mend; `exit_code` is what the process ends with."""

    exit_code = 70


class ConfigError(OperatorError):
    """A configuration key is wrong."""

    exit_code = 64

    def __init__(self, key: str, value: object, cure: str) -> None:
        self.key = key
        self.value = value
        self.cure = cure
        super().__init__(f"{key} = {value!r}: {cure}")


class KeyFileError(OperatorError):
    """A signing key cannot be used; never holds key material."""

    exit_code = 65

    def __init__(self, path: str, problem: str, cure: str) -> None:
        self.path = path
        self.problem = problem
        self.cure = cure
        super().__init__(f"key file {path}: {problem}; {cure}")


class ChainMismatch(OperatorError):
    """The chain is not what the configuration says."""

    exit_code = 66

    def __init__(self, what: str, expected: object, actual: object, cure: str) -> None:
        self.what = what
        self.expected = expected
        self.actual = actual
        self.cure = cure
        super().__init__(f"{what}: expected {expected}, was {actual}; {cure}")


class FinalityViolated(OperatorError):
    """A block that was final is no longer on the chain."""

    exit_code = 67

    def __init__(self, number: int, expected: str, actual: str) -> None:
        self.number = number
        self.expected = expected
        self.actual = actual
        super().__init__(f"block {number} was final as {expected}, is now {actual}")


class StateMismatch(OperatorError):
    """A state that was just read differs from the chain at the same block: nothing is decided."""

    exit_code = 68

    def __init__(self, venue: str, block: str, difference: str) -> None:
        self.venue = venue
        self.block = block
        self.difference = difference
        cure = "look at the read endpoint: it gave two answers for one block"
        super().__init__(f"{venue} at block {block}: {difference}; {cure}")


class StorageError(OperatorError):
    """Journal or ledger cannot be written: nothing may be sent."""

    exit_code = 74

    def __init__(self, path: str, problem: str) -> None:
        self.path = path
        self.problem = problem
        super().__init__(f"{path}: {problem}")


class EndpointError(KeeperError):
    """A node's endpoint failed; `endpoint` is its configured name, never its URL."""

    def __init__(self, endpoint: str, problem: str) -> None:
        self.endpoint = endpoint
        self.problem = problem
        super().__init__(f"{endpoint}: {problem}")


class EndpointUnreachable(EndpointError):
    """No connection, or it broke while a call was out."""


class DeadlineExceeded(EndpointError):
    """No answer within the deadline; what the node did is unknown."""


class RateLimited(EndpointError):
    """The endpoint asks us to wait `retry_after_s` seconds."""

    def __init__(self, endpoint: str, retry_after_s: float) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(endpoint, f"rate limited for {retry_after_s} s")


class MalformedReply(EndpointError):
    """The endpoint's bytes are not what the protocol says."""


class RpcError(EndpointError):
    """A JSON-RPC error object. `data` is the revert data where the call reverted, else None."""

    def __init__(self, endpoint: str, code: int, message: str, data: str | None = None) -> None:
        self.code = code
        self.message = message[:256]
        self.data = data
        super().__init__(endpoint, f"error {code}: {self.message}")


class DataError(KeeperError):
    """Data we must not decide on."""


class UndecodableLog(DataError):
    """A log whose topic we know and whose body does not fit it."""

    def __init__(self, address: str, topic: str, log_index: int, problem: str) -> None:
        self.address = address
        self.topic = topic
        self.log_index = log_index
        self.problem = problem
        super().__init__(f"log {log_index} of {address}, topic {topic}: {problem}")


class MalformedRecord(DataError):
    """A journal line or a snapshot that does not parse or does not add up."""

    def __init__(self, source: str, line: int, problem: str) -> None:
        self.source = source
        self.line = line
        self.problem = problem
        super().__init__(f"{source}:{line}: {problem}")


class StateRefused(DataError):
    """A state file that must not be begun from; `reason` is a classified word."""

    def __init__(self, source: str, reason: str, problem: str) -> None:
        self.source = source
        self.reason = reason
        self.problem = problem
        super().__init__(f"{source}: {reason}: {problem}")


class ReplayDiverged(DataError):
    """A re-applied journal gave other effects at entry `seq`."""

    def __init__(self, seq: int, expected: str, actual: str) -> None:
        self.seq = seq
        self.expected = expected
        self.actual = actual
        super().__init__(f"entry {seq}: recorded {expected}, replayed {actual}")


class InvariantViolation(KeeperError):
    """A promise of our own was broken: a bug, never data."""
