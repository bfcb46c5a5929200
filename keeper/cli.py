"""The command line: run, check, lanes, replay, margin. Knows arguments and exit codes only.

Exit codes: 0 all is well, 2 wrong arguments, 64 configuration, 65 key file, 66 wrong chain or no
contract, 67 finality violated, 68 state that the chain gainsays, 70 crash or data that must not be
decided on, 74 storage.
"""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keeper import __version__
from keeper.app.checking import check
from keeper.app.drill.drilling import DrillOptions, drill
from keeper.app.lanes import acknowledge, reset, show_lanes
from keeper.app.leave.going_live import agreed, trial
from keeper.app.margining import listing, margin_report, table
from keeper.app.replaying import replay_journal
from keeper.app.running import run
from keeper.app.whatif import changes_of, snapshot_file, snapshot_now, whatif
from keeper.app.whatif import table as whatif_table
from keeper.config import Config, describe, load, looks_like_key
from keeper.domain.errors import KeeperError, KeyFileError, OperatorError
from keeper.runtime.supervisor import run_to_end


EPILOG = """\
exit codes: 0 well, 2 arguments, 64 configuration, 65 key file, 66 wrong chain or contract,
67 finality violated, 68 state the chain gainsays, 70 crash, 74 storage. Start with `keeper check`;
mode "observe" (the default) decides and sends nothing.
"""

WHATIF = """\
changes, all under the name of an underlying (plain numbers, as in docs/margin.md):
  ETH.margin.mm_factor=0.9           a lib's parameter; groups basis, margin, other, vol_shock, skew
  ETH.collateral.0x....mm_haircut=0.1        also im_haircut, enabled, risk_cancelling
  ETH.limits.expiries_max=5                  also account_size_max
  ETH.scenarios='[[1.1, "up", 1.0], [0.9, "none", 1.0]]'     the whole list
  ETH.spot_shift=-10%                        also vol_shift, stable_shift: shares of the last quotes
a file holds the same: [ETH.margin] mm_factor = 0.9
"""


# argparse keeps the class of what `add_subparsers` returns to itself.
Commands = Any


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the process's exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    # Before the parser, which would repeat what it does not know.
    if any(looks_like_key(word.rpartition("=")[2]) for word in words):
        print(
            "keeper: an argument looks like a private key, and every process of this host can see "
            "arguments; hold that key for stolen, and put the next one in a file (mode 0600)",
            file=sys.stderr,
        )
        return KeyFileError.exit_code
    chosen = parser().parse_args(arguments)
    try:
        code: int = chosen.command(chosen)
    except OperatorError as error:
        print(f"keeper: {error}", file=sys.stderr)
        return error.exit_code
    except KeeperError as error:
        print(f"keeper: {type(error).__name__}: {error}", file=sys.stderr)
        return 70
    except BrokenPipeError:
        # The reader has seen enough (`keeper margin ... | head`); nothing is lost but the rest.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    top = argparse.ArgumentParser(
        prog="keeper",
        description="Keeps derivatives and lending venues solvent: margins every account on "
        "every block and liquidates breaches in priority order.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"keeper {__version__}")
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    add = commands.add_parser("run", help="follow the chain, decide, and (mode live) send")
    _with_config(add)
    add.set_defaults(command=_run)
    add = commands.add_parser(
        "check", help="look at config, endpoints, contracts, keys and balances; say each cure"
    )
    _with_config(add)
    add.add_argument("--values", action="store_true", help="also print every value in effect")
    add.set_defaults(command=_check)
    _activate_words(commands)
    _drill_words(commands)
    add = commands.add_parser(
        "lanes",
        help="show lanes, slots and breakers; let one work again after you looked",
        description="Showing works beside a running keeper; ack and reset want it stopped.",
    )
    _with_config(add)
    add.add_argument("--ack", metavar="ADDRESS", help="end a lane's quarantine")
    add.add_argument("--reset", metavar="BREAKER", help="close a breaker that latched")
    add.set_defaults(command=_lanes)
    add = commands.add_parser(
        "replay", help="re-apply a recorded journal; one line when equal, else where it diverged"
    )
    add.add_argument("journal", type=Path, help="the journal's first file")
    _with_config(add)
    add.add_argument(
        "--accounts",
        type=Path,
        metavar="FILE",
        help="write every account's figures of the last decided block as JSON",
    )
    add.set_defaults(command=_replay)
    add = commands.add_parser(
        "margin",
        help="margin a portfolio file under any method, without a chain",
        description="Methods and their sources: --list; formulae: docs/margin.md.",
    )
    add.add_argument("--list", action="store_true", help="list the methods and their exactness")
    add.add_argument("--method", metavar="NAME", help="a method of --list")
    add.add_argument("--toml", type=Path, metavar="FILE", help="a method of your own, in TOML")
    add.add_argument("--portfolio", type=Path, metavar="FILE", help="positions and market, JSON")
    add.add_argument("--json", action="store_true", help="print JSON instead of a table")
    add.set_defaults(command=_margin)
    _add_whatif(commands.add_parser("whatif", help="who would breach if a rule were another"))
    return top


def _add_whatif(add: argparse.ArgumentParser) -> None:
    add.description = "Margins everybody as it is, and with changed rules or quotes; sends nothing."
    add.formatter_class = argparse.RawDescriptionHelpFormatter
    add.epilog = WHATIF
    _with_config(add)
    add.add_argument(
        "--change",
        action="append",
        required=True,
        metavar="KEY=VALUE|FILE",
        help="a change, or a TOML file of them; may be given more than once",
    )
    add.add_argument(
        "--snapshot",
        type=Path,
        metavar="FILE",
        help="of data_dir/snapshots, instead of reading the newest block",
    )
    add.add_argument("--json", action="store_true", help="print JSON instead of a table")
    add.set_defaults(command=_whatif)


def _activate_words(commands: Commands) -> None:
    add = commands.add_parser(
        "activate",
        help="check, run dry, show the caps, and give leave to go live with this configuration",
        description='Mode "live" starts with such leave only; a changed configuration, lane or '
        "executor wants a new one.",
    )
    _with_config(add)
    add.add_argument("--blocks", type=int, default=5, metavar="N", help="of the dry run")
    add.add_argument("--yes", action="store_true", help="agree without being asked")
    add.set_defaults(command=_activate)


def _drill_words(commands: Commands) -> None:
    add = commands.add_parser(
        "drill",
        help="make accounts liquidatable on a throwaway copy of the chain and run the whole path",
        description="Forks the configured read endpoint on this host (reads only), or uses a "
        "development node of this host and puts it back. Never sends to a real endpoint.",
    )
    _with_config(add)
    add.add_argument(
        "--accounts",
        type=lambda text: tuple(int(each) for each in text.split(",")),
        default=(),
        metavar="1,2,3",
        help="the accounts (default: the three nearest to their line)",
    )
    add.add_argument("--node-url", metavar="URL", help="a development node instead of a fork")
    add.add_argument("--anvil", type=Path, metavar="PATH", help="the anvil to fork with")
    add.add_argument("--json", action="store_true", help="print JSON instead of a table")
    add.set_defaults(command=_drill)


def _with_config(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "-c",
        "--config",
        type=Path,
        default=Path("config.toml"),
        metavar="FILE",
        help="the configuration (default: config.toml)",
    )


def _run(chosen: argparse.Namespace) -> int:
    config = load(chosen.config)
    return run_to_end(lambda: run(config))


def _check(chosen: argparse.Namespace) -> int:
    config = load(chosen.config)
    if chosen.values:
        print("\n".join(describe(config)))
    return asyncio.run(_print_findings(config))


async def _print_findings(config: Config) -> int:
    """Print each finding as it comes; return the first bad one's exit code."""
    code = 0
    async for finding in check(config):
        print(finding.line(), flush=True)
        code = code or finding.exit_code
    return code


def _activate(chosen: argparse.Namespace) -> int:
    config = load(chosen.config)
    code = asyncio.run(_print_findings(config))
    if code:
        print("keeper: nothing was activated: mend what is BAD", file=sys.stderr)
        return code
    if not chosen.yes and not sys.stdin.isatty():
        print("keeper activate: nobody to ask here; give --yes", file=sys.stderr)
        return 2
    told, rehearsal = trial(config, chosen.blocks)
    print("\n".join(told), flush=True)
    if rehearsal.complaint():
        print(f"keeper: nothing was activated: {rehearsal.complaint()}", file=sys.stderr)
        return 70
    if not chosen.yes and input("go live with this? type yes: ").strip() != "yes":
        print("keeper: nothing was activated", file=sys.stderr)
        return 1
    print(f"activated: {asyncio.run(agreed(config, rehearsal))}")
    return 0


def _drill(chosen: argparse.Namespace) -> int:
    options = DrillOptions(chosen.accounts, chosen.node_url, chosen.anvil)
    report = asyncio.run(drill(load(chosen.config), options))
    told = report.document() if chosen.json else None
    print("\n".join(report.table()) if told is None else json.dumps(told, indent=2))
    return 0 if report.passed else 70


def _lanes(chosen: argparse.Namespace) -> int:
    config = load(chosen.config)
    if chosen.ack is not None:
        nonce = asyncio.run(acknowledge(config, chosen.ack.lower()))
        print(f"lane {chosen.ack.lower()} works again, from nonce {nonce}")
    if chosen.reset is not None:
        was_open = asyncio.run(reset(config, chosen.reset))
        print(f"breaker {chosen.reset} {'is closed' if was_open else 'was not open'}")
    if chosen.ack is None and chosen.reset is None:
        print("\n".join(show_lanes(config)))
    return 0


def _replay(chosen: argparse.Namespace) -> int:
    counts = replay_journal(load(chosen.config), chosen.journal, chosen.accounts)
    torn = ", last line torn" if counts.torn else ""
    print(
        f"equal: {counts.entries} entries in {counts.files} file(s), {counts.sealed} sealed, "
        f"{counts.commands} commands{torn}"
    )
    return 0


def _whatif(chosen: argparse.Namespace) -> int:
    config, given = load(chosen.config), changes_of(chosen.change)
    if chosen.snapshot is None:
        document = asyncio.run(snapshot_now(config))
    else:
        document = snapshot_file(chosen.snapshot)
    answer = whatif(config, document, given)
    print(json.dumps(answer, indent=2) if chosen.json else whatif_table(answer))
    return 0


def _margin(chosen: argparse.Namespace) -> int:
    if chosen.list:
        print(listing())
        return 0
    if chosen.portfolio is None or (chosen.method is None and chosen.toml is None):
        print(
            "keeper margin: give --portfolio and --method (or --toml), or --list", file=sys.stderr
        )
        return 2
    document = margin_report(chosen.method or "", chosen.portfolio, chosen.toml)
    print(json.dumps(document, indent=2) if chosen.json else table(document))
    return 0
