import sqlite3
from pathlib import Path

from casb.store.records_sqlite import Database
from casb.store.schema import MIGRATIONS, connect, migrate


def test_a_database_of_before_gets_the_tables_and_keeps_what_it_has(tmp_path: Path) -> None:
    path = tmp_path / "casb.db"
    old = sqlite3.connect(path)
    old.executescript(MIGRATIONS[0])
    old.execute("INSERT INTO audit (time, who, ip, what, detail) VALUES (1, 'ada', '', 'x', '{}')")
    old.execute("PRAGMA user_version=1")
    old.commit()
    old.close()
    database = Database(path)
    with database.reading() as reader:
        assert reader.execute("SELECT who FROM audit").fetchall() == [("ada",)]
        assert reader.execute("SELECT version FROM catalog_version").fetchall() == [(0,)]
        assert reader.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
    database.close()
    again = connect(path)
    migrate(again)
    again.close()
