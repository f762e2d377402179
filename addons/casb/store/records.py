"""Which activity log a deployment has: SQLite in the data folder, or PostgreSQL that several sidecars share."""

from __future__ import annotations

from casb.settings import Settings
from casb.store.records_postgres import PostgresRecords
from casb.store.records_sqlite import Database, SqliteRecords, database_path

type ActivityLog = SqliteRecords | PostgresRecords
"""One of them; they answer alike."""


def open_records(settings: Settings, database: Database | None = None) -> ActivityLog:
    """The log that the configuration names; `database` is the sidecar's own file, without which it is read only.

    Raises `StoreError`: S025 and S026 for PostgreSQL, S020 for the file.
    """
    if settings.store.records is not None:
        return PostgresRecords.open(settings.store.records)
    if database is not None:
        return SqliteRecords(database)
    return SqliteRecords.open(database_path(settings), read_only=True)
