"""Files that are whole or not there; folders for one process."""

import pytest

from ecgvlm.atomic import alone, beside, write_file
from ecgvlm.errors import EcgError, UsageError


def test_a_write_that_fails_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "file"
    write_file(path, b"old")
    with pytest.raises(ZeroDivisionError), beside(path) as part:
        part.write_bytes(b"half" * (1 // 0))
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_folder_is_for_one_at_a_time(tmp_path):
    with alone(tmp_path / "new"), pytest.raises(UsageError, match="another process"), alone(tmp_path / "new"):
        pass
    with alone(tmp_path / "new"):
        pass


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EcgError, match="file: cannot be written"), alone(tmp_path / "file"):
        pass
