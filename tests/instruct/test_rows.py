"""Rows in exactly the forms in which ECGInstruct, ECGBench and people keep them."""

import io
import json

import pytest
from PIL import Image

from ecgvlm.errors import EcgError, UsageError
from ecgvlm.instruct import rows as module
from ecgvlm.instruct.rows import load_rows


def picture(colour: str = "white") -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (40, 20), colour).save(data, "PNG")
    return data.getvalue()


def ecginstruct(n: int) -> list[dict]:
    return [
        {
            "id": f"mimic-{i}",
            "image": f"mimic_v4/files/p{i}.png",
            "conversations": [
                {"from": "human", "value": f"<image>\nIs there AF, question {i}?"},
                {"from": "gpt", "value": "Yes; [no], {perhaps}"},
                {"from": "human", "value": "Sure?"},
                {"from": "gpt", "value": "Yes."},
            ],
            "metadata": {"subtask": "rhythm", "type": "open-ended"},
            "source": "mimic",
        }
        for i in range(n)
    ]


@pytest.fixture
def folder(tmp_path):
    images = tmp_path / "mimic_v4/files"
    images.mkdir(parents=True)
    for i in range(3):
        (images / f"p{i}.png").write_bytes(picture())
    (tmp_path / "ECGInstruct.json").write_text(json.dumps(ecginstruct(3), indent=2))
    return tmp_path


def test_ecginstruct_json(folder):
    rows = list(load_rows(folder))
    assert rows == list(load_rows(folder / "ECGInstruct.json"))
    assert [row.id for row in rows] == ["mimic-0", "mimic-1", "mimic-2"]
    assert rows[1].turns == (("Is there AF, question 1?", "Yes; [no], {perhaps}"), ("Sure?", "Yes."))
    assert rows[1].metadata == {"subtask": "rhythm", "type": "open-ended"}
    assert rows[1].source == "mimic"
    assert rows[1].image == folder / "mimic_v4/files/p1.png"
    assert rows[1].to_dict("mimic_v4/files/p1.png") == ecginstruct(3)[1]


def test_json_lines_and_pictures_elsewhere(folder, tmp_path_factory):
    other = tmp_path_factory.mktemp("rows") / "part.jsonl"
    other.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in ecginstruct(3)) + "\n")
    assert list(load_rows(other, images=folder)) == list(load_rows(folder))


def test_a_folder_of_several_files_is_read_by_the_parts_name(folder):
    """Of the parts that `instruct split` writes, the first by name was taken: the test part for training."""
    (folder / "ECGInstruct.json").rename(folder / "train.json")
    (folder / "test.json").write_text(json.dumps(ecginstruct(1)))
    with pytest.raises(UsageError, match=r"several files of rows \(test.json, train.json\)"):
        list(load_rows(folder))
    assert [len(list(load_rows(folder, split=part))) for part in ("train", "test")] == [3, 1]


def test_a_long_file_is_streamed(folder, monkeypatch):
    """No more than what the next rows need is read: the end of the file is broken, and nobody notices yet."""
    text = json.dumps(ecginstruct(3) * 4000)
    (folder / "ECGInstruct.json").write_text(text[:-1] + ", {broken")
    rows = load_rows(folder)
    assert next(rows).id == "mimic-0"
    with pytest.raises(EcgError, match=r"ECGInstruct\.json: not JSON"):
        for _ in rows:
            pass


def test_damage_is_named_and_skipped_when_asked(folder):
    rows = ecginstruct(3)
    (folder / "mimic_v4/files/p0.png").unlink()
    (folder / "mimic_v4/files/p1.png").write_bytes(b"no picture")
    rows.append({"id": "x", "conversations": [{"from": "human", "value": "alone"}]})
    rows.append({"image": "mimic_v4/files/p2.png", "conversations": []})
    (folder / "ECGInstruct.json").write_text(json.dumps(rows))
    with pytest.raises(EcgError, match=r"row 0: .*p0\.png: No such file"):
        list(load_rows(folder))
    skipped: list[str] = []
    assert [row.id for row in load_rows(folder, skipped=skipped)] == ["mimic-2"]
    assert len(skipped) == 4
    for message, words in zip(
        skipped, ("p0.png", "p1.png: not a picture", "1 questions and 0 answers", "no field")
    ):
        assert words in message
        assert "\n" not in message


@pytest.fixture
def bench(tmp_path, monkeypatch):
    """A folder laid out like the hub's ECGBench: a configuration a task, Parquet with the pictures' bytes."""
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    features = datasets.Features({
        "id": datasets.Value("string"), "image_path": datasets.Value("string"), "image": datasets.Image(),
        "conversations": datasets.List({"from": datasets.Value("string"), "value": datasets.Value("string")}),
    })  # fmt: skip
    repo = tmp_path / "ECGBench"
    for task, good in (("code15-test", True), ("ptb-test", False)):
        (repo / task).mkdir(parents=True)
        data = [picture("white"), picture("red") if good else b"no picture"]
        made = [
            {
                "id": f"{task}-{i}",
                "image_path": f"x/{i}.png",
                "image": {"path": f"{i}.png", "bytes": data[i]},
                "conversations": [
                    {"from": "human", "value": "<image>\nWhich?"},
                    {"from": "gpt", "value": "RBBB(right bundle branch block)"},
                ],
            }
            for i in range(2)
        ]
        table = datasets.Dataset.from_list(made, features=features)
        table.to_parquet(repo / task / "test-00000-of-00001.parquet")
    (repo / "README.md").write_text(
        "---\nconfigs:\n" + "".join(
            f"- config_name: {task}\n  data_files:\n  - split: test\n    path: {task}/test-*\n"
            for task in ("code15-test", "ptb-test")
        ) + "---\n"
    )  # fmt: skip
    return repo


def test_ecgbench_parquet(bench):
    rows = list(load_rows(bench, configuration="code15-test"))
    assert [row.id for row in rows] == ["code15-test-0", "code15-test-1"]
    assert rows[0].image == picture("white")  # the bytes as they are
    assert rows[1].image == picture("red")
    assert rows[0].turns == (("Which?", "RBBB(right bundle branch block)"),)
    assert rows == list(load_rows(bench, configuration="code15-test", split="test"))
    (file,) = (bench / "code15-test").glob("*.parquet")
    assert list(load_rows(file)) == rows


def test_damage_in_parquet(bench):
    skipped: list[str] = []
    rows = list(load_rows(bench, configuration="ptb-test", skipped=skipped))
    assert [row.id for row in rows] == ["ptb-test-0"]
    assert len(skipped) == 1
    assert "row 1: picture: not a picture" in skipped[0]
    with pytest.raises(EcgError, match="no split 'train'"):
        list(load_rows(bench, configuration="code15-test", split="train"))
    with pytest.raises(EcgError, match="not a readable data set"):
        list(load_rows(bench, configuration="no-such-task"))
    broken = bench / "broken.parquet"
    broken.write_bytes(b"PAR1 nothing")
    with pytest.raises(EcgError, match=r"broken\.parquet: not a readable data set"):
        list(load_rows(broken))


def test_hub_names_go_to_datasets(bench, monkeypatch):
    datasets = pytest.importorskip("datasets")
    asked = []
    load = datasets.load_dataset

    def hub(name, configuration=None, **options):
        asked.append((name, configuration, options))
        return load(str(bench), configuration, streaming=True)

    monkeypatch.setattr(datasets, "load_dataset", hub)
    rows = load_rows("PULSE-ECG/ECGBench", configuration="code15-test")
    assert next(rows).id == "code15-test-0"
    assert asked == [("PULSE-ECG/ECGBench", "code15-test", {"streaming": True})]
    next(load_rows("PULSE-ECG/ECGBench", configuration="code15-test", revision="abc"))
    assert asked[1][2] == {"streaming": True, "revision": "abc"}


def test_pictures_of_ones_own(tmp_path):
    for name in ("a.png", "b.png", "c.png"):
        (tmp_path / name).write_bytes(picture())
    table = tmp_path / "pages.csv"
    table.write_text(
        "file,question,answer,labels,unknown,age\n"
        "a.png,What is the rhythm?,Atrial fibrillation.,,,\n"
        "b.png,,,AF; RBBB,LVH,61\n"
        "missing.png,Rhythm?,AF,,,\n"
        "c.png,,,,,\n"
    )
    skipped: list[str] = []
    one, two = load_rows(tmp_path, skipped=skipped)
    assert one.turns == (("What is the rhythm?", "Atrial fibrillation."),)
    assert one.image == tmp_path / "a.png"
    assert two.metadata["kind"] in module.ROW_KINDS
    assert two == list(load_rows(table, skipped=[]))[1]
    assert any(two.turns != list(load_rows(table, skipped=[], seed=seed))[1].turns for seed in (1, 2, 3))
    assert len(skipped) == 2
    assert "missing.png" in skipped[0]
    assert "line 5: neither question and answer, nor labels" in skipped[1]
    with pytest.raises(EcgError, match=r"pages\.csv: line 4: .*missing\.png"):
        list(load_rows(tmp_path))


def test_sources_that_are_none(tmp_path):
    with pytest.raises(EcgError, match=r"nowhere\.json: No such file"):
        list(load_rows(tmp_path / "nowhere.json"))
    (tmp_path / "bad.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(EcgError, match="not UTF-8"):
        list(load_rows(tmp_path / "bad.json"))


@pytest.mark.parametrize("names", [[], ["a.png"], ["a.png", "b.png"]], ids=["none", "one", "two"])
def test_rows_with_any_number_of_pictures_keep_their_form(tmp_path, names):
    for name in names:
        (tmp_path / name).write_bytes(picture())
    image = names if len(names) > 1 else next(iter(names), None)
    turns = [
        {"from": "human", "value": "<image>\n" * len(names) + "What has changed?"},
        {"from": "gpt", "value": "AF."},
        {"from": "human", "value": "Sure?"},
        {"from": "gpt", "value": "Yes."},
    ]
    raw = {"id": "1", "image": image, "conversations": turns, "metadata": {}, "source": ""}
    (tmp_path / "rows.json").write_text(json.dumps([raw]))
    [row] = load_rows(tmp_path / "rows.json")
    assert row.images == tuple(tmp_path / name for name in names)
    assert row.to_dict(image) == raw
    said = row.to_messages(names)
    assert said["images"] == names
    kinds = [[part["type"] for part in message["content"]] for message in said["messages"]]
    assert kinds == [["image"] * len(names) + ["text"], ["text"], ["text"], ["text"]]
    assert [message["role"] for message in said["messages"]] == ["user", "assistant"] * 2


def test_pictures_and_their_places_must_agree(tmp_path):
    (tmp_path / "a.png").write_bytes(picture())
    turns = [{"from": "human", "value": "<image>\nWhat has changed?"}, {"from": "gpt", "value": "AF."}]
    for image, pictures in ((None, 0), (["a.png", "a.png"], 2)):
        (tmp_path / "rows.json").write_text(json.dumps([{"id": "1", "image": image, "conversations": turns}]))
        with pytest.raises(EcgError, match=f"row 0: <image> stands 1 times for {pictures} pictures"):
            list(load_rows(tmp_path / "rows.json"))


def test_half_a_character_is_no_text(tmp_path):
    turns = [{"from": "human", "value": "What is it?"}, {"from": "gpt", "value": "AF \ud83d"}]
    (tmp_path / "rows.json").write_text(json.dumps([{"id": "1", "conversations": turns}]))
    with pytest.raises(EcgError, match="row 0: conversations: half a character"):
        list(load_rows(tmp_path / "rows.json"))


ASKED, TOLD = {"from": "human", "value": "Q?"}, {"from": "gpt", "value": "A"}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"conversations": [TOLD, ASKED]}, "do not take turns, human first"),  # was turned round
        ({"conversations": [ASKED, ASKED, TOLD, TOLD]}, "do not take turns"),
        ({"conversations": json.dumps([ASKED, TOLD])}, "must be a list of objects with from and value"),
        ({"conversations": {"from": ["human", "gpt"], "value": ["Q?", "A"]}}, "must be a list of objects"),
        ({"conversations": [ASKED, TOLD], "image": 5}, "a picture is a path, its bytes or an object"),
    ],
)
def test_rows_of_another_shape_are_named(tmp_path, row, message):
    (tmp_path / "rows.json").write_text(json.dumps([{"id": "1"} | row]))
    with pytest.raises(EcgError, match=f"row 0: .*{message}"):
        list(load_rows(tmp_path / "rows.json"))


def test_json_nested_without_end_is_named(tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"a": ' * 100_000)
    with pytest.raises(EcgError, match="not JSON"):
        list(load_rows(tmp_path / "rows.jsonl"))


def test_messages_are_not_read_back(tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"messages": [], "images": []}')
    with pytest.raises(EcgError, match="row 0: messages are other programs' form"):
        list(load_rows(tmp_path / "rows.jsonl"))
