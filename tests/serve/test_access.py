"""Keys, rates, and which addresses are this machine's own."""

from types import SimpleNamespace

import pytest

from ecgvlm.errors import EcgError, UsageError
from ecgvlm.serve.access import Keys, Owner, add_key
from ecgvlm.serve.run import is_loopback, run


def test_keys_are_kept_as_hashes(tmp_path):
    file = tmp_path / "keys"
    key = add_key(file, "ward", 30)
    assert key not in file.read_text()
    owner = Keys.load(file).owner(key)
    assert (owner.name, owner.per_minute) == ("ward", 30)
    assert Keys.load(file).owner(key[:-1]) is None
    assert Keys.load(file).owner("") is None


@pytest.mark.parametrize("text", ["", "# nothing\n", "ward abc\n", "ward abc many\n", "ward abc 0\n"])
def test_bad_key_files(tmp_path, text):
    file = tmp_path / "keys"
    file.write_text(text)
    with pytest.raises(EcgError) as error:
        Keys.load(file)
    assert "\n" not in error.value.message


@pytest.mark.parametrize("name", ["", "two words", "a\nb", "../x", "x" * 50])
def test_bad_names(tmp_path, name):
    with pytest.raises(UsageError):
        add_key(tmp_path / "keys", name)


def test_a_rate_refills(monkeypatch):
    now = 1000.0
    monkeypatch.setattr("ecgvlm.serve.access.time", SimpleNamespace(monotonic=lambda: now))
    owner = Owner("ward", 60)
    assert [owner.wait() for _ in range(60)] == [0.0] * 60
    assert owner.wait() == pytest.approx(1.0)
    now += 1.01
    assert owner.wait() == 0.0
    assert owner.wait() > 0


@pytest.mark.parametrize(
    ("host", "own"), [("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("localhost", True),
                      ("0.0.0.0", False), ("::", False), ("192.0.2.1", False)],
)  # fmt: skip
def test_loopback(host, own):
    assert is_loopback(host) is own


def test_other_machines_need_a_key():
    with pytest.raises(UsageError, match="--keys"):
        run("0.0.0.0", 0)


def test_a_port_in_use():
    import socket

    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(UsageError, match="cannot serve"):
        run("127.0.0.1", other.getsockname()[1])


@pytest.mark.parametrize("asked", [{"redact": True}, {"days": 3.0}])
def test_what_is_kept_is_not_spoken_of_where_nothing_is(asked):
    """Both were taken without a word, and did nothing."""
    with pytest.raises(UsageError, match="--store"):
        run("127.0.0.1", 0, **asked)


def test_a_missing_file_of_keys_is_said_plainly(tmp_path):
    with pytest.raises(EcgError, match=r"cannot be read \(No such file or directory\)"):
        run("127.0.0.1", 0, keys=tmp_path / "keys")


def test_what_is_no_store_is_said_plainly():
    with pytest.raises(UsageError, match="a store is sqlite:///FILE"):
        run("127.0.0.1", 0, store="reads.db")
