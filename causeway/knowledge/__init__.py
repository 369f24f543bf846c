"""Documents in, cited answers out.

`front_door` lists what others may import from here. Its names are looked up when they are first asked for, because
the disposable process that parses a file imports this package too and would pay half a second for the database.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from causeway.knowledge.front_door import *  # noqa: F403 - the names are listed there, once
else:

    def __getattr__(name: str) -> object:
        import causeway.knowledge.front_door as door  # noqa: PLC0415 - see above

        try:
            return getattr(door, name)
        except AttributeError:
            raise AttributeError(f"module 'causeway.knowledge' has no attribute {name!r}") from None
