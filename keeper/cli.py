"""The command line: run, check, lanes, replay, margin. Knows arguments and exit codes only.

Exit codes: 0 all is well, 2 wrong arguments, 64 configuration, 65 key file, 66 wrong chain or no
contract, 67 finality violated, 70 crash or data that must not be decided on, 74 storage.
"""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from keeper import __version__
from keeper.app.checking import check
from keeper.app.lanes import acknowledge, reset, show_lanes
from keeper.app.margining import listing, margin_report, table
from keeper.app.replaying import replay_journal
from keeper.app.running import run
from keeper.config import Config, describe, load
from keeper.domain.errors import KeeperError, OperatorError
from keeper.runtime.supervisor import run_to_end


EPILOG = """\
exit codes: 0 well, 2 arguments, 64 configuration, 65 key file, 66 wrong chain or contract,
67 finality violated, 70 crash, 74 storage. Start with `keeper check`; mode "observe" (the default)
decides and sends nothing.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the process's exit code."""
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
    return top


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
