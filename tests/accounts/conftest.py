from __future__ import annotations

import pytest

from causeway.accounts.groups import Groups
from causeway.accounts.users import Users
from causeway.storage.database import Database
from causeway.testing.clock import FrozenClock
from tests.accounts.people import cheap_passwords


@pytest.fixture
def users(database: Database, clock: FrozenClock) -> Users:
    return Users(database, clock, cheap_passwords())


@pytest.fixture
def groups(database: Database) -> Groups:
    return Groups(database)
