"""Brings the tables of a control store up to date: makes them, takes older ones over by alembic, refuses newer ones."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect

from compiler.problem import Problem, Problems
from skywright.control.tables import METADATA

STEPS = Path(__file__).with_name("migrations")

OLD = "schema_version"
"""Where stores had their number before alembic: 1 to 6, the revisions 0001 to 0006."""

LAST_OLD = 6

NOW = "alembic_version"


def newest() -> str:
    """The revision that this program knows."""
    return max(path.stem.removeprefix("step_") for path in STEPS.glob("step_*.py"))


def bring_up(connection: Connection) -> None:
    """To be called inside of a transaction that keeps others out. Raises Problems control/store-newer."""
    names = set(inspect(connection).get_table_names())
    found = _found(connection, names)
    wanted = newest()
    if found is None:
        METADATA.create_all(connection)
        _stamp(connection, wanted)
    elif found > wanted:
        raise Problems(
            Problem(
                "control/store-newer",
                f"the control store has schema {int(found)}, this program knows {int(wanted)}",
                hint="use the newer skywright that wrote it",
            )
        )
    elif found < wanted:
        if NOW not in names:
            _stamp(connection, found)
            # A program of before sees that it is too old.
            connection.exec_driver_sql(f"UPDATE {OLD} SET version = {LAST_OLD + 1}")  # noqa: S608
        upgrade(connection, wanted)
    elif NOW not in names:
        _stamp(connection, found)
        connection.exec_driver_sql(f"UPDATE {OLD} SET version = {LAST_OLD + 1}")  # noqa: S608


def _found(connection: Connection, names: set[str]) -> str | None:
    """The store's revision; None when it is empty."""
    if NOW in names:
        row = connection.exec_driver_sql(f"SELECT version_num FROM {NOW}").fetchone()  # noqa: S608
        return str(row[0]) if row else None
    row = connection.exec_driver_sql(f"SELECT version FROM {OLD}").fetchone() if OLD in names else None  # noqa: S608
    return f"{int(row[0]):04d}" if row and row[0] else None


def _stamp(connection: Connection, revision: str) -> None:
    connection.exec_driver_sql(
        f"CREATE TABLE IF NOT EXISTS {NOW} (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"
    )
    connection.exec_driver_sql(f"INSERT INTO {NOW} VALUES ('{revision}')")  # noqa: S608


def upgrade(connection: Connection, to: str) -> None:
    """Walk the steps by alembic, which is loaded for that alone: it is large, and most starts have nothing to do."""
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory

    script = ScriptDirectory(str(STEPS), version_locations=[str(STEPS)])
    with EnvironmentContext(
        Config(), script, fn=lambda revision, _: script._upgrade_revs(to, revision)
    ) as environment:
        environment.configure(connection=connection, transactional_ddl=False)
        environment.run_migrations()
