"""The HTTP interface on a running server: answers, events, files, errors, keys, rates, queue, workers."""

import base64
import io
import itertools
import json
import logging
import sqlite3
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from types import SimpleNamespace

import cv2
import fakes
import httpx
import numpy as np
import pytest
from live import running
from pages import blank, page, text_document
from PIL import Image
from sqlalchemy.exc import OperationalError
from vectors import CHEST, LIMB, Sheet, drawn_pdf

from ecgvlm.files.image import open_pages, read_record
from ecgvlm.paper.render import render
from ecgvlm.paper.style import page_style
from ecgvlm.record import LEADS
from ecgvlm.serve.access import Keys, add_key
from ecgvlm.serve.batches import _Result
from ecgvlm.serve.schemas import CriterionMet, PageFacts, ReadAnswer
from ecgvlm.serve.service import Settings
from ecgvlm.serve.store import Store
from ecgvlm.simulate import Simulation, simulate


def png(image) -> bytes:
    return cv2.imencode(".png", image[..., ::-1])[1].tobytes()


def slow_page():
    record, _ = simulate(Simulation(rate_bpm=44), 2)
    return render(record, page_style("classic", px_per_mm=5.4), 1).image


ECG = png(page().image)
NOT_ECG = png(text_document())


@pytest.fixture(scope="module")
def client():
    with running(Settings(workers=1, queue=4)) as client:
        yield client


def post(client, path="/v1/read", data=ECG, name="a.png", **fields) -> httpx.Response:
    return client.post(path, files={"image": (name, data)}, data=fields)


def finished(client, path) -> dict:
    """The progress of a batch once it has ended."""
    end = time.monotonic() + 300
    while (progress := client.get(path).json())["status"] == "running" and time.monotonic() < end:
        time.sleep(0.05)
    return progress


def events(response) -> list[tuple[str, dict]]:
    out = []
    for block in response.text.strip().split("\n\n"):
        name, data = block.split("\n")
        out.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return out


def test_each_ecg_on_a_picture_is_read(client):
    body = post(client, data=png(np.vstack([page().image] * 2)), name="two.png").json()
    (other,) = body["others"]
    assert (body["image"], other["image"]) == ("two.png", "two.png (ECG 2)")
    assert other["page"]["layout"] == body["page"]["layout"]


def test_each_ecg_on_a_picture_can_be_asked_about_and_saved(client):
    """Questions, files and overlay spoke of the first alone, and said nothing of it."""
    two = png(np.vstack([page().image, slow_page()]))
    body = post(client, data=two, name="two.png", overlay="true").json()
    rates = [one["measurements"]["heart_rate_bpm"] for one in (body, *body["others"])]
    assert rates == pytest.approx([72, 44], abs=3)
    tops = [
        min(y for lead in one["overlay"]["leads"] for _, y in lead["outline"])
        for one in (body, *body["others"])
    ]
    assert tops[1] > body["picture"]["height"] / 2 > tops[0]
    for number, rate in ((1, rates[0]), (2, rates[1])):
        sent = {"id": body["id"], "ecg": number}
        json_ = client.post("/v1/report", data=sent | {"format": "json"})
        assert json_.json()["measurements"]["heart_rate_bpm"] == rate
        assert (f"ecg-{number}" in json_.headers["content-disposition"]) == (number > 1)
        done = events(client.post("/v1/ask", data=sent | {"question": "Rate?"}))[-1][1]
        assert done["image"] == ("two.png" if number == 1 else "two.png (ECG 2)")
    first, second = (client.post("/v1/digitize", data={"id": body["id"], "ecg": n}).text for n in (1, 2))
    assert first != second
    none = client.post("/v1/report", data={"id": body["id"], "ecg": 3})
    assert (none.status_code, none.json()["error"]["message"]) == (
        422, "ecg: the picture shows 2, there is no number 3",
    )  # fmt: skip


def test_read(client):
    answer = post(client, name="Müller, Hans.png", question="What is it?").json()
    assert answer["ok"] is True
    assert answer["image"] == "Müller, Hans.png"
    assert answer["question"] == "What is it?"
    assert answer["answer"] == fakes.WORDS
    assert answer["findings"] == ["AF"]
    assert answer["measurements"]["heart_rate_bpm"] == pytest.approx(72, abs=2)
    assert answer["page"]["layout"] == "3x4+1R"
    assert answer["pages"] == 1
    height, width = page().image.shape[:2]
    assert answer["picture"] == {"width": width, "height": height}
    assert "overlay" not in answer
    assert "preview" not in answer


def test_every_field_of_an_answer_is_described(client):
    """Criteria, cautions, thresholds and half of the page's facts stood in no schema."""
    answer = post(client, overlay="true", preview="true").json()
    ReadAnswer.model_validate(answer, strict=True)
    assert answer.keys() | {"machine", "others"} == ReadAnswer.model_fields.keys()
    assert answer["page"].keys() == PageFacts.model_fields.keys()
    for criterion in answer["criteria"]:
        assert criterion.keys() == CriterionMet.model_fields.keys()


def test_a_body_that_is_no_json_is_said_plainly(client):
    for body in (b"{", b"[]", b"3"):
        said = client.post("/v1/chat/completions", content=body).json()
        assert said["error"]["message"] == "the body must be a JSON object"


@pytest.mark.parametrize("path", ["/v1/read", "/v1/report"])
def test_of_several_pages_in_a_request_none_is_passed_over(client, path):
    """The last one alone was read, in silence."""
    several = client.post(path, files=[("image", ("a.png", ECG)), ("image", ("b.png", ECG))])
    assert several.status_code == 422
    assert "image: is sent 2 times" in several.json()["error"]["message"]


def test_a_camera_s_view_is_looked_at(client):
    seen = post(client, "/v1/aim").json()
    assert seen["grid"]
    assert sorted(seen["leads"]) == sorted(LEADS)
    assert seen["px_per_mm"] == pytest.approx(page().truth.px_per_mm, rel=0.02)
    assert "answer" not in seen
    nothing = post(client, "/v1/aim", png(blank())).json()
    assert (nothing["grid"], nothing["leads"]) == (False, [])
    assert nothing["problem"]
    assert post(client, "/v1/aim", b"no picture").status_code == 422


def test_read_at_a_sensitivity(client):
    assert post(client, sensitivity="0.9").json()["thresholds"]["AF"] == 0.1
    for wrong in ("0.2", "1", "much"):
        answer = post(client, sensitivity=wrong)
        assert answer.status_code == 422
        assert answer.json()["error"]["message"].startswith("sensitivity: ")


def test_overlay_and_preview(client):
    answer = post(client, overlay="true", preview="true").json()
    assert len(answer["overlay"]["leads"]) == 13
    kind, _, data = answer["preview"].partition(",")
    assert kind == "data:image/jpeg;base64"
    assert Image.open(io.BytesIO(base64.b64decode(data))).size == tuple(answer["picture"].values())


def test_evidence_lies_in_the_leads_that_a_finding_rests_on(client):
    overlay = post(client, overlay="true").json()["overlay"]
    assert set(overlay["evidence"]) == {"AF"}
    af = overlay["evidence"]["AF"]
    assert "V1" in af["text"]
    assert {region["lead"] for region in af["regions"]} == {"V1"}
    # Fibrillation lies between the beats as well: the whole lead is marked.
    of_v1 = [x["outline"] for x in overlay["leads"] if x["lead"] == "V1"]
    assert [region["outline"] for region in af["regions"]] == of_v1


def test_pages_of_a_file(client):
    file = io.BytesIO()
    first, second = Image.fromarray(page().image), Image.fromarray(page(seed=2).image)
    first.save(file, "TIFF", save_all=True, append_images=[second], compression="tiff_lzw")
    answers = [post(client, data=file.getvalue(), page=i).json() for i in range(3)]
    assert [answer["ok"] for answer in answers] == [True, True, False]
    assert answers[0]["pages"] == 2
    assert answers[0]["measurements"] != answers[1]["measurements"]
    assert "no page 3" in answers[2]["error"]["message"]


def test_the_first_ecg_of_a_file_is_read_where_no_page_is_named(client):
    file, letter = io.BytesIO(), Image.fromarray(text_document())
    letter.save(file, "TIFF", save_all=True, append_images=[Image.fromarray(page().image)])
    assert post(client, data=file.getvalue()).json()["page_numbers"] == [1]
    assert post(client, data=file.getvalue(), page=0).json()["error"]["code"] == "not_an_ecg"
    letter.save(file := io.BytesIO(), "TIFF", save_all=True, append_images=[letter])
    refusal = post(client, data=file.getvalue()).json()["error"]
    assert (refusal["code"], refusal["message"][:28]) == ("not_an_ecg", "none of the first 2 pages: n")


def test_halves_of_an_ecg_on_two_pages_are_read_as_one(client):
    record = simulate(Simulation(rate_bpm=71), 3)[0]
    sheets = [Sheet(columns=(leads,), rhythm=()) for leads in (LIMB, CHEST)]
    answer = post(client, data=drawn_pdf(record, *sheets)).json()
    assert answer["page_numbers"] == [0, 1]
    assert (answer["page"]["layout"], answer["page"]["sheets"]) == ("12x1", 2)


@pytest.mark.parametrize(
    ("data", "code"),
    [(NOT_ECG, "not_an_ecg"), (b"hello", "unreadable_file"), (b"", "unreadable_file"),
     (png(page().image[:80]), "too_small"), (ECG[:5000], "unreadable_file"),
     (b"<svg></svg>", "unsupported_format")],
)  # fmt: skip
def test_refusals_have_the_contract_s_shape(client, data, code):
    response = post(client, data=data, name="b.png")
    assert response.status_code == 422
    answer = response.json()
    assert (answer["ok"], answer["image"], answer["error"]["code"]) == (False, "b.png", code)


def test_ask_streams_words(client):
    key = post(client).json()["id"]
    file = {"image": ("a.png", ECG)}
    for fields, files in (({"id": key, "question": "Rhythm?"}, None), ({"question": "Rhythm?"}, file)):
        response = client.post("/v1/ask", data=fields, files=files)
        assert response.headers["content-type"].startswith("text/event-stream")
        *tokens, (last, done) = events(response)
        assert last == "done"
        assert (
            done["answer"] == "".join(data["text"] for name, data in tokens if name == "token") == fakes.WORDS
        )


@pytest.mark.parametrize(
    ("accepted", "spoken"),
    [
        ("pt-BR,pt;q=0.9,en;q=0.8", "pt"), ("en;q=0.5, it", "it"), ("sv, fr;q=0.3", "fr"), ("fr;q=0", "en"),
        ("*", "en"), ("de;q=many", "en"), ("", "en"),
    ],
)  # fmt: skip
def test_a_question_of_several_languages_is_one_in_that_of_the_caller(client, accepted, spoken):
    accepts = {"Accept-Language": accepted}
    key = post(client).json()["id"]
    for fields, told in (({}, spoken), ({"language": "es"}, "es")):
        response = client.post("/v1/ask", data={"id": key, "question": "FC?"} | fields, headers=accepts)
        assert events(response)[-1][1]["answer"] == told
    file = {"image": ("a.png", ECG)}
    read = client.post("/v1/read", data={"question": "FC?"}, files=file, headers=accepts)
    assert read.json()["answer"] == spoken


def test_words_come_as_they_are_spoken(client, tmp_path):
    """The first comes before the others are spoken: they wait until it has been heard."""
    key, heard = post(client).json()["id"], tmp_path / "heard"
    with client.stream("POST", "/v1/ask", data={"id": key, "question": f"until {heard}"}) as response:
        said = (line for line in response.iter_lines() if line.startswith("data"))
        assert "Atrial" in next(said)
        heard.touch()
        assert fakes.WORDS in list(said)[-1]


def test_of_what_was_asked_before_the_last_questions_are_followed(client):
    """A hundred long ones kept a reader busy for 20 s, one of a million characters for a minute."""
    key = post(client).json()["id"]
    for letters, counted, most in ((5, range(30, 50), 160), (5000, range(47, 50), 6000)):
        before = [f"{'Q' * letters} {k}" for k in range(50)]
        fields = {"id": key, "question": "history", "before": before}
        said = events(client.post("/v1/ask", data=fields))[-1][1]["answer"].split(" | ")
        assert [int(asked.split(" ")[-1]) for asked in said] == list(counted)
        assert sum(map(len, said)) <= most


def test_ask_without_a_page(client):
    gone = client.post("/v1/ask", data={"id": "none", "question": "?"})
    assert (gone.status_code, gone.json()["error"]["code"]) == (404, "gone")
    nothing = client.post("/v1/ask", data={"question": "?"})
    assert (nothing.status_code, nothing.json()["error"]["code"]) == (422, "invalid_request")
    assert post(client, "/v1/ask", data=NOT_ECG, question="?").json()["error"]["code"] == "not_an_ecg"


def test_leads_as_files(client, tmp_path):
    key = post(client).json()["id"]
    made = {
        kind: client.post("/v1/digitize", data={"id": key, "format": kind})
        for kind in ("csv", "wfdb", "dicom")
    }
    assert all(response.status_code == 200 for response in made.values())
    assert "attachment" in made["csv"].headers["content-disposition"]
    (tmp_path / "a.csv").write_bytes(made["csv"].content)
    csv, dicom = read_record(tmp_path / "a.csv"), open_pages(made["dicom"].content)[0].load()
    assert csv.signal.shape == dicom.signal.shape
    assert zipfile.ZipFile(io.BytesIO(made["wfdb"].content)).namelist() == ["ecg.hea", "ecg.dat"]
    assert post(client, "/v1/digitize", format="edf").status_code == 422


def test_reports(client):
    key = post(client).json()["id"]
    pdf, fhir, plain = (
        client.post("/v1/report", data={"id": key, "format": kind}) for kind in ("pdf", "fhir", "json")
    )
    assert pdf.content.startswith(b"%PDF")
    assert fhir.json()["resourceType"] == "Bundle"
    assert plain.json()["answer"] == fakes.WORDS


def test_status(client):
    assert client.get("/healthz").json() == {"ok": True}
    assert client.get("/readyz").status_code == 200
    about = client.get("/v1/about").json()
    assert (about["keys"], about["store"], about["model"]) == (False, False, "fake@0")
    assert about["measurements"]["qrs_ms"] == {"name": "QRS duration", "unit": "ms", "low": None, "high": 119}
    post(client)
    metrics = client.get("/metrics").text
    assert 'ecgvlm_pages_total{outcome="ok"}' in metrics
    assert 'route="/v1/read",status="200"' in metrics


def test_the_page_and_its_headers(client):
    response = client.get("/")
    assert "<!doctype html>" in response.text.lower()
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert response.headers["x-content-type-options"] == "nosniff"
    assert client.get("/app.js").headers["content-type"].startswith("text/javascript")
    for path in ("/../app.py", "/%2e%2e/app.py", "/..%2fapp.py", "/v1/nothing"):
        assert client.get(path).status_code == 404


def test_a_wrong_method_is_told_from_a_wrong_path(client):
    for method, path, allowed in (
        ("GET", "/v1/read", "POST"),
        ("PUT", "/healthz", "GET"),
        ("PUT", "/", "GET, HEAD"),
    ):
        answer = client.request(method, path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (405, "method_not_allowed"), path
        assert answer.headers.get("allow") == allowed
    assert [client.head(path).status_code for path in ("/healthz", "/readyz", "/app.js")] == [200] * 3
    assert client.get("/texts/").status_code == 404


def test_other_web_sites_are_refused(client):
    for headers in ({"Origin": "https://evil.example"}, {"Host": "evil.example"}):
        response = client.post("/v1/read", files={"image": ("a.png", ECG)}, headers=headers)
        assert response.status_code == 403
        assert "access-control-allow-origin" not in response.headers
    own = str(client.base_url).rstrip("/")
    assert client.post("/v1/ask", data={"question": "?"}, headers={"Origin": own}).status_code == 422


def test_bodies_are_bounded(client, monkeypatch):
    monkeypatch.setattr("ecgvlm.serve.gate.MAX_BODY", 1_000_000)
    declared = post(client, data=b"x" * 1_200_000)
    streamed = client.post("/v1/read", content=(b"x" * 100_000 for _ in range(12)))
    assert [declared.status_code, streamed.status_code] == [413, 413]
    assert declared.json()["error"]["code"] == "too_large"


@pytest.mark.parametrize(
    ("path", "kind", "body"),
    [
        ("/v1/read", "application/x-www-form-urlencoded", b"&" * 1_000_001),
        ("/v1/read", "application/x-www-form-urlencoded", b"a=" + b"%41" * 400_000),
        ("/v1/chat/completions", "application/json", b'{"messages":[' + b"{}," * 400_000 + b"{}]}"),
    ],
)
def test_large_bodies_of_many_parts_are_refused_before_they_are_taken_apart(client, path, kind, body):
    """60 MB of separators kept the event loop busy for half a minute."""
    answer = client.post(path, content=body, headers={"Content-Type": kind})
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")


def test_names_stay_out_of_the_log_and_of_the_workers(client, caplog):
    with caplog.at_level(logging.DEBUG):
        post(client, name="Erika-Mustermann.png", question="Frau Mustermann?")
        refused = post(client, data=b"x", name="Erika-Mustermann.png").json()
    assert "/v1/read" in caplog.text
    assert "Mustermann" not in caplog.text
    assert refused["image"] == "Erika-Mustermann.png"
    assert "Mustermann" not in refused["error"]["message"]


def test_a_reader_that_dies_is_replaced(client):
    lost = client.service.readers.lost
    response = post(client, question="die")
    assert response.status_code == 422
    assert "died" in response.json()["error"]["message"]
    assert post(client).status_code == 200
    assert client.service.readers.lost == lost + 1


def test_too_slow_is_ended(client, monkeypatch):
    monkeypatch.setattr(client.service, "settings", replace(client.service.settings, seconds=1.0))
    response = post(client, question="endless")
    assert response.status_code == 422
    assert "longer than 1 s" in response.json()["error"]["message"]
    monkeypatch.undo()
    assert post(client).status_code == 200


def test_beyond_the_queue_is_429(client, tmp_path):
    """One at work, four waiting: of twelve at once eight are sent away, as the last place is another
    client's. Every other one is answered.
    """
    question = f"until {tmp_path}/all"
    elsewhere = httpx.HTTPTransport(local_address="127.0.0.2")
    with (
        ThreadPoolExecutor(13) as pool,
        httpx.Client(base_url=client.base_url, transport=elsewhere, timeout=300) as other,
    ):
        reads = [pool.submit(post, client, question=question) for _ in range(12)]
        refused = [read.result() for read in itertools.islice(as_completed(reads), 8)]
        for response in refused:
            assert response.status_code == 429
            assert int(response.headers["retry-after"]) >= 1
            assert response.json()["error"]["code"] == "overloaded"
        theirs = pool.submit(post, other, question=question)
        while "ecgvlm_requests_at_work 5.0" not in client.get("/metrics").text and not theirs.done():
            time.sleep(0.05)
        (tmp_path / "all").touch()
        assert [read.result().status_code for read in {*reads, theirs} if read.result() not in refused] == [
            200
        ] * 5
    assert post(client).status_code == 200


def test_a_client_that_leaves_frees_its_place(client):
    key = post(client).json()["id"]
    with client.stream("POST", "/v1/ask", data={"id": key, "question": "endless"}) as response:
        next(response.iter_lines())
    assert post(client).status_code == 200, "the only reader still speaks to nobody"


def test_a_client_that_leaves_cuts_its_read(client):
    lost = client.service.readers.lost
    patience = httpx.Timeout(300, read=4)
    with httpx.Client(base_url=client.base_url, timeout=patience) as other, pytest.raises(httpx.ReadTimeout):
        post(other, question="endless")
    assert post(client).status_code == 200
    assert client.service.readers.lost == lost, "the read was not cut, but ended by its time limit"


def test_batches(client):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("one.png", ECG)
        archive.writestr("two.txt", b"hello")
    parts = [("a.png", ECG), ("b.zip", file.getvalue()), ("c.png", NOT_ECG)]
    response = client.post("/v1/batches", files=[("images", part) for part in parts])
    assert response.status_code == 202
    path = f"/v1/batches/{response.json()['id']}"
    assert finished(client, path) | {"id": ""} == {
        "id": "",
        "status": "done",
        "total": 4,
        "done": 4,
        "failed": 2,
    }
    results = client.get(f"{path}/results").json()["results"]
    assert [(r["image"], r["page_number"], r["ok"]) for r in results] == [
        ("a.png", 0, True), ("b.zip", 0, True), ("b.zip", 1, False), ("c.png", 0, False),
    ]  # fmt: skip
    assert client.get("/v1/batches/none").status_code == 404


def test_a_batch_has_not_more_pages_than_memory_holds_results(client, monkeypatch):
    """Two hundred files of two hundred pages were forty thousand answers, six gigabytes for an hour."""
    monkeypatch.setattr("ecgvlm.serve.batches._MOST_PAGES", 3)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for number in range(4):
            archive.writestr(f"{number}.png", ECG)
    parts = [("images", part) for part in (("a.png", ECG), ("b.zip", file.getvalue()))]
    path = f"/v1/batches/{client.post('/v1/batches', files=parts).json()['id']}"
    finished(client, path)
    one, other = client.get(f"{path}/results").json()["results"]
    assert one["ok"]
    assert (other["image"], other["error"]["code"]) == ("b.zip", "too_large")


def test_what_a_batch_has_read_is_held_packed():
    read = {"ok": True, "question": "\ud83d", "criteria": [{"name": "QRS duration", "value": 101.0}] * 100}
    held = _Result(read)
    assert json.loads(held.text()) == read
    assert len(held._packed) < len(held.text()) / 10


def test_a_batch_can_be_stopped(client):
    parts, question = [("images", ("a.png", ECG))] * 20, {"question": "endless"}
    path = f"/v1/batches/{client.post('/v1/batches', files=parts, data=question).json()['id']}"
    stopped = client.delete(path).json()
    assert stopped["status"] == "cancelled"
    assert stopped["done"] == 0
    assert client.get(path).status_code == 404
    assert post(client).status_code == 200


def test_keys_and_rates(tmp_path, monkeypatch):
    monkeypatch.setattr("ecgvlm.serve.access.time", SimpleNamespace(monotonic=lambda: 0.0))
    file = tmp_path / "keys"
    one, other = add_key(file, "ward-1", per_minute=12), add_key(file, "ward-2")
    assert one not in file.read_text()
    assert file.stat().st_mode & 0o077 == 0
    with running(Settings(workers=1, keys=Keys.load(file), local=False)) as client:
        assert client.get("/v1/about").json()["keys"] is True
        assert client.get("/").status_code == 200
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {one}"}):
            response = client.post("/v1/read", files={"image": ("a.png", ECG)}, headers=headers)
            assert (response.status_code, response.json()["error"]["code"]) == (401, "unauthorized")
        assert client.get("/metrics").status_code == 401
        mine, theirs = ({"Authorization": f"Bearer {key}"} for key in (one, other))
        read = client.post("/v1/read", files={"image": ("a.png", ECG)}, headers=mine).json()
        question = {"id": read["id"], "question": "?"}
        assert client.post("/v1/ask", data=question, headers=mine).status_code == 200
        assert client.post("/v1/ask", data=question, headers=theirs).status_code == 404
        codes = [client.post("/v1/ask", data={"question": "?"}, headers=mine).status_code for _ in range(12)]
        assert codes == [422] * 10 + [429] * 2
        assert client.post("/v1/ask", data={"question": "?"}, headers=theirs).status_code == 422


def test_store(tmp_path):
    url = f"sqlite:///{tmp_path}/store.db"
    with running(Settings(workers=1, store=Store(url), redact=True)) as client:
        assert client.get("/v1/about").json()["store"] is True
        key = post(client, name="Mustermann.png").json()["id"]
        kept = client.get(f"/v1/reads/{key}").json()
        assert kept["answer"]["findings"] == ["AF"]
        assert "Mustermann" not in json.dumps(kept)
        image = client.get(f"/v1/reads/{key}/image")
        assert Image.open(io.BytesIO(image.content)).size[0] == page().image.shape[1]
        said = client.post(f"/v1/reads/{key}/corrections", json={"labels": ["SR", "NORM"]})
        assert said.status_code == 201
        assert client.post(f"/v1/reads/{key}/corrections", json={"labels": ["XX"]}).status_code == 422
        assert client.post(f"/v1/reads/{key}/corrections", json={}).status_code == 422
        assert client.get("/v1/reads").json()[0]["corrections"][0]["labels"] == ["SR", "NORM"]
    with running(Settings(workers=1, store=Store(url))) as client:  # another run still knows the page
        answer = client.post("/v1/ask", data={"id": key, "question": "?"})
        assert events(answer)[-1][0] == "done"
        assert len(client.get("/v1/reads").json()) == 1
        assert client.delete(f"/v1/reads/{key}").status_code == 200
        assert client.get(f"/v1/reads/{key}").status_code == 404
        assert client.post("/v1/ask", data={"id": key, "question": "?"}).status_code == 404


def test_a_locked_store_is_told_and_costs_a_batch_one_page(tmp_path, monkeypatch, caplog):
    store = Store(f"sqlite:///{tmp_path}/store.db?timeout=0")
    with running(Settings(workers=1, store=store)) as client:
        with sqlite3.connect(tmp_path / "store.db") as other:
            other.execute("BEGIN IMMEDIATE")
            refused = post(client)
            other.rollback()
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "store_unavailable")
        assert "Traceback" not in caplog.text
        add, locked = store.add, iter([True])

        def add_next(*read):
            if next(locked, False):
                raise OperationalError("INSERT", None, Exception("database is locked"))
            add(*read)

        monkeypatch.setattr(store, "add", add_next)
        path = (
            f"/v1/batches/{client.post('/v1/batches', files=[('images', ('a.png', ECG))] * 2).json()['id']}"
        )
        assert finished(client, path)["failed"] == 1
        codes = [row.get("error", {}).get("code") for row in client.get(f"{path}/results").json()["results"]]
        assert sorted(codes, key=str) == [None, "store_unavailable"]


def test_nothing_is_kept_by_default(client):
    key = post(client).json()["id"]
    assert client.get(f"/v1/reads/{key}").status_code == 404
    assert client.get("/v1/reads").status_code == 404


def test_requests_at_work_are_finished_when_the_server_stops(tmp_path):
    answers, stopping = [], tmp_path / "stopping"
    question = f"until {stopping}"
    with running(Settings(workers=1)) as client:
        other = httpx.Client(base_url=client.base_url, timeout=300)
        thread = threading.Thread(target=lambda: answers.append(post(other, question=question)))
        thread.start()
        while client.service.readers.idle:
            time.sleep(0.01)
        threading.Timer(0.2, stopping.touch).start()  # while the server waits for its requests to end
    thread.join()
    assert answers[0].status_code == 200
    assert answers[0].json()["answer"] == fakes.WORDS
