"""The command line. What a command needs is imported when it runs, so that --help is quick."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from offload_fuzz import __version__
from offload_fuzz.cli_conformance import conformance
from offload_fuzz.cli_findings import known, shrink
from offload_fuzz.cli_options import EXIT_CODES
from offload_fuzz.cli_options import dir_option as _dir_option
from offload_fuzz.cli_options import isolation_option as _isolation_option
from offload_fuzz.cli_options import json_option as _json_option
from offload_fuzz.cli_options import load_option as _load_option
from offload_fuzz.cli_options import names as _names
from offload_fuzz.cli_options import roles as _roles
from offload_fuzz.cli_options import seconds as _seconds
from offload_fuzz.cli_reports import REPORTS, annotate, annotates, report
from offload_fuzz.cli_selftest import selftest
from offload_fuzz.errors import (
    EXIT_FINDING,
    EXIT_INTERNAL,
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_USAGE,
    OffloadError,
    UsageError,
    one_of,
)
from offload_fuzz.report.formats import check_formats

COMMANDS = (
    *("run", "replay", "show", "shrink", "export", "report", "known"),
    *("devices", "ops", "faults", "conformance", "selftest"),
)


class _Commands(click.Group):
    """Lists the commands in the order of use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)


@click.group(cls=_Commands, invoke_without_command=True, epilog=EXIT_CODES)
@click.version_option(__version__, prog_name="offload-fuzz", message="%(prog)s %(version)s")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Find bugs at the boundary between host and accelerator: a plan must never change the answer.

    `offload-fuzz run` tests two simulated devices; `offload-fuzz run torch:cpu` or `run my.py:MyChip` tests yours.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


# -------------------------------------------------------------------------------------------------------------- run
@cli.command(epilog=EXIT_CODES)
@click.argument("devices", nargs=-1, metavar="[DEVICE]...")
@click.option("--max-time", callback=_seconds, metavar="DURATION", help="Stop after this time, such as 90s, 10m.")
@click.option("--max-cases", type=int, metavar="N", help="Stop after N case runs (plans run).")
@click.option("--seed", type=int, default=0, show_default=True, metavar="N", help="Same seed, same cases.")
@click.option("--workers", type=int, default=1, show_default=True, metavar="N", help="Worker processes.")
@click.option(
    "--plans",
    default="default",
    show_default=True,
    metavar="SPEC",
    help="Placements of a program: exhaustive, edges, operands, chains, covering:T, random:N or default.",
)
@click.option("--no-steer", "steer", is_flag=True, flag_value=False, default=True, help="Plans as they are drawn.")
@click.option("--without", callback=_names, metavar="LIST", help="Freedoms that no plan uses, such as stream,reuse.")
@click.option("--ops", callback=_names, metavar="LIST", help="Only these ops; `offload-fuzz ops` lists them.")
@click.option("--exclude-ops", callback=_names, metavar="LIST", help="All but these ops.")
@click.option("--dtypes", callback=_names, metavar="LIST", help="Only inputs and casts of these dtypes.")
@click.option("--max-nodes", type=int, default=16, show_default=True, metavar="N", help="Largest program.")
@click.option("--strategy", metavar="NAME", help="Draw cases from this strategy of a loaded file.")
@click.option("--oracles", callback=_names, metavar="LIST", help="Only these judges, built in or loaded.")
@click.option("--contract", metavar="FILE", help="What the devices promise: a TOML file, or a shipped contract's name.")
@click.option("--known", metavar="FILE", help="Known issues, which do not fail the run; see `offload-fuzz known`.")
@click.option("--baseline", metavar="FILE", help="An earlier report.json, whose findings do not fail the run.")
@click.option(
    "--fail-on", callback=_names, metavar="LIST", help="Only findings of these kinds fail the run: crash, ..."
)
@click.option("--stop-after", type=int, metavar="N", help="Stop after N findings that fail the run.")
@click.option(
    "--report",
    "reports",
    callback=_names,
    default="terminal,json",
    show_default=True,
    metavar="LIST",
    help=f"Reports: {REPORTS}.",
)
@_dir_option
@_isolation_option
@_load_option
@_json_option
def run(
    devices: tuple[str, ...], reports: tuple[str, ...], report_dir: str | None, as_json: bool, **options: Any
) -> int:
    """Test devices for counterexamples, and store each as it is found.

    Without a DEVICE, two simulated ones are tested; `offload-fuzz devices` lists others, and my.py:MyChip names an
    adapter of your own. Without --max-time and --max-cases it takes 60 seconds.
    """
    check_formats(reports)
    from offload_fuzz import api
    from offload_fuzz.campaign.settings import DEFAULT_DEVICES
    from offload_fuzz.finding.store import STATE
    from offload_fuzz.report.commands import replay_options
    from offload_fuzz.report.document import document
    from offload_fuzz.report.formats import render
    from offload_fuzz.report.terminal import Terminal

    needed = replay_options(options)
    terminal = Terminal(sys.stdout)
    terminal.mute = as_json or "terminal" not in reports
    chosen = devices or DEFAULT_DEVICES
    with terminal:
        report = api.run(
            chosen,
            report_dir=report_dir or STATE,
            reports=reports,
            found=lambda found, path: terminal.found(found, path, needed),
            progress=terminal.progress,
            **{**options, **{name: options[name] or () for name in ("exclude_ops", "without")}},
        )
    terminal.end(report)
    if as_json:
        _print(render("json", document(report)).rstrip("\n"))
    if "markdown" in reports and annotates():
        annotate(report_dir or STATE, document(report))
    if report.error:
        _complain(report.error)
    return report.exit_code


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


# ----------------------------------------------------------------------------------------------------------- replay
@cli.command(epilog=EXIT_CODES)
@click.argument("what", nargs=-1, metavar="FILE|ID|DIR...")
@click.option(
    "--device", "roles", multiple=True, metavar="ROLE=NAME", help="Fill a role with another device; repeatable."
)
@click.option(
    "--repeat", type=click.IntRange(1), default=1, show_default=True, metavar="N", help="Run each case N times."
)
@click.option(
    "--until-fail", callback=_seconds, metavar="DURATION", help="Run each case until it fails or the time is up."
)
@click.option("--oracles", callback=_names, metavar="LIST", help="Only these judges, built in or loaded.")
@click.option("--contract", metavar="FILE", help="What the devices promise, as in `run`.")
@_isolation_option
@_dir_option
@_load_option
@_json_option
def replay(
    what: tuple[str, ...], roles: tuple[str, ...], as_json: bool, report_dir: str | None, isolation: str, **job: Any
) -> int:
    """Run stored cases again: FIXED, FAILED, FLAKY, UNKNOWN or ERROR.

    A case runs on the devices that its file names; `--device d0=mychip:0` fills role d0 with another.
    """
    if job["repeat"] > 1 and job["until_fail"] is not None:
        raise UsageError("--repeat and --until-fail both say how often a case is run; give one of them [replay]")
    if not what:
        raise UsageError("no case is named but should be: a file, a folder or an ID; `offload-fuzz show` lists them")
    if isolation not in ("process", "inline"):
        raise one_of("isolation", isolation, ("process", "inline"), "replay")
    from offload_fuzz.campaign.extension import load
    from offload_fuzz.errors import EXIT_INCONCLUSIVE
    from offload_fuzz.finding.replay import ERROR
    from offload_fuzz.finding.store import case_files
    from offload_fuzz.report.replayed import exit_code_of, replay_inline, replay_summary, replay_text, replay_watched

    devices = _roles(roles)
    load(job["load"])
    job |= {"files": [str(p) for p in case_files(*what, folder=report_dir)], "devices": devices}
    records = []
    for record in replay_watched(job) if isolation == "process" else replay_inline(job):
        records.append(record)
        if as_json:
            continue
        if record["status"] == ERROR:
            _complain(record["message"])
        else:
            _print(replay_text(record, devices))
    code = exit_code_of(records)
    if as_json:
        _print(json.dumps({"exit_code": code, "replays": records}, indent=1))
    elif len(records) > 1 or code in (EXIT_OK, EXIT_FINDING, EXIT_INCONCLUSIVE):
        _print(replay_summary(records))
    return code


@cli.command("replay-worker", hidden=True)
def replay_worker() -> int:
    """Serve one job of `replay` from standard input."""
    from offload_fuzz.report.replayed import serve

    out = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)  # what a backend prints must not stand between the records
    serve(sys.stdin.readline(), lambda text: print(text, file=out, flush=True))
    return EXIT_OK


# ------------------------------------------------------------------------------------------------------------- show
@cli.command()
@click.argument("what", required=False, metavar="[FILE|ID]")
@_dir_option
@_load_option
@_json_option
def show(what: str | None, report_dir: str | None, load: tuple[str, ...], as_json: bool) -> int:
    """Show a stored finding; without an argument, list them."""
    from offload_fuzz.case import read_case
    from offload_fuzz.finding.store import case_files, stored_files

    _load(load)
    if what is not None:
        path = case_files(what, folder=report_dir)[0]
        case, known = read_case(path)
        from offload_fuzz.case import dump_case
        from offload_fuzz.report.block import finding_block

        options = [part for name in load for part in ("--load", name)]
        _print(dump_case(case, known).rstrip("\n") if as_json else finding_block(case, known, str(path), options))
        return EXIT_OK
    from offload_fuzz.report.listing import findings_rows, table

    rows = findings_rows(stored_files(report_dir))
    if as_json:
        _print(json.dumps(rows, indent=1))
    else:
        _print(table(rows, ("id", "kind", "nodes", "message")) if rows else "no findings are stored here")
    return EXIT_OK


# ----------------------------------------------------------------------------------------------------------- export
@cli.command()
@click.argument("what", metavar="FILE|ID")
@click.option("--to", required=True, metavar="FORMAT", help="script, pytest or issue.")
@click.option("-o", "out", metavar="FILE", help="Write there, not to standard output.")
@click.option("--device", "roles", multiple=True, metavar="ROLE=NAME", help="Fill a role with another device.")
@click.option("--no-verify", is_flag=True, help="Do not run the script first.")
@_dir_option
@_load_option
@_json_option
def export(
    what: str,
    to: str,
    out: str | None,
    roles: tuple[str, ...],
    no_verify: bool,
    report_dir: str | None,
    load: tuple[str, ...],
    as_json: bool,
) -> int:
    """Write a stored finding as a stand-alone script, a pytest file or the text of an issue.

    A script needs NumPy and the backend alone, not offload-fuzz: exit 1 where it fails, 0 where not; fit for git
    bisect.
    """
    from offload_fuzz.export import door
    from offload_fuzz.finding.store import case_files

    _load(load)
    text, said = door.export(case_files(what, folder=report_dir)[0], to, out, _roles(roles), not no_verify)
    if out is not None:
        door.write(text, out)
    if as_json:
        _print(json.dumps({"to": to, "file": out, "text": text, "note": said}, indent=1))
    elif out is None:
        _print(text.rstrip("\n"))
    if said and not as_json:
        print(f"offload-fuzz: note: {said}", file=sys.stderr, flush=True)
    return EXIT_OK


# ------------------------------------------------------------------------------------------------------------ lists
@cli.command()
@_load_option
@_json_option
def devices(load: tuple[str, ...], as_json: bool) -> int:
    """List devices, those that are not on this machine with the reason."""
    return _list("device_rows", ("device", "ops", "dtypes", "streams", "contract", "note"), load, as_json)


@cli.command()
@_load_option
@_json_option
def ops(load: tuple[str, ...], as_json: bool) -> int:
    """List ops, custom ones that are loaded too."""
    return _list("op_rows", ("op", "category", "operands", "kinds", "attributes", "accuracy"), load, as_json)


@cli.command()
@_load_option
@_json_option
def faults(load: tuple[str, ...], as_json: bool) -> int:
    """List faults to plant in a simulated device."""
    return _list("fault_rows", ("fault", "class", "sentence"), load, as_json)


def _load(names: Sequence[str]) -> None:
    if names:
        from offload_fuzz.campaign.extension import load

        load(names)


def _list(what: str, columns: Sequence[str], load: Sequence[str], as_json: bool) -> int:
    from offload_fuzz.report import listing

    _load(load)
    rows = getattr(listing, what)()
    _print(json.dumps(rows, indent=1) if as_json else listing.table(rows, columns))
    return EXIT_OK


for _command in (shrink, report, known, conformance, selftest):
    cli.add_command(_command)


# ------------------------------------------------------------------------------------------------------------- main
def _print(text: str) -> None:
    print(text, flush=True)


def _complain(message: str) -> None:
    print(f"offload-fuzz: error: {' '.join(message.split())}", file=sys.stderr, flush=True)


def _where(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "unknown" if trace is None else f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"


def main(args: Sequence[str] | None = None) -> int:
    """Run a command line (default: this process's) and return its exit code; never raises."""
    if args is None:
        signal.signal(signal.SIGTERM, _interrupt)
    try:
        return int(cli.main(args, prog_name="offload-fuzz", standalone_mode=False) or EXIT_OK)
    except click.ClickException as error:
        command = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "offload-fuzz"
        _complain(f"{error.format_message().rstrip('.')} [{command}]; `{command} --help` lists what there is")
        return EXIT_USAGE
    except OffloadError as error:
        _complain(str(error))
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        _complain("interrupted")
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # the reader of our output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_INTERRUPTED
    except Exception as error:  # noqa: BLE001  # our own mistake, reported as such
        _complain(f"internal error: {type(error).__name__}: {error} [{_where(error)}]; please report it")
        return EXIT_INTERNAL
