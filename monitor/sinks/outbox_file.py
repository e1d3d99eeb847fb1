"""The outbox's file: SQLite, opened, used and closed by one thread.

A commit is on the disk when it returns (WAL with synchronous FULL), and survives kill -9 and loss
of power. The file is locked for its process, so that two monitors never share one outbox.

Each step of a statement gives up the interpreter's lock, and has to wait for it while the loop is
busy, up to 5 ms. So many rows go in with one statement, and come out as one row: a thousand steps
would hold up delivery for seconds just when there is most to deliver.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from hashlib import blake2b
from itertools import chain
from pathlib import Path
from typing import TypeAlias

from msgspec.json import Decoder

from monitor.errors import ConfigurationError, MonitorError
from monitor.sinks import COMPACTED_TOPICS
from monitor.sinks.pending import Entry
from monitor.wire.events import Record, Topic

SCHEMA_VERSION = 1
SCHEMA = """
BEGIN IMMEDIATE;
CREATE TABLE schema (version INTEGER NOT NULL);
INSERT INTO schema VALUES (1);
CREATE TABLE pending (
    sequence INTEGER PRIMARY KEY,
    entity INTEGER NOT NULL,
    appended REAL NOT NULL,
    size INTEGER NOT NULL,
    topic TEXT NOT NULL, key TEXT NOT NULL, id TEXT NOT NULL, type TEXT NOT NULL,
    source TEXT NOT NULL, subject TEXT NOT NULL, data BLOB
);
CREATE INDEX pending_entity ON pending (entity);
COMMIT;
"""
COLUMNS = 11
INSERT = "INSERT INTO pending VALUES {rows}"
# The last state that is pending of the same entity has the same id: told again, say after a
# restart, it is no news. A state that came back after another one differs from that other one.
INSERT_NEWS = """
INSERT INTO pending SELECT * FROM (VALUES {rows}) WHERE column7 IS NOT
(SELECT id FROM pending WHERE entity = column2 ORDER BY sequence DESC LIMIT 1)
"""
ROWS_AT_ONCE = 250
READ = """
SELECT CAST(json_group_array(json_array(
    sequence, appended, size, topic, key, id, type, source, subject, CAST(data AS TEXT)
)) AS BLOB) FROM (
    SELECT *, sum(size) OVER (ORDER BY sequence) AS total
    FROM (SELECT * FROM pending WHERE sequence > ?1 ORDER BY sequence LIMIT ?2)
) WHERE total <= ?3 OR total = size
"""
CORRUPT_CODES = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
OLDEST = "SELECT appended FROM pending ORDER BY sequence LIMIT 1"
BUSY_SECONDS = 5.0
FREE_PAGES_KEPT = 2000
PAGES_RETURNED_AT_ONCE = 2000

_Row: TypeAlias = tuple[object, ...]
_StoredRow: TypeAlias = tuple[int, float, int, Topic, str, str, str, str, str, str | None]
_ROWS = Decoder(list[_StoredRow])


class OutboxFile:
    """Pending records on disk; every call comes from the thread that called `open`.

    `capacity_bytes` bounds the records (the oldest give way), `file_bytes` the file itself, as a
    quota would: writing beyond it fails like a full disk.
    """

    def __init__(self, path: Path, *, capacity_bytes: int, file_bytes: int | None = None) -> None:
        self.records = 0
        self.bytes = 0
        self.last = 0
        self.oldest: float | None = None
        self._path = path
        self._capacity_bytes = capacity_bytes
        self._file_bytes = file_bytes
        self._connection: sqlite3.Connection | None = None

    def open(self) -> bool:
        """Open or create the file; return whether a damaged one had to be set aside.

        Raises `sqlite3.Error` if a new file finds the disk full, else `MonitorError`.
        """
        try:
            self._connect()
        except sqlite3.DatabaseError as error:
            if not is_corrupt(error):
                raise self._explained(error) from error
        except OSError as error:
            raise self._unusable(error) from error
        else:
            return False
        self.set_aside()
        self._connect()
        return True

    def commit(self, entries: Sequence[Entry], *, acknowledged: int) -> int:
        """Delete up to `acknowledged`, append `entries`; return how many had to give way."""
        connection = self._connection or self._connect()
        with self._transaction(connection):
            self._delete(connection, acknowledged)
            self._insert(connection, entries)
            dropped = self._make_fit(connection)
            self.oldest = _oldest(connection)
        if not self.records:
            _shrink(connection)
        return dropped

    def read(self, *, after: int, limit: int, limit_bytes: int) -> list[Entry]:
        """Return the oldest entries after a sequence number, at least one if there is one."""
        if self._connection is None:
            return []
        (rows,) = self._connection.execute(READ, (after, limit, limit_bytes)).fetchone()
        try:
            return [_entry(row) for row in sorted(_ROWS.decode(rows))]
        except ValueError as error:
            raise _corrupt(str(error)) from error

    def set_aside(self) -> int:
        """Move a damaged file out of the way; return how many known records went with it."""
        lost = self.records
        self.close()
        for suffix in ("-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
        self._path.replace(self.path_aside)
        self._measured(records=0, total=0, oldest=None)
        return lost

    @property
    def path_aside(self) -> Path:
        return self._path.with_name(self._path.name + ".corrupt")

    def close(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.close()

    def _connect(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self._path, isolation_level=None, timeout=BUSY_SECONDS)
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA locking_mode=EXCLUSIVE")
        connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA journal_size_limit=67108864")
        if self._file_bytes is not None:
            (page,) = connection.execute("PRAGMA page_size").fetchone()
            connection.execute(f"PRAGMA max_page_count={max(1, self._file_bytes // page)}")
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise _corrupt(verdict)
        if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            connection.executescript(SCHEMA)
        self._require_version(connection)
        totals = "SELECT count(*), coalesce(sum(size), 0), coalesce(max(sequence), 0) FROM pending"
        records, total, self.last = connection.execute(totals).fetchone()
        self._measured(records=records, total=total, oldest=_oldest(connection))

    def _require_version(self, connection: sqlite3.Connection) -> None:
        (version,) = connection.execute("SELECT max(version) FROM schema").fetchone()
        if version != SCHEMA_VERSION:
            raise ConfigurationError(
                f"the outbox {self._path} has schema version {version}, this release knows"
                f" {SCHEMA_VERSION}: run the release that wrote it until it is empty, or move the"
                " file away (what is pending in it will not be delivered)"
            )

    def _explained(self, error: sqlite3.DatabaseError) -> Exception:
        code = _primary_code(error)
        if code == sqlite3.SQLITE_FULL:
            return error
        if code == sqlite3.SQLITE_BUSY:
            return MonitorError(
                f"the outbox {self._path} is in use by another process: give each monitor its own"
            )
        return self._unusable(error)

    def _unusable(self, error: Exception) -> ConfigurationError:
        return ConfigurationError(
            f"the outbox {self._path} cannot be used ({error}): make its folder a writable volume,"
            " or configure another path"
        )

    @contextmanager
    def _transaction(self, connection: sqlite3.Connection) -> Iterator[None]:
        before = (self.records, self.bytes, self.oldest)
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            self.records, self.bytes, self.oldest = before
            raise

    def _delete(self, connection: sqlite3.Connection, upto: int) -> int:
        totals = "SELECT count(*), coalesce(sum(size), 0) FROM pending WHERE sequence <= ?"
        count, total = connection.execute(totals, (upto,)).fetchone()
        if count:
            connection.execute("DELETE FROM pending WHERE sequence <= ?", (upto,))
            self.records -= count
            self.bytes -= total
        return int(count)

    def _insert(self, connection: sqlite3.Connection, entries: Sequence[Entry]) -> None:
        before = connection.total_changes
        for start in range(0, len(entries), ROWS_AT_ONCE):
            first, later = _news(entries[start : start + ROWS_AT_ONCE])
            _execute_rows(connection, INSERT_NEWS, first)
            _execute_rows(connection, INSERT, later)
        if connection.total_changes - before == len(entries):
            count, total = len(entries), sum(entry.size for entry in entries)
        else:
            totals = "SELECT count(*), coalesce(sum(size), 0) FROM pending WHERE sequence >= ?"
            count, total = connection.execute(totals, (entries[0].sequence,)).fetchone()
        self.records += count
        self.bytes += total

    def _make_fit(self, connection: sqlite3.Connection) -> int:
        excess = self.bytes - self._capacity_bytes
        if excess <= 0:
            return 0
        last = 0
        for sequence, size in connection.execute(
            "SELECT sequence, size FROM pending ORDER BY sequence"
        ):
            last = sequence
            excess -= size
            if excess <= 0:
                break
        return self._delete(connection, last)

    def _measured(self, *, records: int, total: int, oldest: float | None) -> None:
        self.records, self.bytes, self.oldest = records, total, oldest


def is_corrupt(error: sqlite3.Error) -> bool:
    """Tell a damaged file from one that cannot be written just now."""
    return _primary_code(error) in CORRUPT_CODES


def _oldest(connection: sqlite3.Connection) -> float | None:
    row = connection.execute(OLDEST).fetchone()
    return None if row is None else row[0]


def _shrink(connection: sqlite3.Connection) -> None:
    """Give the disk back what a long outage took, some of it at a time."""
    (free,) = connection.execute("PRAGMA freelist_count").fetchone()
    if free > FREE_PAGES_KEPT:
        connection.execute(f"PRAGMA incremental_vacuum({PAGES_RETURNED_AT_ONCE})").fetchall()


def _primary_code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF


def _corrupt(verdict: str) -> sqlite3.DatabaseError:
    error = sqlite3.DatabaseError(verdict)
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error


def _news(entries: Sequence[Entry]) -> tuple[list[_Row], list[_Row]]:
    """Return each entity's first entry, which may repeat what is in the file, and the later ones.

    Of the later ones those are left out that repeat the one before.
    """
    last: dict[int, str] = {}
    first: list[_Row] = []
    later: list[_Row] = []
    for entry in entries:
        entity, identity = _entity(entry.record), entry.record.id
        if entity not in last:
            first.append(_row(entry, entity))
        elif last[entity] != identity:
            later.append(_row(entry, entity))
        last[entity] = identity
    return first, later


def _execute_rows(connection: sqlite3.Connection, statement: str, rows: Sequence[_Row]) -> None:
    if rows:
        places = ",".join([f"({','.join('?' * COLUMNS)})"] * len(rows))
        connection.execute(statement.format(rows=places), list(chain.from_iterable(rows)))


def _row(entry: Entry, entity: int) -> _Row:
    record = entry.record
    return (
        entry.sequence, entity, entry.appended, entry.size, record.topic, record.key,
        record.id, record.type, record.source, record.subject, record.data,
    )  # fmt: skip


def _entry(row: _StoredRow) -> Entry:
    sequence, appended, size, topic, key, identity, kind, source, subject, text = row
    data = None if text is None else text.encode()
    return Entry(
        sequence, appended, size, Record(topic, key, identity, kind, source, subject, data)
    )


def _entity(record: Record) -> int:
    """Return what the record is a state of; in a compacted topic the key alone decides that."""
    subject = "" if record.topic in COMPACTED_TOPICS else record.subject
    name = f"{record.topic}\0{record.key}\0{subject}".encode()
    return int.from_bytes(blake2b(name, digest_size=8).digest(), "big", signed=True)
