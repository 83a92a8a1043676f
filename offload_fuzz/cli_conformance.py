"""The command `conformance`."""

from __future__ import annotations

import json

import click

from offload_fuzz.cli_options import EXIT_CODES, hang_after_option, json_option, load_option


@click.command(epilog=EXIT_CODES)
@click.argument("device", metavar="DEVICE")
@hang_after_option
@click.option(
    "--known",
    metavar="FILE|none",
    help="Known issues whose `promises` do not fail the device, beside those that are shipped; none: not even these.",
)
@load_option
@json_option
def conformance(device: str, hang_after: float, known: str | None, load: tuple[str, ...], as_json: bool) -> int:
    """Check whether a device keeps what its adapter declares, promise by promise.

    A broken promise is named with what was seen, what was expected and what to do. A crash or a hang breaks the promise
    that was being checked, and the next one is looked at. A promise that breaks by a known issue, a bug of the backend
    that has its tracker, is shown as known and does not fail the device.
    """
    from offload_fuzz.campaign.conformance.excused import known_for
    from offload_fuzz.campaign.conformance.judge import exit_code, watched
    from offload_fuzz.report.conformance import conformance_text

    issues = known_for(known)
    if load:
        from offload_fuzz.campaign.extension import load as load_extensions

        load_extensions(load)
    declares, *records = watched(device, load, hang_after, issues)
    code = exit_code(records)
    if as_json:
        click.echo(json.dumps({"device": device, "exit_code": code, **declares, "promises": records}, indent=1))
    else:
        click.echo(conformance_text(device, declares["declares"], records, code))
    return code
