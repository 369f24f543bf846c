"""The ``causeway`` command: its groups, and what every command does with an error.

Only click is imported here and at the top of the other files in this folder; a command imports what it needs when it
runs, so that ``causeway --help`` answers at once.
"""

from __future__ import annotations

import os
import sys

import click

from causeway import __version__
from causeway.cli.alerts import alerts
from causeway.cli.analyst import analyst
from causeway.cli.ask import ask, search
from causeway.cli.collections import collections
from causeway.cli.doctor import doctor
from causeway.cli.evals import evals
from causeway.cli.feedback import feedback
from causeway.cli.ingest import ingest
from causeway.cli.keys import keys
from causeway.cli.mcp import mcp
from causeway.cli.models import models
from causeway.cli.prompts import prompts
from causeway.cli.settings import settings
from causeway.cli.sources import sources
from causeway.cli.teams import teams
from causeway.cli.up import serve, up, worker
from causeway.cli.users import access, groups, users
from causeway.errors import CausewayError

DONE, FAILED, WRONG_USAGE = 0, 1, 2


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="causeway")
def cli() -> None:
    """Causeway: one self-hosted AI platform.

    Start with 'causeway up --demo', then ask: causeway ask "How long can I return a tent?"
    """


for command in (
    up,
    serve,
    worker,
    ingest,
    collections,
    sources,
    search,
    ask,
    analyst,
    keys,
    teams,
    users,
    groups,
    access,
    mcp,
    models,
    settings,
    evals,
    feedback,
    prompts,
    alerts,
    doctor,
):
    cli.add_command(command)


def main() -> None:
    """Run the command line; errors made on purpose are one sentence on stderr, never a traceback."""
    try:
        sys.exit(cli(standalone_mode=False) or DONE)
    except click.exceptions.Abort:
        click.echo("stopped", err=True)
        sys.exit(FAILED)
    except click.ClickException as exc:
        exc.show()
        sys.exit(WRONG_USAGE)
    except BrokenPipeError:  # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(DONE)
    except CausewayError as exc:
        click.echo(f"causeway: {exc.message}", err=True)
        sys.exit(FAILED)
