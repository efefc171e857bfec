"""Where reads are kept, if they are: SQLite or PostgreSQL through SQLAlchemy, migrated by Alembic."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import (
    JSON,
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
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship
from sqlalchemy.pool import NullPool

from ecgvlm.errors import EcgError, unreadable
from ecgvlm.instruct.records import ask, known_of_labels
from ecgvlm.instruct.rows import Row
from ecgvlm.reader import REPORT

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
    corrections: Mapped[list[Correction]] = relationship(
        order_by="Correction.id", cascade="all, delete-orphan", passive_deletes=True
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


class Correction(Base):
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


class Store:
    """Reads and what readers say of them. Safe to use from several threads.

    url: sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME. Raises EcgError where it cannot be opened.
    """

    def __init__(self, url: str):
        self._engine = _engine(url)
        try:
            with self._engine.begin() as connection:
                config = Config()
                config.set_main_option("script_location", "ecgvlm.serve:migrations")
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
        except SQLAlchemyError as error:
            where = make_url(url).render_as_string(hide_password=True)
            raise unreadable(where, f"cannot be used as a store ({error.args[0]})") from error

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

    def get(self, key: str, owner: str) -> dict[str, Any] | None:
        with Session(self._engine) as session:
            read = self._find(session, key, owner)
            return None if read is None else read.to_dict()

    def image(self, key: str, owner: str) -> bytes | None:
        """The JPEG file of a page."""
        with Session(self._engine) as session:
            read = self._find(session, key, owner)
            return None if read is None else read.image

    def list(self, owner: str, limit: int = 100, offset: int = 0) -> Sequence[dict[str, Any]]:
        """An owner's reads, the newest first."""
        newest = (
            select(Read).where(Read.owner == owner).order_by(Read.created.desc()).limit(limit).offset(offset)
        )
        with Session(self._engine) as session:
            return [read.to_dict() for read in session.scalars(newest)]

    def correct(self, key: str, owner: str, labels: Sequence[str] | None, report: str | None) -> bool:
        """Adds what a reader says; whether there is such a read."""
        with Session(self._engine) as session, session.begin():
            read = self._find(session, key, owner)
            if read is None:
                return False
            words = {"labels": None if labels is None else list(labels), "report": report}
            read.corrections.append(Correction(created=datetime.now(UTC), owner=owner, **words))
            return True

    def delete(self, key: str, owner: str) -> bool:
        """Deletes a read with its picture and corrections; whether there was one."""
        return self._delete(Read.id == key, Read.owner == owner) > 0

    def forget(self, days: float) -> int:
        """Deletes all reads older than so many days; how many."""
        return self._delete(Read.created < datetime.now(UTC) - timedelta(days=days))

    def rows(self) -> Iterator[tuple[Row, bytes]]:
        """Training rows of the reads that have been corrected, by the last correction, and their pictures."""
        with Session(self._engine) as session:
            corrected = select(Read).where(Read.corrections.any()).order_by(Read.created)
            for read in session.scalars(corrected.execution_options(yield_per=20)):
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
            _write(path, image)
            written.append(row.to_dict(f"images/{path.name}"))
        _write(folder / "rows.json", json.dumps(written, ensure_ascii=False, indent=1).encode())
        return len(written)

    def _find(self, session: Session, key: str, owner: str) -> Read | None:
        return session.scalars(select(Read).where(Read.id == key, Read.owner == owner)).one_or_none()

    def _delete(self, *which: Any) -> int:
        with Session(self._engine) as session, session.begin():
            count: int = session.execute(delete_from(Read).where(*which)).rowcount  # type: ignore[attr-defined]
        if count:  # SQLite has overwritten the rows by now, but they may still stand in its journal
            clean = (
                "PRAGMA wal_checkpoint(TRUNCATE)" if self._engine.dialect.name == "sqlite" else "VACUUM reads"
            )
            with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.exec_driver_sql(clean)
        return count


def _engine(url: str) -> Engine:
    try:
        parsed = make_url(url)
        if parsed.drivername in ("postgresql", "postgres"):
            parsed = parsed.set(drivername="postgresql+psycopg")
        if parsed.get_backend_name() not in ("sqlite", "postgresql"):
            raise EcgError("unsupported_format", "a store is sqlite:///FILE or postgresql://HOST/NAME")
        if parsed.get_backend_name() == "sqlite":
            # A connection a thread and use: SQLite's own locks do the rest.
            engine = create_engine(parsed, poolclass=NullPool, connect_args={"timeout": 30})
            event.listen(engine, "connect", _set_up_sqlite)
            return engine
        return create_engine(parsed, pool_pre_ping=True)
    except (ArgumentError, ImportError) as error:
        raise EcgError("unsupported_format", f"not a store's URL ({error})") from error


def _set_up_sqlite(connection: Any, _: Any) -> None:
    for pragma in ("foreign_keys=ON", "secure_delete=ON", "journal_mode=WAL", "synchronous=FULL"):
        connection.execute(f"PRAGMA {pragma}")


def _utc(time: datetime) -> datetime:
    return time if time.tzinfo else time.replace(tzinfo=UTC)  # SQLite knows no time zones


def _write(path: Path, data: bytes) -> None:
    part = path.with_name(path.name + ".part")
    part.write_bytes(data)
    part.replace(path)
