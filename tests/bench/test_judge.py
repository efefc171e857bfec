"""Facts of reports, and the language-model judge against a local server."""

import json

import pytest
from servers import serving

from ecgvlm.bench.facts import ReportFacts, extract_facts, judge_facts, judge_reports
from ecgvlm.bench.gold import Prediction, Predictions
from ecgvlm.bench.judge import judge_prompt, judge_with_model
from ecgvlm.bench.retries import RequestLimits
from ecgvlm.bench.task import load_task
from ecgvlm.errors import EcgError, UsageError
from ecgvlm.instruct.row import Row

REPORT = (
    "Sinus bradycardia at 52 bpm. PR interval 212 ms, consistent with first-degree AV block. "
    "QRS duration: 96 ms, QTc 0.43 s. Axis -20°. Right bundle branch block. "
    "No evidence of acute ischemia or atrial fibrillation."
)


def test_facts_of_a_report():
    facts = extract_facts(REPORT)
    assert facts.rhythms == {"SB"}
    assert facts.asserted == {"1dAVb", "RBBB"}
    assert "AF" in facts.denied
    assert facts.values == {"heart_rate_bpm": 52, "pr_ms": 212, "qrs_ms": 96, "qtc_ms": 430, "axis_deg": -20}


@pytest.mark.parametrize(
    ("text", "values"),
    [
        (
            "Rate 75, PR 0.16 s, QRS 0.09 s, QT/QTc 380/410 ms",
            {"heart_rate_bpm": 75, "pr_ms": 160, "qrs_ms": 90},
        ),
        ("heart rate of approximately 110 beats per minute", {"heart_rate_bpm": 110}),
        ("The QT interval is 400 ms (QTc 440 ms)", {"qt_ms": 400, "qtc_ms": 440}),
        ("corrected QT interval: 450 ms", {"qtc_ms": 450}),
        ("PR interval is normal. 12 leads.", {}),
        ("QRS 1200 ms", {}),
    ],
)
def test_values(text, values):
    found = extract_facts(text).values
    assert {k: found.get(k) for k in values} == values
    assert set(found) - set(values) <= {"qt_ms", "qtc_ms"} if values else not found


def test_a_report_agrees_with_itself():
    verdict = judge_facts(REPORT, REPORT)
    assert verdict.stated == verdict.right == verdict.wanted == verdict.found == 8
    assert not verdict.contradictions


@pytest.mark.parametrize(
    ("text", "contradictions"),
    [
        ("Atrial fibrillation", ("AF", "rhythm")),
        ("Sinus rhythm", ()),
        ("Sinus tachycardia", ("rhythm",)),
        ("No right bundle branch block", ("RBBB",)),
        ("Heart rate 54", ()),
        ("Heart rate 70", ("heart_rate_bpm",)),
        ("Left ventricular hypertrophy", ()),
        ("", ()),
    ],
)
def test_contradictions(text, contradictions):
    assert {*judge_facts(text, REPORT).contradictions} >= {*contradictions} - {"AF"}
    assert bool(judge_facts(text, REPORT).contradictions) == bool(contradictions)


def test_normal_against_abnormal():
    assert judge_facts("Normal ECG.", "Abnormal ECG.").contradictions == ("NORM",)


@pytest.mark.parametrize(
    ("gold", "contradictions"),
    [
        ("Inferior infarct cannot be excluded.", ()),
        ("Sinusrhythmus, septaler Infarkt nicht auszuschliessen", ()),
        ("Inferior infarct.", ("IMI",)),
        ("Minor non-specific ST segment depression in I.", ("STD",)),
    ],
)
def test_what_a_gold_leaves_open_contradicts_nothing(gold, contradictions):
    denied = judge_facts(
        "No inferior myocardial infarction. No ST depression. No myocardial infarction.", gold
    )
    assert denied.contradictions == contradictions


def test_facts_that_hold_by_what_else_is_known():
    known = ReportFacts(frozenset({"RBBB", "ABNORMAL"}), rhythms=frozenset({"SR"}), values={"qrs_ms": 128})
    text = "Abnormal. Sinus rhythm. Right bundle branch block. Old anterior infarct. QRS 130 ms, QT 400 ms."
    verdict = judge_facts(text, "Right bundle branch block.", known)
    assert (verdict.stated, verdict.right) == (6, 1)
    assert (verdict.checked, verdict.held) == (5, 4)  # nothing is known of QT; the infarct does not hold
    assert judge_facts(text, "Sinus rhythm, QRS 90 ms.", known).held == 4  # right is what either says


def reports(n):
    items = [Row(str(i), None, (("Report?", REPORT),), {"patient": str(i // 2)}) for i in range(n)]
    texts = ["Sinus bradycardia, RBBB." if i % 2 else "Atrial fibrillation." for i in range(n)]
    return items, Predictions({str(i): Prediction(str(i), t) for i, t in enumerate(texts)}, 0, 0)


def test_pooled_figures():
    out = judge_reports(*reports(8), replicates=100)
    assert out["n"] == 8
    assert out["facts_precision"] == pytest.approx(2 / 3)
    assert out["facts_recall"] == pytest.approx(2 / 16)
    assert out["contradictions"] > 0
    assert out["ci95"]["facts_f1"][0] <= out["facts_f1"] <= out["ci95"]["facts_f1"][1]
    json.dumps(out, allow_nan=False)


TASK = load_task("ptb-test-report")


def marks(prompt):
    score = 9 if "RBBB" in prompt.split("Answer:")[-1] else 2
    return json.dumps({axis: {"score": score, "explanation": "so"} for axis in TASK.axes})


def test_judge_is_cached_retried_and_resumed(tmp_path):
    items, predictions = reports(6)
    faults = [(429, {"Retry-After": "0"}), "not json", (400, {}), (400, {})]
    limits = RequestLimits(workers=1, attempts=3, longest_wait=0.01)
    with serving("openai", answer=marks, faults=faults) as server:
        first = judge_with_model(TASK, items, predictions, "judge-1", tmp_path, server.url, limits, 100)
        asked = len(server.prompts)
        again = judge_with_model(TASK, items, predictions, "judge-1", tmp_path, server.url, limits, 100)
        asked_again = len(server.prompts) - asked
    # Equal answers are different rows; each is asked for by its own text, equal texts share what is kept.
    assert first["failures"] == 1
    assert first["n"] == 5
    assert asked_again <= 1
    assert again["n"] == 6
    assert again["judge"] == pytest.approx((0.9 + 0.2) / 2)
    assert again["ci95"]["judge"][0] <= again["judge"] <= again["ci95"]["judge"][1]


def test_a_judge_that_keeps_no_form_is_an_error(tmp_path):
    items, predictions = reports(2)
    with (
        serving("openai", answer='{"diagnosis": 11}') as server,
        pytest.raises(EcgError, match="marked none"),
    ):
        judge_with_model(
            TASK, items, predictions, "m", tmp_path, server.url, RequestLimits(attempts=2, longest_wait=0.01)
        )
    with pytest.raises(UsageError, match="not judged"):
        judge_with_model(load_task("ptb-test"), items, predictions, "m", tmp_path, server.url)


def test_a_judge_that_takes_no_temperature_is_asked_without_it(tmp_path):
    """Of the models that reason, none marked anything."""

    def refuse(body):
        error = {"message": "Unsupported value: 'temperature' does not support 0 with this model"}
        return {"status": 400, "reply": {"error": error}} if "temperature" in body else None

    items, predictions = reports(3)
    with serving("openai", answer=marks, faults=[refuse] * 9) as server:
        limits = RequestLimits(workers=1)
        out = judge_with_model(TASK, items, predictions, "m", tmp_path, server.url, limits, 10)
    assert (out["n"], out["failures"]) == (3, 0)
    assert ["temperature" in body for body in server.bodies] == [True, *[False] * (len(server.bodies) - 1)]
    assert all(body["response_format"]["type"] == "json_schema" for body in server.bodies)


def test_why_a_judge_marked_nothing_is_told(tmp_path):
    items, predictions = reports(2)
    with (
        serving("openai", faults=[(401, {})] * 9) as server,
        pytest.raises(EcgError, match=r"marked none of 2 answers: auth: HTTP 401"),
    ):
        judge_with_model(TASK, items, predictions, "m", tmp_path, server.url, RequestLimits(workers=1))


def test_the_judge_sees_question_reference_and_answer():
    prompt = judge_prompt(
        load_task("arena"), Row("1", None, (("Q one", "G one"), ("Q two", "G two"))), "said"
    )
    for part in ("Q one", "Q two", "G two", "said", "completeness"):
        assert part in prompt
