"""Where reads are kept, if they are: SQLite or PostgreSQL through SQLAlchemy, migrated by Alembic."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import (
    JSON,
    ColumnElement,
    DateTime,
    Engine,
    ForeignKey,
    LargeBinary,
    String,
    Text,
    create_engine,
    event,
    select,
)
from sqlalchemy import delete as delete_from
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, defer, mapped_column, relationship, selectinload
from sqlalchemy.pool import NullPool

from ecgvlm.atomic import write_file
from ecgvlm.errors import UsageError, unreadable
from ecgvlm.instruct.records import ask, known_of_labels
from ecgvlm.instruct.row import Row
from ecgvlm.reader import REPORT

log = logging.getLogger("ecgvlm.serve")

_MIGRATION_LOCK = 0x656367766C6D  # any number that no other program takes
_AT_A_TIME = 20  # reads, of 40 kB each
_QUESTIONS = 4  # training rows speak of so many questions about the labels of one page


class Base(DeclarativeBase):
    pass


class Read(Base):
    """A page that was read. image: a JPEG file; answer: the contract's object, without the file's name."""

    __tablename__ = "reads"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    created: Mapped[datetime] = mapped_column(DateTime(timezone=True), index=True)
    owner: Mapped[str] = mapped_column(String(40), index=True)
    image_sha256: Mapped[str] = mapped_column(String(64), index=True)
    image: Mapped[bytes] = mapped_column(LargeBinary)
    model: Mapped[str] = mapped_column(String(100))
    answer: Mapped[dict[str, Any]] = mapped_column(JSON)
    corrections: Mapped[list[CorrectionRow]] = relationship(
        order_by="CorrectionRow.id", cascade="all, delete-orphan", passive_deletes=True
    )

    def to_dict(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "created": _utc(self.created).isoformat(),
            "image_sha256": self.image_sha256,
            "model": self.model,
            "answer": self.answer,
            "corrections": [correction.to_dict() for correction in self.corrections],
        }


class CorrectionRow(Base):
    """What a reader says about a page: all of its labels, or the report, or both."""

    __tablename__ = "corrections"

    id: Mapped[int] = mapped_column(primary_key=True)
    read_id: Mapped[str] = mapped_column(ForeignKey("reads.id", ondelete="CASCADE"), index=True)
    created: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    owner: Mapped[str] = mapped_column(String(40))
    labels: Mapped[list[str] | None] = mapped_column(JSON)
    report: Mapped[str | None] = mapped_column(Text)

    def to_dict(self) -> dict[str, Any]:
        return {"created": _utc(self.created).isoformat(), "labels": self.labels, "report": self.report}


_WITHOUT_PICTURE = (defer(Read.image), selectinload(Read.corrections))


class Store:
    """Reads and what readers say of them. Safe to use from several threads.

    url: sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME. create: whether SQLite's file is made where
    it is not there. Raises EcgError where it cannot be opened, or belongs to a newer version.
    """

    def __init__(self, url: str, create: bool = True):
        self._engine = _engine(url, create)
        where = make_url(url).render_as_string(hide_password=True)
        try:
            self._migrate()
        except SQLAlchemyError as error:
            raise unreadable(where, f"cannot be used as a store ({error.args[0]})") from error
        except CommandError as error:
            raise unreadable(where, f"belongs to a newer version of ecgvlm ({error})") from error

    def _migrate(self) -> None:
        """Brings the tables up to date, in one transaction that other servers' starts wait for."""
        with self._engine.connect().execution_options(alone=True) as connection, connection.begin():
            if connection.dialect.name == "postgresql":
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})")
            config = Config()
            config.set_main_option("script_location", "ecgvlm.serve:migrations")
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    def ping(self) -> None:
        """Raises SQLAlchemyError where the store does not answer."""
        with self._engine.connect() as connection:
            connection.exec_driver_sql("SELECT 1 FROM reads LIMIT 1")

    def close(self) -> None:
        self._engine.dispose()

    def add(self, key: str, owner: str, image: bytes, answer: dict[str, Any]) -> None:
        """Keeps a read; it is on the disk when this returns. The name of the file it came in is left out."""
        read = Read(
            id=key,
            created=datetime.now(UTC),
            owner=owner,
            image_sha256=hashlib.sha256(image).hexdigest(),
            image=image,
            model=answer["model"],
            answer={name: value for name, value in answer.items() if name != "image"},
        )
        with Session(self._engine) as session, session.begin():
            session.add(read)

    def has(self, key: str, owner: str) -> bool:
        """Whether a read is kept, and not deleted meanwhile by another server."""
        with Session(self._engine) as session:
            return session.scalar(select(Read.id).where(*_named(key, owner))) is not None

    def get(self, key: str, owner: str) -> dict[str, Any] | None:
        with Session(self._engine) as session:
            read = self._find(session, key, owner, *_WITHOUT_PICTURE)
            return None if read is None else read.to_dict()

    def image(self, key: str, owner: str) -> bytes | None:
        """The JPEG file of a page."""
        with Session(self._engine) as session:
            read = self._find(session, key, owner)
            return None if read is None else read.image

    def list(self, owner: str, limit: int = 100, offset: int = 0) -> Sequence[str]:
        """The ids of an owner's reads, the newest first."""
        mine = select(Read.id).where(Read.owner == owner).order_by(Read.created.desc())
        with Session(self._engine) as session:
            return list(session.scalars(mine.limit(limit).offset(offset)))

    def each(self, keys: Sequence[str], owner: str) -> Iterator[dict[str, Any]]:
        """The reads of these ids, without their pictures, a few at a time; none that is deleted meanwhile."""
        for start in range(0, len(keys), _AT_A_TIME):
            few = keys[start : start + _AT_A_TIME]
            these = select(Read).where(Read.id.in_(few), Read.owner == owner).options(*_WITHOUT_PICTURE)
            with Session(self._engine) as session:
                found = {read.id: read.to_dict() for read in session.scalars(these)}
            yield from (found[key] for key in few if key in found)

    def correct(self, key: str, owner: str, labels: Sequence[str] | None, report: str | None) -> bool:
        """Adds what a reader says; whether there is such a read. Who deletes it meanwhile waits."""
        with Session(self._engine.execution_options(alone=True)) as session, session.begin():
            one = select(Read.id).where(*_named(key, owner)).with_for_update(key_share=True, read=True)
            if session.scalar(one) is None:
                return False
            words = {"labels": None if labels is None else list(labels), "report": report}
            session.add(CorrectionRow(read_id=key, created=datetime.now(UTC), owner=owner, **words))
            return True

    def delete(self, key: str, owner: str) -> bool:
        """Deletes a read with its picture and corrections; whether there was one."""
        return self._delete(*_named(key, owner)) > 0

    def forget(self, days: float) -> int:
        """Deletes all reads older than so many days; how many."""
        return self._delete(Read.created < datetime.now(UTC) - timedelta(days=days))

    def rows(self) -> Iterator[tuple[Row, bytes]]:
        """Training rows of the reads that have been corrected, by the last correction, and their pictures.

        None of a picture with several ECGs: a correction does not say of which it is.
        """
        with Session(self._engine) as session:
            corrected = select(Read).where(Read.corrections.any()).order_by(Read.created)
            for read in session.scalars(corrected.execution_options(yield_per=20)):
                if read.answer.get("others") or not read.corrections:  # deleted by another server meanwhile
                    continue
                said = read.corrections[-1]
                turns = []
                if said.labels is not None:
                    known = known_of_labels(said.labels, ())
                    asked = ask(known, Random(read.id), _QUESTIONS)
                    turns += [(qa.question, qa.answer) for qa in asked]
                if said.report:
                    turns.append((REPORT, said.report))
                if turns:
                    metadata = {"labels": said.labels, "model": read.model, "image_sha256": read.image_sha256}
                    yield Row(read.id, None, tuple(turns), metadata, "store"), read.image

    def export(self, folder: Path) -> int:
        """Writes `rows` as rows.json and images/ID.jpg, ECGInstruct's form; how many."""
        images = folder / "images"
        images.mkdir(parents=True, exist_ok=True)
        written = []
        for row, image in self.rows():
            path = images / f"{row.id}.jpg"
            write_file(path, image)
            written.append(row.to_dict(f"images/{path.name}"))
        write_file(folder / "rows.json", json.dumps(written, ensure_ascii=False, indent=1).encode())
        return len(written)

    def _find(self, session: Session, key: str, owner: str, *options: Any) -> Read | None:
        one = select(Read).where(*_named(key, owner)).options(*options)
        return session.scalars(one).one_or_none()

    def _delete(self, *which: Any) -> int:
        with Session(self._engine) as session, session.begin():
            count: int = session.execute(delete_from(Read).where(*which)).rowcount  # type: ignore[attr-defined]
        if count:
            self._clean()
        return count

    def _clean(self) -> None:
        """What was deleted still stands in pages that were rearranged, and in the journal: not after this."""
        sqlite = ("VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)")
        cleaning = sqlite if self._engine.dialect.name == "sqlite" else ("VACUUM reads, corrections",)
        with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            for statement in cleaning:
                try:
                    connection.exec_driver_sql(statement)
                except SQLAlchemyError as error:  # deleted it is; VACUUM needs as much room as the file
                    cause = type(error).__name__
                    log.warning("what was deleted may leave traces: %s failed (%s)", statement, cause)


def _named(key: str, owner: str) -> tuple[ColumnElement[bool], ...]:
    """The condition for an owner's read; what a database takes for no text is the name of none."""
    return Read.id == (key if key.isprintable() else ""), Read.owner == owner


_FORM = "a store is sqlite:///FILE or postgresql://HOST/NAME"


def _engine(url: str, create: bool) -> Engine:
    try:
        parsed = make_url(url)
        if parsed.drivername in ("postgresql", "postgres"):
            parsed = parsed.set(drivername="postgresql+psycopg")
        if parsed.get_backend_name() not in ("sqlite", "postgresql"):
            raise UsageError(_FORM)
        if parsed.get_backend_name() == "sqlite":
            if parsed.database and parsed.database != ":memory:":
                _own(Path(parsed.database), create)
            # A connection a thread and use: SQLite's own locks do the rest.
            waits = {} if "timeout" in parsed.query else {"timeout": 30}  # s, where another one writes
            engine = create_engine(parsed, poolclass=NullPool, connect_args=waits, hide_parameters=True)
            event.listen(engine, "connect", _set_up_sqlite)
            event.listen(engine, "begin", _begin_sqlite)
            return engine
        return create_engine(parsed, pool_pre_ping=True, hide_parameters=True)
    except ArgumentError as error:
        raise UsageError(_FORM) from error
    except ImportError as error:
        raise UsageError(f"this store needs a package: pip install {error.name}") from error


def _own(path: Path, create: bool) -> None:
    """Makes SQLite's file, and lets nobody but its owner read it. Raises EcgError."""
    try:
        if not create and not path.is_file():
            raise unreadable(path, "no such store")
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        path.chmod(0o600)
    except OSError as error:
        raise unreadable(path, f"cannot be used as a store ({error.strerror or error})") from error


def _begin_sqlite(connection: Any) -> None:
    """Python's driver begins no transaction before changes of tables; who migrates, or writes by what it has
    read, is alone from the start."""
    options = connection.get_execution_options()
    if options.get("isolation_level") != "AUTOCOMMIT":
        connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get("alone") else "BEGIN")


def _set_up_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # see `_begin_sqlite`
    for pragma in ("foreign_keys=ON", "secure_delete=ON", "journal_mode=WAL", "synchronous=FULL"):
        connection.execute(f"PRAGMA {pragma}")


def _utc(time: datetime) -> datetime:
    return time if time.tzinfo else time.replace(tzinfo=UTC)  # SQLite knows no time zones
