"""Reads are kept whole, corrected, exported, and gone once deleted; on SQLite and PostgreSQL."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from pages import page
from sqlalchemy import update
from sqlalchemy.orm import Session

from ecgvlm.errors import EcgError
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
    assert [read["id"] for read in store.list("")] == ["new"]


def test_many_threads(store):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: store.add(f"r{i}", "", JPEG, ANSWER), range(24)))
    assert len(store.list("", limit=100)) == 24
    assert len(store.list("", limit=10, offset=20)) == 4


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
    with pytest.raises(EcgError) as error:
        Store(url)
    assert "\n" not in error.value.message


def test_passwords_are_not_told():
    with pytest.raises(EcgError) as error:
        Store("postgresql://me:hunter2@127.0.0.1:1/x")
    assert "hunter2" not in error.value.message
