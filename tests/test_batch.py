"""Batches: what counts as an input, one row for each, resumed, and on a cluster that loses workers."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.io
from pages import digitized
from PIL import Image

ray = pytest.importorskip("ray")

from ecgvlm.batch import Progress, read_batch  # noqa: E402
from ecgvlm.batch.inputs import Damaged, Held, RowGroup, list_inputs  # noqa: E402
from ecgvlm.batch.output import SCHEMA, open_output  # noqa: E402
from ecgvlm.errors import EcgError, UsageError  # noqa: E402
from ecgvlm.files.csv import csv_text  # noqa: E402
from ecgvlm.files.image import load_image, open_pages  # noqa: E402
from ecgvlm.files.leaf import MAX_BYTES  # noqa: E402
from ecgvlm.judge.evidence import Evidence  # noqa: E402
from ecgvlm.labels import LABELS  # noqa: E402
from ecgvlm.measure import MEASUREMENTS, measure  # noqa: E402
from ecgvlm.reader import Answer  # noqa: E402
from ecgvlm.show.reports import write_wfdb  # noqa: E402
from ecgvlm.simulate import random_simulation, simulate  # noqa: E402

ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])


class FakeReader:
    """Answers every picture alike, after `seconds`. What a file says at its end, it does: FAIL, END."""

    def __init__(self, answer: Answer, seconds: float):
        self.answer = answer
        self.seconds = seconds

    def read(self, source: bytes, question: str | None, name: str | None) -> Answer:
        time.sleep(self.seconds)
        if source.endswith(b"FAIL"):
            raise ZeroDivisionError("of our own")
        if source.endswith(b"END"):
            os.kill(os.getpid(), signal.SIGSEGV)
        try:
            load_image(source, name)
        except EcgError as error:
            return Answer(str(name), str(question), 0.0, error=error)
        return replace(self.answer, image=str(name), question=str(question))


def an_answer() -> Answer:
    found = digitized()
    measured = measure(found.leads(500.0), 500.0)
    evidence = Evidence(
        probabilities={label: i / 100 for i, label in enumerate(LABELS)},
        thresholds=dict.fromkeys(LABELS, 0.205),
        measurements={name: getattr(measured, name) for name in MEASUREMENTS},
        reasons=measured.reasons,
        leads=measured.waves,
        layout=found.layout,
    )
    found = replace(found, image=found.image[:1], strips=())  # it travels to every worker
    return Answer("", "", 0.25, None, "NORMAL", "A report.", evidence, found, "fake@1")


@pytest.fixture(scope="module")
def answer() -> Answer:
    return an_answer()


@pytest.fixture(scope="module")
def fake(answer) -> Callable[..., Callable[[], FakeReader]]:
    return lambda seconds=0.0: lambda: FakeReader(answer, seconds)


@pytest.fixture(scope="module")
def local_ray():
    for left in reversed(range(5)):  # Ray gives its own start 30 s, which may not do on a busy machine
        try:
            ray.init(address="local", num_cpus=2, include_dashboard=False, object_store_memory=100_000_000)
            break
        except Exception:
            ray.shutdown()
            if not left:
                raise
    yield
    ray.shutdown()


def picture(shade: int = 200, tail: bytes = b"") -> bytes:
    data = io.BytesIO()
    Image.fromarray(np.full((150, 450), shade, np.uint8)).save(data, "PNG")
    return data.getvalue() + tail


def write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def write_zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def names(source, **options) -> list[str]:
    return [item.name for item in list_inputs(str(source), **options)]


def pictures(source, **options) -> list[tuple[str, bytes | EcgError]]:
    return [got for item in list_inputs(str(source), **options) for got in item.source.read([item.entry])]


def rows(out: Path) -> list[dict]:
    return pq.read_table(out).to_pylist()


def test_a_folder_gives_its_pictures_at_any_depth(tmp_path):
    for name in (
        "b.png",
        "a/ü 1.JPG",
        "a/.hidden.png",
        "notes.txt",
        ".git/c.png",
        "scan.pdf",
        "out/part.parquet",
    ):
        write(tmp_path / name, picture())
    assert names(tmp_path, leave_out=str(tmp_path / "out")) == [
        str(tmp_path / name) for name in ("a/ü 1.JPG", "b.png", "scan.pdf")
    ]


def test_files_without_an_ending_and_what_is_passed_over(tmp_path):
    """DICOM files of CDs have none; names that are no text do not end a batch; the rest is said."""
    write(tmp_path / "IM000001", b"\0" * 128 + b"DICM" + b"\0" * 80)
    write(tmp_path / "README", b"plain text")
    write(tmp_path / "a.jfif", picture())
    write(tmp_path / "notes.txt", b"text")
    write(tmp_path / ".hidden", b"text")
    write(tmp_path / os.fsdecode(b"\xff.png"), picture())
    passed: list[str] = []
    found = [item.name for item in list_inputs(str(tmp_path), passed_over=passed)]
    assert [name.removeprefix(f"{tmp_path}/") for name in found] == ["IM000001", "a.jfif", "\\udcff.png"]
    assert [Path(name).name for name in passed] == ["README", "notes.txt"]
    pa.array(found, pa.string())


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    (item,) = list_inputs(str(tmp_path / "a.png"))
    ((_, problem),) = item.source.read([item.entry])
    assert "not a regular file" in problem.message


def test_lists_of_pictures(tmp_path):
    rows = [[{"bytes": picture(), "path": None}], [], None]
    struct = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    pq.write_table(pa.table({"images": pa.array(rows, pa.list_(struct))}), tmp_path / "t.parquet")
    found = list(list_inputs(str(tmp_path / "t.parquet"), "images"))
    read = list(found[0].source.read([item.entry for item in found]))
    assert read[0][1] == picture()
    assert all("is empty there" in problem.message for _, problem in read[1:])


def test_a_glob_or_a_path_counts_whatever_its_ending(tmp_path):
    for name in ("1.png", "2.scan", "sub/3.png"):
        write(tmp_path / name, picture())
    assert names(tmp_path / "*") == [str(tmp_path / "1.png"), str(tmp_path / "2.scan")]
    assert names(tmp_path / "**" / "*.png") == [str(tmp_path / "1.png"), str(tmp_path / "sub/3.png")]
    assert names(tmp_path / "2.scan") == [str(tmp_path / "2.scan")]


def test_records_in_zips_and_tables_of_leads_count(tmp_path):
    """A ZIP of records was nothing, and leads as `digitize` writes them were passed over."""
    record, _ = simulate(random_simulation(np.random.default_rng(0), "normal"), 0)
    with zipfile.ZipFile(io.BytesIO(write_wfdb(record))) as archive:
        members = {f"ward/{name}": archive.read(name) for name in archive.namelist()}
    leads = csv_text(record).encode()
    folder = tmp_path / "in"
    folder.mkdir()
    write_zip(
        folder / "a.zip", {**members, "b/leads.csv": leads, "b/other.csv": b"a,b\n1,2\n", "c.zip": b"PK"}
    )
    (folder / "leads.csv").write_bytes(leads)
    (folder / "table.csv").write_text("file,labels\n")
    passed: list[str] = []
    found = dict(pictures(folder, passed_over=passed))
    names = [name.removeprefix(f"{folder}/") for name in found]
    assert names == ["a.zip/ward/ecg.hea", "a.zip/b/leads.csv", "leads.csv"]
    assert passed == [f"{folder}/{name}" for name in ("table.csv", "a.zip/b/other.csv", "a.zip/c.zip")]
    for data in found.values():
        (page,) = open_pages(data, "a")
        np.testing.assert_allclose(page.load().signal, record.signal, atol=0.01)


def test_matlab_files_count_but_not_as_signals_of_a_header(tmp_path):
    record, _ = simulate(random_simulation(np.random.default_rng(0), "normal"), 0)
    array = io.BytesIO()
    scipy.io.savemat(array, {"leads": record.signal, "fs": record.fs})
    files = {"a.mat": array.getvalue(), "b.mat": array.getvalue(), "b.hea": b"", "c.mat": b"no array"}
    files |= {"d.dat": b"signals", "d.hea": b"", "e.dat": b"of no header"}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    passed: list[str] = []
    assert list(dict(pictures(tmp_path, passed_over=passed))) == [
        str(tmp_path / n) for n in ("a.mat", "b.hea", "d.hea")
    ]
    assert passed == [str(tmp_path / name) for name in ("c.mat", "e.dat")]
    path = write_zip(tmp_path / "all.zip", files)
    assert [name for name, _ in pictures(path)] == [f"{path}/{n}" for n in ("a.mat", "b.hea", "d.hea")]


def test_zips_stand_for_the_pictures_in_them(tmp_path):
    members = {"x/1.png": picture(1), "2.jpg": picture(2), "readme.txt": b"", "__MACOSX/._2.jpg": b""}
    path = write_zip(tmp_path / "a.zip", members)
    assert pictures(path) == [(f"{path}/x/1.png", picture(1)), (f"{path}/2.jpg", picture(2))]


def test_a_damaged_member_leaves_the_others_readable(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"1.png": picture(1), "2.png": picture(2)})
    path.write_bytes(path.read_bytes().replace(picture(1)[40:60], bytes(20)))
    (_, first), (_, second) = pictures(path)
    assert isinstance(first, EcgError)
    assert first.message.startswith(f"{path}/1.png: ")
    assert second == picture(2)


def test_damaged_containers_are_one_input_each(tmp_path):
    for name in ("a.zip", "b.parquet"):
        write(tmp_path / name, b"PK\x03\x04 no more")
    found = list(list_inputs(str(tmp_path)))
    assert [type(item.source) for item in found] == [Damaged, Damaged]
    for (name, error), ending in zip(pictures(tmp_path), ("ZIP", "PARQUET")):
        assert error.code == "unreadable_file"
        assert error.message.startswith(f"{name}: not a readable {ending} file")


@pytest.mark.parametrize("kind", ["bytes", "struct", "paths"])
def test_parquet_columns(tmp_path, kind):
    """Bytes, Hugging Face's struct, and paths beside the file; rows are numbered over all row groups."""
    data = [picture(i) for i in range(7)]
    files = [write(tmp_path / f"p/{i}.png", d) for i, d in enumerate(data)]
    cells = {
        "bytes": data,
        "struct": [{"bytes": d, "path": f"{i}.png"} for i, d in enumerate(data)],
        "paths": [f"p/{i}.png" if i else str(files[0]) for i in range(7)],
    }[kind]
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"image": [*cells, None], "age": [50] * 8}), path, row_group_size=3)
    assert names(path) == [f"{path}:{i}" for i in range(8)]
    assert [d for _, d in pictures(path)][:7] == data
    called = {"bytes": f"{path}:2", "struct": "2.png", "paths": "p/2.png"}[kind]
    assert pictures(path)[2][0] == called
    assert "empty" in pictures(path)[7][1].message


def test_some_rows_of_a_row_group(tmp_path):
    """What is missing on resume may be any of a group's rows, further apart than a slice is long."""
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"image": [picture(i) for i in range(90)]}), path, row_group_size=60)
    group = next(item.source for item in list_inputs(str(path)) if item.entry == 60)
    assert isinstance(group, RowGroup)
    assert [d for _, d in group.read([61, 62, 80, 89])] == [picture(i) for i in (61, 62, 80, 89)]


def test_an_unknown_column_names_those_that_there_are(tmp_path):
    pq.write_table(pa.table({"png": [b""], "age": [1]}), tmp_path / "t.parquet")
    with pytest.raises(EcgError, match=r"no column 'image'; name one of png, age with --column"):
        names(tmp_path / "t.parquet")
    assert len(names(tmp_path / "t.parquet", column="png")) == 1


def test_memory_goes_along_with_the_work():
    fs = fsspec.filesystem("memory")
    fs.pipe_file("/ward/1.png", picture(1))
    (item,) = list_inputs("memory://ward")
    assert isinstance(item.source, Held)
    assert pictures("memory://ward") == [("memory:///ward/1.png", picture(1))]


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("/no/such/folder", "no such file"),
        ("{tmp}", "no pictures"),
        ("{tmp}/*.png", "no pictures"),
        ("nosuch://bucket/a", "nosuch"),
    ],
)
def test_nothing_to_read_is_said(tmp_path, source, says):
    with pytest.raises(EcgError, match=says) as caught:
        names(source.format(tmp=tmp_path))
    assert "\n" not in caught.value.message


def test_files_that_are_gone_or_huge_are_errors(tmp_path):
    gone, huge = write(tmp_path / "a.png", picture()), tmp_path / "b.png"
    with huge.open("wb") as file:
        file.truncate(2 * MAX_BYTES)
    found = list(list_inputs(str(tmp_path)))
    gone.unlink()
    (_, first), (name, second) = (got for item in found for got in item.source.read([item.entry]))
    assert (first.code, first.message) == ("unreadable_file", f"{gone}: no such file")
    with pytest.raises(EcgError, match="too large") as caught:
        load_image(second, name)
    assert caught.value.code == "too_large"


def test_s3(monkeypatch):
    """Listed and read from an S3 server; parts written to it and found again."""
    server = pytest.importorskip("moto.server")
    pytest.importorskip("s3fs")
    s3 = server.ThreadedMotoServer("127.0.0.1", 0)
    s3.start()
    host, port = s3.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    try:
        fs = fsspec.filesystem("s3", skip_instance_cache=True)
        fs.mkdir("ward")
        fs.pipe_file("ward/in/1.png", picture(1))
        zipped = io.BytesIO()
        with zipfile.ZipFile(zipped, "w") as archive:
            archive.writestr("2.png", picture(2))
        fs.pipe_file("ward/in/a.zip", zipped.getvalue())
        assert pictures("s3://ward/in") == [
            ("s3://ward/in/1.png", picture(1)),
            ("s3://ward/in/a.zip/2.png", picture(2)),
        ]
        assert names("s3://ward/in/*.png") == ["s3://ward/in/1.png"]
        row = {"input": "s3://ward/in/1.png", "ok": True, "question": "What?"}
        for _ in range(2):
            with open_output("s3://ward/out") as output:
                kept = output.inputs("What?")
                output.add(pa.Table.from_pylist([row] if not kept else [], schema=SCHEMA))
        assert kept == {"s3://ward/in/1.png": True}
        assert len(fs.find("ward/out")) == 1
    finally:
        s3.stop()


def test_rows(tmp_path, fake, local_ray, answer):
    """One row for each of a folder's inputs, damaged ones too; a second call reads only what came later."""
    folder, out = tmp_path / "in", tmp_path / "out"
    for i in range(5):
        write(folder / f"{i}.png", picture(i))
    write(folder / "damaged.png", picture()[:60])
    write(folder / "empty.jpg", b"")
    write(folder / "fault.png", picture(tail=b"FAIL"))
    write_zip(folder / "z.zip", {"1.png": picture(), "2.png": b"no"})
    seen: list[Progress] = []
    done = read_batch(
        str(folder), str(out), "What?", make_reader=fake(), report=lambda p: seen.append(replace(p))
    )
    table = {row["input"].removeprefix(f"{folder}/"): row for row in rows(out)}
    assert len(rows(out)) == len(table) == done.total == done.done == 10
    assert done.failed == 4
    assert seen[0].done == 0
    assert seen[-1].done == 10
    good = table["3.png"]
    expected = replace(answer, image=f"{folder}/3.png", question="What?").to_dict()
    assert (good["ok"], good["error_code"], good["answer"]) == (True, None, "NORMAL")
    assert (good["image"], good["question"], good["model"]) == (f"{folder}/3.png", "What?", "fake@1")
    assert good["findings"] == expected["findings"] != []
    assert good["label_AF"] == pytest.approx(expected["labels"]["AF"])
    assert good["heart_rate_bpm"] == pytest.approx(expected["measurements"]["heart_rate_bpm"])
    assert good["page_layout"] == "3x4+1R"
    assert good["page_px_per_mm"] == pytest.approx(expected["page"]["px_per_mm"])
    assert pq.read_schema(next(out.glob("*.parquet"))) == SCHEMA
    codes = {name: row["error_code"] for name, row in table.items() if not row["ok"]}
    assert codes == {
        "damaged.png": "unreadable_file",
        "empty.jpg": "unreadable_file",
        "fault.png": "internal_error",
        "z.zip/2.png": "unreadable_file",
    }
    assert table["fault.png"]["error_message"] == f"{folder}/fault.png: ZeroDivisionError: of our own"
    assert table["empty.jpg"]["error_message"].startswith(f"{folder}/empty.jpg: ")
    assert table["empty.jpg"]["label_AF"] is None

    parts = {path: path.read_bytes() for path in out.glob("*.parquet")}
    write(folder / "late.png", picture())
    (out / "_part-1.parquet").write_bytes(b"of a call that was killed")
    again = read_batch(str(folder), str(out), "What?", make_reader=fake())
    assert (again.total, again.kept, again.failed) == (11, 10, 4)
    assert sorted(row["input"] for row in rows(out)) == sorted(
        [*(r["input"] for r in table.values()), f"{folder}/late.png"]
    )
    assert all(path.read_bytes() == data for path, data in parts.items())
    assert not list(out.glob("_*"))
    with pytest.raises(EcgError, match="another question"):
        read_batch(str(folder), str(out), "Which?", make_reader=fake())


def test_a_second_batch_is_locked_out(tmp_path, fake, local_ray):
    for i in range(4):
        write(tmp_path / f"in/{i}.png", picture(i))
    out = str(tmp_path / "out")
    errors = []

    def second(p: Progress) -> None:
        try:
            read_batch(str(tmp_path / "in"), out, make_reader=fake())
        except UsageError as error:
            errors.append(str(error))

    read_batch(str(tmp_path / "in"), out, make_reader=fake(), report=second)
    assert set(errors) == {f"{out}: another process is at work there"}
    assert len(rows(tmp_path / "out")) == 4


def test_output_that_cannot_be_written(tmp_path, fake):
    write(tmp_path / "in/1.png", picture())
    write(tmp_path / "file", b"")
    with pytest.raises(EcgError, match="cannot be written"):
        read_batch(str(tmp_path / "in"), str(tmp_path / "file"), make_reader=fake())
    write(tmp_path / "other/x.parquet", b"not ours")
    with pytest.raises(EcgError, match="not a part of a batch"):
        read_batch(str(tmp_path / "in"), str(tmp_path / "other"), make_reader=fake())


def test_a_cluster_that_does_not_answer(tmp_path, fake):
    write(tmp_path / "in/1.png", picture())
    if ray.is_initialized():
        ray.shutdown()
    with pytest.raises(EcgError, match=r"zz://out: Protocol not known"):
        read_batch(str(tmp_path / "in"), "zz://out", make_reader=fake())
    with pytest.raises(EcgError, match="does not answer"):
        read_batch(str(tmp_path / "in"), str(tmp_path / "out"), address="auto", make_reader=fake())


def workers() -> list[int]:
    """Processes that this one started, on whatever node, and that hold a reader."""
    import psutil

    started = psutil.Process().children(recursive=True)
    return [process.pid for process in started if "MapWorker" in " ".join(process.cmdline())]


LISTENS = """
import socket
from ecgvlm.batch import _ray
with _ray(None, 1):
    import ray
    host, port = ray.get_runtime_context().gcs_address.rsplit(":", 1)
    print(host)
    try:
        socket.create_connection(("127.0.0.2", int(port)), 5)
    except ConnectionRefusedError:
        print("refused")
"""


def test_ray_listens_on_this_machine_only():
    """What listens on 127.0.0.2, too, listens everywhere."""
    done = subprocess.run([sys.executable, "-c", LISTENS], capture_output=True, text=True)
    assert done.stdout.split() == ["127.0.0.1", "refused"], done.stderr[-2000:]
    assert done.stderr == ""  # Ray had a line of its own for the terminal


@pytest.mark.slow
def test_a_cluster_that_loses_a_worker_and_a_node(tmp_path, fake):
    """Half-way a worker is killed, then a node taken away; two pages end every process that reads them."""
    from ray.cluster_utils import Cluster

    if ray.is_initialized():
        ray.shutdown()
    for i in range(120):
        write(tmp_path / f"in/{i:03d}.png", picture(i, b"END" if i in (30, 31) else b""))
    pq.write_table(
        pa.table({"image": [picture(i) for i in range(80)]}), tmp_path / "in/t.parquet", row_group_size=30
    )
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    lost: list[str] = []
    try:
        node = cluster.add_node(num_cpus=2)
        cluster.wait_for_nodes()

        def lose(p: Progress) -> None:
            if p.done > 40 and not lost:
                os.kill(workers()[0], signal.SIGKILL)
                lost.append("worker")
            elif p.done > 90 and len(lost) == 1:
                cluster.remove_node(node, allow_graceful=False)
                lost.append("node")

        made = fake(0.05)
        done = read_batch(
            str(tmp_path / "in"),
            str(tmp_path / "out"),
            workers=3,
            address=cluster.address,
            make_reader=made,
            report=lose,
        )
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert lost == ["worker", "node"]
    table = rows(tmp_path / "out")
    assert done.total == done.done == len(table) == 200
    assert set(Counter(row["input"] for row in table).values()) == {1}
    assert {Path(row["input"]).name: row["error_code"] for row in table if not row["ok"]} == {
        "030.png": "internal_error",
        "031.png": "internal_error",
    }
    assert {row["input"] for row in table} == set(names(tmp_path / "in"))


def be_killed(folder: str, out: str) -> None:
    """A batch that writes a part twice a second and takes about half a minute, in a process of its own."""
    import ecgvlm.batch.output

    ecgvlm.batch.output.PART_SECONDS = 0.5
    answer = an_answer()
    read_batch(folder, out, workers=1, make_reader=lambda: FakeReader(answer, 0.1))


@pytest.mark.slow
def test_a_killed_batch_goes_on_where_it_was(tmp_path, fake, local_ray):
    """Kill -9 half-way: what is there stays, only the rest is read, each input has one row."""
    for i in range(300):
        write(tmp_path / f"in/{i:03d}.png", picture(i % 250))
    folder, out = str(tmp_path / "in"), str(tmp_path / "out")
    code = f"import test_batch; test_batch.be_killed({folder!r}, {out!r})"
    # Nor is a home folder needed, as a service often has none.
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parent), "HOME": "/proc/nowhere"}
    with subprocess.Popen([sys.executable, "-c", code], env=env, start_new_session=True) as process:
        until = time.monotonic() + 120
        while len(list(Path(out).glob("part-*"))) < 3 and time.monotonic() < until:
            assert process.poll() is None
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGKILL)
    before = {row["input"] for row in rows(Path(out))}
    assert 0 < len(before) < 300
    done = read_batch(folder, out, make_reader=fake())
    assert (done.kept, done.done, done.failed) == (len(before), 300, 0)
    assert sorted(row["input"] for row in rows(Path(out))) == names(folder)
