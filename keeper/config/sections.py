"""What config.toml may say: one frozen class a section, units in the names, secrets by reference.

Where a room has its own parameter class, that class is the section: `[fees]`, `[caps]`,
`[breakers]`, `[preflight]`, `[preemption]`, `[signing]`, `[limits]`, `[cooldown]`, `[reader]` and
every `[venues.<name>]`. Must not know files or how values are checked.
"""

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import Field

from keeper.chain.keys.signing_policy import SigningLimits
from keeper.chain.ledger.rows import CapParameters
from keeper.chain.link.reader import ReaderConfig
from keeper.chain.routes.book import RoutePolicy
from keeper.chain.routes.settings import RouteSettings
from keeper.chain.sending.breakers import BreakerParameters
from keeper.chain.sending.fees import FeeParameters
from keeper.chain.sending.preemption import PreemptionParameters
from keeper.chain.sending.preflight import PreflightParameters
from keeper.domain.units import Hash
from keeper.liquidation.halt import HaltRule
from keeper.liquidation.limits import LimitParameters
from keeper.liquidation.mandate import Mandate
from keeper.liquidation.outbox import CooldownRule
from keeper.oracle.settings import OracleSettings
from keeper.protocols.derive.wiring import DeriveConfig


Mode = Literal["observe", "simulate", "live"]
Count = Annotated[int, Field(ge=1)]
Port = Annotated[int, Field(ge=0, le=65_535)]
Text = Annotated[str, Field(min_length=1)]
BlockHash = Annotated[Hash, Field(pattern="^0x[0-9a-f]{64}$")]
# Names of venues are labels of metrics and parts of keys.
Name = Annotated[str, Field(pattern="^[a-z][a-z0-9_]{0,31}$")]

# A table `[venues.<name>]` says `protocol = "<word>"`; the rest of it is that protocol's class.
PROTOCOLS: Final[dict[str, type[DeriveConfig]]] = {"derive": DeriveConfig}


@dataclass(frozen=True, slots=True)
class KeeperSection:
    """What the process is for, and where it keeps what it must remember.

    The state is saved every `save_blocks` (0: never, each start is cold); a loaded one is believed
    once `sample_accounts` of it agree with the chain.
    """

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    data_dir: Text
    mode: Mode = "observe"
    role: Literal["primary", "backup"] = "primary"
    act_after_blocks: Annotated[int, Field(ge=0)] = 0
    tick_ms: Count = 1_000
    save_blocks: Annotated[int, Field(ge=0)] = 256
    sample_accounts: Count = 64


@dataclass(frozen=True, slots=True)
class EndpointSection:
    """One more endpoint of the chain: what it is there for, and how much it may be asked.

    `polling_url` serves while the socket of `node_url` cannot be kept; 0 a second is no limit.
    """

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    name: Name
    node_url: Annotated[str, Field(pattern="^(https?|wss?)://.")] = field(repr=False)
    roles: tuple[Literal["watch", "read", "send"], ...] = ("watch", "read")
    polling_url: Annotated[str, Field(pattern="^https?://.")] | None = field(
        default=None, repr=False
    )
    weight_per_s: Annotated[int, Field(ge=0)] = 0
    sends_per_s: Annotated[int, Field(ge=0)] = 0


@dataclass(frozen=True, slots=True)
class ChainSection:
    """One chain and its endpoints; URLs may hold secrets and are never printed.

    The three plain keys are endpoints too; `endpoints` are those besides, less preferred.
    """

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    chain_id: Count
    watch_url: Annotated[str, Field(pattern="^wss?://.")] = field(repr=False)
    read_url: Annotated[str, Field(pattern="^(https?|wss?)://.")] | None = field(
        default=None, repr=False
    )
    send_urls: tuple[Annotated[str, Field(pattern="^(https?|wss?)://.")], ...] = field(
        default=(), repr=False
    )
    genesis_hash: BlockHash | None = None
    block_time_ms: Count = 2_000
    poll_interval_ms: Count = 1_000
    call_deadline_ms: Count = 2_000
    stall_blocks: Count = 3
    relay_key_file: Text | None = None
    finality_blocks: Count = 64
    lag_blocks_max: Count = 3
    clock_skew_s_max: Annotated[int, Field(ge=0)] = 3_600
    header_hashes: bool = True
    endpoints: tuple[EndpointSection, ...] = ()


@dataclass(frozen=True, slots=True)
class LaneSection:
    """One sending address: where its key is, and how many nonces may be open at once.

    The key is said in exactly one way: `key_file`, `remote_signer_url` or `kms_key_id`.
    """

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    key_file: Text | None = None
    password_file: Text | None = None
    address: Annotated[str, Field(pattern="^0x[0-9a-fA-F]{40}$")] | None = None
    remote_signer_url: Annotated[str, Field(pattern="^https?://.")] | None = field(
        default=None, repr=False
    )
    remote_signer_token_file: Text | None = None
    kms_key_id: Text | None = None
    kms_region: Text | None = None
    in_flight_max: Annotated[int, Field(ge=1, le=16)] = 8


@dataclass(frozen=True, slots=True)
class StrategySection:
    """Which policy decides what is worth doing; `parameters` are its own business."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    name: Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")]
    order: Text = "excess"
    parameters: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TelemetrySection:
    """Where metrics and health are served, how much is logged, and when silence is red.

    Memory is resident bytes of the process: above the soft limit history is shed, above the hard
    one the run ends; 0 is no limit.
    """

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    listen_host: Text = "127.0.0.1"
    listen_port: Port = 9_464
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    head_age_blocks_max: Count = 5
    progress_age_ms_max: Count = 10_000
    memory_soft_bytes: Annotated[int, Field(ge=0)] = 2 * 1024**3
    memory_hard_bytes: Annotated[int, Field(ge=0)] = 4 * 1024**3


@dataclass(frozen=True, slots=True)
class AuditSection:
    """How much of our state is compared with the chain's own views, and how hard a node is asked.

    Half of `accounts_per_block` are those nearest the line, the others take turns, as many as
    `full_every_blocks` needs; `weight_per_s` (8 an account; 0: no limit) holds them all down. While
    decisions are stopped only `accounts_at_once` holds.
    """

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    accounts_per_block: Count = 8
    full_every_blocks: Count = 256
    accounts_at_once: Count = 128
    weight_per_s: Annotated[int, Field(ge=0)] = 400
    quiet_ms: Annotated[int, Field(ge=0)] = 250
    call_gas: Count = 100_000_000
    rules_every_blocks: Count = 30


@dataclass(frozen=True, slots=True)
class JournalSection:
    """How large the event journal may grow; at the total the run ends rather than drop entries."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    file_bytes_max: Annotated[int, Field(ge=65_536)] = 256 * 1024 * 1024
    total_bytes_max: Annotated[int, Field(ge=65_536)] = 16 * 1024 * 1024 * 1024
    sync_ms: Count = 1_000


@dataclass(frozen=True, slots=True)
class Config:
    """The whole of config.toml, checked."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    keeper: KeeperSection
    chain: ChainSection
    strategy: StrategySection
    venues: dict[Name, DeriveConfig]
    lanes: tuple[LaneSection, ...] = ()
    fees: FeeParameters = field(default_factory=FeeParameters)
    caps: CapParameters = field(default_factory=CapParameters)
    breakers: BreakerParameters = field(default_factory=BreakerParameters)
    preflight: PreflightParameters = field(default_factory=PreflightParameters)
    preemption: PreemptionParameters = field(default_factory=PreemptionParameters)
    signing: SigningLimits = field(default_factory=SigningLimits)
    limits: LimitParameters = field(default_factory=LimitParameters)
    cooldown: CooldownRule = field(default_factory=CooldownRule)
    halt: HaltRule = field(default_factory=HaltRule)
    routes: tuple[RouteSettings, ...] = ()
    route_policy: RoutePolicy = field(default_factory=RoutePolicy)
    mandates: tuple[Mandate, ...] = ()
    oracles: tuple[OracleSettings, ...] = ()
    reader: ReaderConfig = field(default_factory=ReaderConfig)
    audit: AuditSection = field(default_factory=AuditSection)
    telemetry: TelemetrySection = field(default_factory=TelemetrySection)
    journal: JournalSection = field(default_factory=JournalSection)
