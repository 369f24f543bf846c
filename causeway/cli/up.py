"""``causeway up``, ``serve`` and ``worker``: the processes that stay."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    import socket

    import uvicorn

    from causeway.accounts.single_sign_on import SingleSignOn
    from causeway.accounts.users import Users
    from causeway.settings import Settings
    from causeway.web.parts import AccountParts, AdminParts, PromptParts
    from causeway.wiring import Platform

_GRACE_S = 5
EXAMPLES = (
    "How many days do I have to return something I bought online?",
    "What does error E-4017 on the card terminal mean, and what do I do?",
    "How many days of annual leave does a full-time colleague have?",
    "Which of our tents is the lightest?",
)
"""Questions about the sample company, for the first screen."""


@click.command()
@click.option("--demo", is_flag=True, help="Load the sample company's documents.")
@click.option("--host", help="Address to listen on.  [default: server.host]")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on.  [default: server.port]")
def up(demo: bool, host: str | None, port: int | None) -> None:
    """Start everything in one process: database, models, web pages, background work."""
    _stay(host, port, demo=demo, work="must", is_web=True)


@click.command()
@click.option("--host", help="Address to listen on.  [default: server.host]")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on.  [default: server.port]")
def serve(host: str | None, port: int | None) -> None:
    """Serve pages and the gateway only; a worker elsewhere does the background work."""
    _stay(host, port, demo=False, work="never", is_web=True)


@click.command()
def worker() -> None:
    """Do background work only; as many as you like, on this machine and on others that share the database."""
    _stay(None, None, demo=False, work="also", is_web=False)


def _stay(host: str | None, port: int | None, *, demo: bool, work: str, is_web: bool) -> None:
    from causeway import settings as configuration
    from causeway.cli.progress import pull_missing
    from causeway.cli.running import run
    from causeway.observability import logs
    from causeway.wiring import Work, open_platform

    settings = configuration.load()
    logs.configure(settings.telemetry)
    changed = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    settings = settings.model_copy(update={"server": settings.server.model_copy(update=changed)})
    is_told = "capture_calls" in settings.telemetry.model_fields_set
    if demo and not is_told:  # what is tried out may be looked at
        allowed = settings.telemetry.model_copy(update={"capture_calls": True})
        settings = settings.model_copy(update={"telemetry": allowed})

    async def stay() -> None:
        socket = _listen(settings, is_alone=work == "must") if is_web else None
        await pull_missing(settings)
        async with open_platform(settings, work=Work(work)) as platform:
            await _live(platform, settings, socket, demo=demo)

    run(stay())


def _listen(settings: Settings, *, is_alone: bool) -> socket.socket:
    """Take the port before anything slow, so that a taken one is said at once.

    ``is_alone``: this process will be the only one to work on the data folder, so that the port's owner may be another
    Causeway that does already; then that is what is said.
    """
    import errno
    import socket

    from causeway.errors import PortInUseError, SettingsError
    from causeway.storage.data_folder import DataFolder

    host, port = settings.server.host, settings.server.port
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(1024)
    except socket.gaierror as exc:
        raise SettingsError(f"server.host is '{host}', which is no address of this machine") from exc
    except OSError as exc:
        if exc.errno == errno.EADDRINUSE:
            if is_alone:
                with DataFolder(settings.storage.dir).claim():
                    pass
            raise PortInUseError(
                f"port {port} is in use; stop that program or choose another with --port"
            ) from exc
        raise SettingsError(
            f"cannot listen on {host}:{port}: {exc.strerror}; choose another --host or --port"
        ) from exc
    listener.setblocking(False)
    return listener


async def _live(
    platform: Platform, settings: Settings, listener: socket.socket | None, *, demo: bool
) -> None:
    """Serve and work until told to stop."""
    import asyncio
    import signal

    _settle_in()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, platform.live.ask)
    async with asyncio.TaskGroup() as group:
        server = _server(platform, settings, demo=demo) if listener else None
        if server and listener:
            group.create_task(server.serve(sockets=[listener]))
            platform.folder.announce(_address(settings, listener))
        await _greet(platform, settings, listener)
        loading = group.create_task(_load_demo(platform)) if demo else None
        await stop.wait()
        if loading:
            loading.cancel()
        if server:
            server.should_exit = True


def _settle_in() -> None:
    """Ready this process to serve: what is loaded now stays, and threads give way quickly.

    Garbage is collected less often, and leaves out what was there before the first call: a tenth of a call's time.
    Threads that write spans and the ledger hold the interpreter for half a millisecond at most, in place of five, while
    a call waits for it.
    """
    import gc
    import sys

    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    sys.setswitchinterval(0.0005)


def _server(platform: Platform, settings: Settings, *, demo: bool) -> uvicorn.Server:
    import uvicorn

    from causeway.accounts.users import Users
    from causeway.web.app import build_app
    from causeway.web.bounded_http import BoundedHttp
    from causeway.web.parts import IngestParts, ReviewParts, TelemetryParts, WebParts
    from causeway.web.sessions import Sessions

    class Quiet(uvicorn.Server):
        """Leaves signals to `_live`: uvicorn raises them again at its end, which would skip our own clean stop."""

        @contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield

    users = Users(platform.database, platform.clock)
    parts = WebParts(
        settings=settings.server,
        clock=platform.clock,
        keys=platform.keys,
        sessions=Sessions(
            platform.database,
            platform.clock,
            settings.sign_in,
            tier=platform.settings.gateway.default_tier,
        ),
        library=platform.library,
        uploads=platform.uploads,
        sources=platform.sources,
        moves=platform.moves,
        blobs=platform.blobs,
        search=platform.search,
        answerer=platform.answerer,
        analyst=platform.analyst,
        conversations=platform.conversations,
        traces=platform.traces,
        feedback=platform.feedback,
        edge=platform.edge,
        readiness=platform.readiness,
        admin=_administration(platform, users),
        accounts=_accounts(platform, users),
        ingest=IngestParts(
            collections=platform.collections, control=platform.control, progress=platform.progress
        ),
        evals=platform.evals,
        prompts=_prompts(platform),
        stats=platform.stats,
        alerts=platform.alerts,
        review=ReviewParts(
            reviewing=platform.reviewing,
            collected=platform.collected,
            experiments=platform.experiments,
            export=platform.feedback_export,
        ),
        slack=platform.slack,
        telemetry=TelemetryParts(
            imports=platform.telemetry.imports,
            metrics=partial(platform.telemetry.metrics, platform.database),
            import_max_bytes=settings.telemetry.import_max_bytes,
            is_open=settings.telemetry.metrics_open,
        ),
        examples={settings.knowledge.collection: EXAMPLES} if demo else {},
    )
    config = uvicorn.Config(
        build_app(parts),
        loop="none",
        http=BoundedHttp,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # `build_app` reads them, for pages alone
        timeout_graceful_shutdown=_GRACE_S,
    )
    return Quiet(config)


def _accounts(platform: Platform, users: Users) -> AccountParts:
    from causeway.web.parts import AccountParts

    provider = platform.settings.oidc
    return AccountParts(
        users=users,
        takes_passwords=platform.settings.sign_in.passwords,
        single_sign_on=_single_sign_on(platform, users) if provider.issuer else None,
        provider=provider.name,
        redirect_uri=provider.redirect_uri,
    )


def _single_sign_on(platform: Platform, users: Users) -> SingleSignOn:
    from causeway.accounts.openid import OpenIdClient
    from causeway.accounts.single_sign_on import SingleSignOn

    provider = platform.settings.oidc
    return SingleSignOn(
        database=platform.database,
        users=users,
        client=OpenIdClient(provider, platform.clock),
        settings=provider,
        clock=platform.clock,
    )


def _administration(platform: Platform, users: Users) -> AdminParts:
    from causeway.accounts.groups import Groups
    from causeway.gateway import audit
    from causeway.gateway.audit import Audit
    from causeway.gateway.budget_standing import BudgetStandings
    from causeway.gateway.provider_check import ProviderChecks
    from causeway.gateway.teams import Teams
    from causeway.gateway.usage import UsageReader
    from causeway.knowledge import AccessRules
    from causeway.web.parts import AdminParts

    database, live, clock = platform.database, platform.live, platform.clock
    return AdminParts(
        keys=platform.keys,
        teams=Teams(database),
        live=live,
        users=users,
        groups=Groups(database),
        access=AccessRules(database, audit.record),
        checks=ProviderChecks(run_dir=platform.folder.run, storage=platform.settings.storage, clock=clock),
        budgets=BudgetStandings(state=platform.state, spent=platform.ledger.spent, clock=clock),
        usage=UsageReader(database, platform.ledger),
        audit=Audit(database),
        routes=lambda: live.built.steps.routes,
        breakers=lambda: live.built.steps.failover.breakers.open_ones(),
    )


def _prompts(platform: Platform) -> PromptParts:
    from causeway.errors import UnknownModelError
    from causeway.prompts.usage import PromptUsage
    from causeway.web.parts import PromptParts

    def models() -> list[str]:
        routes, found = platform.live.built.steps.routes, []
        for name in routes.names():
            with suppress(UnknownModelError):  # it embeds, ranks or draws
                routes.chat(name)
                found.append(name)
        return found

    return PromptParts(
        registry=platform.prompts,
        usage=PromptUsage(platform.database, platform.ledger.flush),
        gateway=platform.gateway,
        models=models,
    )


def _address(settings: Settings, listener: socket.socket) -> str:
    host = settings.server.host
    shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104 - compared, not bound
    return f"http://{f'[{shown}]' if ':' in shown else shown}:{listener.getsockname()[1]}{settings.server.root_path}"


async def _greet(platform: Platform, settings: Settings, listener: socket.socket | None) -> None:
    if listener is None:
        click.echo("working; stop with Ctrl+C", err=True)
        return
    first = await platform.keys.create_first()
    click.secho(f"\n  Causeway is ready at {_address(settings, listener)}", bold=True)
    if first:
        click.echo(f"  Admin key: {first.secret}  (shown this once: keep it)")
    else:
        click.echo("  Sign in with your admin key; lost it? causeway keys create NAME --scope admin")
    click.echo("  Stop with Ctrl+C\n")


async def _load_demo(platform: Platform) -> None:
    import asyncio

    from causeway.cli.ingest import show, wait
    from causeway.cli.samples import lay_out
    from causeway.wiring import load_shop, sample_documents

    if await load_shop(platform):
        click.echo(
            '  Loaded the sample shop: ask it with causeway analyst "What was our revenue by month in 2025?"',
            err=True,
        )
    place = platform.folder.root / "samples"
    found = await platform.folders.sync(await asyncio.to_thread(lay_out, sample_documents(), place), None)
    if found.documents:
        show(await wait(platform, found))
