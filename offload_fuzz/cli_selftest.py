"""The command `selftest`."""

from __future__ import annotations

import click

from offload_fuzz.cli_options import EXIT_CODES, json_option, load_option, names, seconds


@click.command(epilog=EXIT_CODES)
@click.option("--faults", callback=names, metavar="LIST", help="Only these faults; `offload-fuzz faults` lists them.")
@click.option("--max-time", callback=seconds, default="60s", show_default=True, metavar="DURATION", help="Per search.")
@click.option("--seeds", type=click.IntRange(1), default=1, show_default=True, metavar="N", help="Searches per fault.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, metavar="N", help="The first seed.")
@load_option
@json_option
def selftest(
    faults: tuple[str, ...] | None, max_time: float, seeds: int, seed: int, load: tuple[str, ...], as_json: bool
) -> int:
    """Plant each fault in a simulated device and say how soon and how small it is found.

    A search ends after --max-time or 20,000 case runs. A fault that is missed makes the exit code 1.
    """
    from offload_fuzz.campaign import selftest as test
    from offload_fuzz.report import selftest as report

    if load:
        from offload_fuzz.campaign.extension import load as load_extensions

        load_extensions(load)
    records = []
    if not as_json:
        click.echo(report.heading())
    for record in test.selftest(faults, max_time, range(seed, seed + seeds)):
        records.append(record)
        if not as_json:
            click.echo(report.line(record))
    code = test.exit_code(records)
    missed = [r["fault"] for r in records if test.is_missed(r)]
    if as_json:
        click.echo(test.records_json(records, max_time, test.MAX_CASES))
    else:
        if seeds > 1:
            click.echo(report.identities(test.identities(records)))
        click.echo(report.verdict(records, missed, code))
    return code
