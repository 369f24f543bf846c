"""``causeway mcp``: the documents as tools for an assistant on this machine, over stdin and stdout."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from causeway.cli.running import with_platform

if TYPE_CHECKING:
    from causeway.wiring import Platform


@click.command()
@click.option("--user", help="With what this person may see, by e-mail.  [default: everything]")
def mcp(user: str | None) -> None:
    """Offer search and ask to an assistant that starts this command (Model Context Protocol).

    An assistant elsewhere uses the address /mcp of a running Causeway, with a key.
    """

    async def serve(platform: Platform) -> None:
        from mcp.server.stdio import stdio_server

        from causeway.accounts.users import Users
        from causeway.contracts.identity import SYSTEM
        from causeway.web.mcp_tools import McpTools

        everyone = Users(platform.database, platform.clock)
        tier = platform.settings.gateway.default_tier
        caller = await everyone.principal(user, tier=tier) if user else SYSTEM
        server = McpTools(platform.search, platform.answerer).server(lambda _: caller)
        async with stdio_server() as (incoming, outgoing):
            await server.run(incoming, outgoing, server.create_initialization_options())

    with_platform(serve)
