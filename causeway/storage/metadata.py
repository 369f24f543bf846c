"""What all tables share: how constraints are named, and columns that many have."""

from __future__ import annotations

from sqlalchemy import Column, DateTime, MetaData, func

tables = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)


def moment(name: str, *, nullable: bool = False) -> Column[object]:
    """A column of a moment, UTC; now where nothing else is said, unless it is ``nullable``."""
    default = None if nullable else func.now()
    return Column(name, DateTime(timezone=True), nullable=nullable, server_default=default)
