"""Reads are kept whole, corrected, exported, and gone once deleted; on SQLite and PostgreSQL."""

import json
import os
import resource
import sqlite3
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from pages import page
from sqlalchemy import event, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from ecgvlm.errors import EcgError, UsageError
from ecgvlm.instruct.rows import load_rows
from ecgvlm.serve.store import Base, Read, Store

ANSWER = {"image": "Mustermann.jpg", "ok": True, "answer": "NORMAL", "model": "m@1", "labels": {"AF": 0.2}}
JPEG = b"\xff\xd8" + b"a page of a patient " * 50 + b"\xff\xd9"


@pytest.fixture(scope="session")
def postgres(tmp_path_factory):
    """The URL of an empty PostgreSQL server of our own, or a skip."""
    from postgres import running

    with running(tmp_path_factory.mktemp("postgres")) as url:
        if url is None:
            pytest.skip("needs PostgreSQL's server programs")
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/store.db"
    return request.getfixturevalue("postgres")


@pytest.fixture
def store(url):
    store = Store(url)
    yield store
    with store._engine.begin() as connection:
        Base.metadata.drop_all(connection)
        connection.exec_driver_sql("DROP TABLE IF EXISTS alembic_version")
    store.close()


def test_kept_and_found_by_its_owner_only(store):
    store.add("a", "ward", JPEG, ANSWER)
    found = store.get("a", "ward")
    assert found["answer"]["answer"] == "NORMAL"
    assert found["model"] == "m@1"
    assert len(found["image_sha256"]) == 64
    assert datetime.now(UTC) - datetime.fromisoformat(found["created"]) < timedelta(minutes=1)
    assert "Mustermann" not in json.dumps(found)
    assert store.image("a", "ward") == JPEG
    assert store.get("a", "other") is None
    assert store.image("b", "ward") is None


def test_corrections_and_rows(store, tmp_path):
    from ecgvlm.serve.work import jpeg

    picture = jpeg(page().image)
    for key in "abc":
        store.add(key, "", picture, ANSWER)
    store.add("two", "", picture, {**ANSWER, "others": [ANSWER]})
    assert store.correct("two", "", ["AF"], None), "kept, but a page to learn nothing from"
    assert store.correct("a", "", ["AF"], None)
    assert store.correct("a", "", ["AF", "LVH"], "Atrial fibrillation and LVH.")
    assert store.correct("b", "", None, "A normal ECG.")
    assert not store.correct("z", "", ["AF"], None)
    assert [c["labels"] for c in store.get("a", "")["corrections"]] == [["AF"], ["AF", "LVH"]]

    assert store.export(tmp_path / "rows") == 2
    first, second = load_rows(tmp_path / "rows" / "rows.json")
    assert first.image.read_bytes() == picture
    assert first.metadata["labels"] == ["AF", "LVH"]
    assert first.turns[-1][1] == "Atrial fibrillation and LVH."
    assert len(first.turns) > 2
    assert [answer for _, answer in second.turns] == ["A normal ECG."]


def test_delete_takes_everything(store):
    store.add("a", "", JPEG, ANSWER)
    store.correct("a", "", ["AF"], None)
    assert not store.delete("a", "other")
    assert store.delete("a", "")
    assert store.get("a", "") is None
    with Session(store._engine) as session:
        assert not session.query(Base.metadata.tables["corrections"]).all()
    assert not store.delete("a", "")


def test_deleted_bytes_are_gone_from_the_disk(tmp_path):
    store = Store(f"sqlite:///{tmp_path}/store.db")
    store.add("a", "", JPEG, ANSWER)
    files = list(tmp_path.iterdir())
    assert any(b"a page of a patient" in file.read_bytes() for file in files)
    store.delete("a", "")
    assert not any(b"a page of a patient" in file.read_bytes() for file in tmp_path.iterdir())


def test_old_reads_are_forgotten(store):
    for key, age in (("old", 40), ("new", 20)):
        store.add(key, "", JPEG, ANSWER)
        with Session(store._engine) as session, session.begin():
            at = datetime.now(UTC) - timedelta(days=age)
            session.execute(update(Read).where(Read.id == key).values(created=at))
    assert store.forget(30) == 1
    assert store.list("") == ["new"]


def test_many_threads(store):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: store.add(f"r{i}", "", JPEG, ANSWER), range(24)))
    assert len(store.list("", limit=100)) == 24
    assert len(store.list("", limit=10, offset=20)) == 4


def test_many_reads_are_listed_a_few_at_a_time(store):
    """A list of a thousand held them all, 230 MB, as often as it was asked for."""
    for i in range(50):
        store.add(f"r{i}", "", JPEG, ANSWER)
    keys, asked = store.list(""), []
    event.listen(store._engine, "before_cursor_execute", lambda *said: asked.append(said[2]))
    reads = store.each(keys, "")
    first = next(reads)
    before = len(asked)
    store.delete(keys[-1], "")
    assert [read["id"] for read in (first, *reads)] == keys[:-1]
    assert before < len(asked) / 2
    assert list(store.each(keys, "another")) == []


def test_corrections_meet_deletions(store, url):
    """The database refused some of them, which was answered as if it were away."""
    other = Store(url)
    with ThreadPoolExecutor(4) as pool:
        for i in range(30):
            store.add(f"r{i}", "", JPEG, ANSWER)
            said = [pool.submit(one.correct, f"r{i}", "", ["AF"], None) for one in (store, other) * 2]
            gone = [pool.submit(one.delete, f"r{i}", "") for one in (store, other)]
            assert {done.result() for done in said} <= {True, False}
            assert sorted(done.result() for done in gone) == [False, True]
    other.close()
    with Session(store._engine) as session:
        assert not session.query(Base.metadata.tables["corrections"]).all()


def test_names_that_no_database_takes_are_of_no_read(store):
    for key in ("a\0b", "a\ud800b"):
        assert not store.has(key, "")
        assert store.get(key, "") is None
        assert store.image(key, "") is None
        assert not store.correct(key, "", ["AF"], None)
        assert not store.delete(key, "")


def test_what_is_deleted_during_an_export_is_left_out(store):
    for key in "ab":
        store.add(key, "", JPEG, ANSWER)
        store.correct(key, "", ["AF"], None)
    rows = store.rows()
    next(rows)
    for key in "ab":
        store.delete(key, "")
    assert len(list(rows)) <= 1


def test_migrations_give_the_tables_of_the_models(store):
    with store._engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_opened_again(url):
    store = Store(url)
    store.add("a", "", JPEG, ANSWER)
    store.close()
    again = Store(url)
    assert again.get("a", "")["model"] == "m@1"
    again.delete("a", "")
    again.close()


@pytest.mark.parametrize(
    "url", ["nonsense", "mysql://localhost/x", "sqlite:////no/such/folder/x.db", "postgresql://127.0.0.1:1/x"]
)
def test_bad_urls(url):
    with pytest.raises((EcgError, UsageError)) as error:
        Store(url)
    assert "\n" not in str(error.value)


def test_passwords_are_not_told():
    with pytest.raises(EcgError) as error:
        Store("postgresql://me:hunter2@127.0.0.1:1/x")
    assert "hunter2" not in error.value.message


def test_a_start_that_was_cut_short_is_made_good(tmp_path):
    """Tables without Alembic's note that they are there, as a kill between the two left them."""
    path = tmp_path / "a.db"
    Store(f"sqlite:///{path}").close()
    with sqlite3.connect(path) as database:
        database.execute("DROP TABLE alembic_version")
        database.execute("DROP TABLE corrections")
    store = Store(f"sqlite:///{path}")
    store.add("a", "", b"jpeg", ANSWER)
    assert store.correct("a", "", ["AF"], None)


def test_simultaneous_first_starts(tmp_path):
    url = f"sqlite:///{tmp_path}/a.db"
    with ThreadPoolExecutor(8) as pool:
        stores = list(pool.map(lambda _: Store(url), range(8)))
    stores[0].add("a", "", b"jpeg", ANSWER)
    assert all(store.has("a", "") for store in stores)


def test_a_newer_stores_file_is_left_alone(tmp_path):
    path = tmp_path / "a.db"
    Store(f"sqlite:///{path}").close()
    with sqlite3.connect(path) as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(EcgError, match="belongs to a newer version"):
        Store(f"sqlite:///{path}")


def test_the_file_is_its_owners_alone_and_no_mistyped_path_makes_one(tmp_path):
    path = tmp_path / "a.db"
    Store(f"sqlite:///{path}").add("a", "", b"jpeg", ANSWER)
    assert {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()} == {0o600}
    with pytest.raises(EcgError, match="no such store"):
        Store(f"sqlite:///{tmp_path}/b.db", create=False)
    assert not (tmp_path / "b.db").exists()


def test_a_locked_store_says_nothing_of_what_is_in_it(tmp_path):
    path = tmp_path / "a.db"
    store = Store(f"sqlite:///{path}?timeout=0")
    with sqlite3.connect(path) as database:
        database.execute("BEGIN EXCLUSIVE")
        with pytest.raises(SQLAlchemyError) as error:
            store.add("a", "", b"jpeg", ANSWER | {"answer": "Mustermann has AF"})
    assert "Mustermann" not in str(error.value)


def test_lists_do_not_load_pictures(tmp_path):
    store = Store(f"sqlite:///{tmp_path}/a.db")
    store.add("a", "", b"jpeg", ANSWER)
    asked = []
    event.listen(store._engine, "before_cursor_execute", lambda *call: asked.append(call[2]))
    assert store.list("")[0] == "a"
    assert store.get("a", "")["id"] == "a"
    assert not any("reads.image," in statement or "reads.image " in statement for statement in asked)


def test_a_deletion_without_room_to_rewrite_the_file_is_one(tmp_path, caplog):
    """It was answered with 503, and then with 404."""
    store = Store(f"sqlite:///{tmp_path / 'reads.db'}")
    for k in range(10):
        store.add(f"r{k}", "", os.urandom(50_000), {"model": "m"})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, before[1]))
    try:
        assert store.delete("r0", "")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "VACUUM failed" in caplog.text
    assert len(store.list("")) == 9
    assert store.delete("r1", "")
