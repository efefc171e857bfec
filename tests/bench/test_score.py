"""Scores against scikit-learn and the second implementation; intervals, edge cases, the command."""

import json
import math

import numpy as np
import published_rules
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rapidfuzz.distance import Levenshtein
from sklearn import metrics as sk
from typer.testing import CliRunner

from ecgvlm.bench import metrics
from ecgvlm.bench.cli import app
from ecgvlm.bench.gold import Prediction, Predictions, load_gold, load_predictions
from ecgvlm.bench.score import compare, score
from ecgvlm.bench.task import load_task
from ecgvlm.errors import EcgError, UsageError
from ecgvlm.instruct.row import row_from

CODES = ["1dAVb", "RBBB", "LBBB", "SB", "ST", "AF"]
TASK = load_task("code15-test")


def row(key, answer, question="<image>\nWhich?", **more):
    turns = [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]
    return {"id": key, "image": f"{key}.png", "conversations": turns, **more}


def system(golds, answers, patients=None, scores=None):
    extra = [{"patient": p} for p in patients] if patients else [{}] * len(golds)
    items = [row_from(row(f"q{i}", g, **e)) for i, (g, e) in enumerate(zip(golds, extra))]
    given = {
        f"q{i}": Prediction(f"q{i}", a, scores[i] if scores else None)
        for i, a in enumerate(answers)
        if a is not None
    }
    return items, Predictions(given, 0, 0)


GOLDS = st.sampled_from(["NORM", "ABNORMAL", *CODES, "RBBB; AF", "1dAVb(1st degree av block)", "SB;LBBB"])
ANSWERS = st.sampled_from(
    ["NORM", "ABNORMAL", "normal", *CODES, "RBBB; AF", "no AF", "ST segment", "Answer: SB", "", "sorry"]
)


@given(st.lists(st.tuples(GOLDS, ANSWERS), min_size=1, max_size=30))
@settings(deadline=None)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
def test_pulse_figures_are_the_published_ones(pairs):
    golds, answers = zip(*pairs)
    f1, auc, hl = published_rules.scores("code15-test", golds, answers)
    s = score(TASK, *system(golds, answers), "pulse", replicates=0)
    assert s.figures["f1"] == pytest.approx(f1)
    assert s.figures["hl"] == pytest.approx(hl)
    assert s.to_dict()["auc"] == (None if auc is None else pytest.approx(auc))
    assert s.unparsed == sum(not published_rules.predicted("code15-test", a) for a in answers)


PIECES = [
    "NORM", "ABNORMAL", "normal", "Answer:", " and ", "; ", "MI", "STTC", "CD", "HYP", "PAC", "PVC", "STD",
    "STE", "AF", "RBBB", "LBBB", "IRBBB", "I-AVB", "1dAVb", "SB", "ST segment", "no ", "NORMAL ECG",
]  # fmt: skip


@pytest.mark.parametrize("name", published_rules.LABEL_TASKS)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
def test_300_answers_are_scored_as_published(name):
    rng, task = np.random.default_rng(5), load_task(name)
    codes = [*task.gold_labels, *task.whole_gold]
    golds = [
        str(rng.choice(codes)) if rng.random() < 0.7 else "; ".join(rng.choice(codes, 2)) for _ in range(300)
    ]
    answers = ["".join(rng.choice(PIECES, rng.integers(0, 6))) for _ in golds]
    answers = [gold if rng.random() < 0.3 else answer for gold, answer in zip(golds, answers)]
    figures = score(task, *system(golds, answers), "pulse", replicates=0).figures
    assert [figures[k] for k in ("f1", "auc", "hl")] == pytest.approx(
        published_rules.scores(name, golds, answers), abs=1e-9
    )


@pytest.mark.parametrize("name", ["csn-test-no-cot", "g12-test-no-cot", "mmmu-ecg"])
def test_300_choices_are_scored_as_published(name):
    rng, task = np.random.default_rng(6), load_task(name)
    said = [
        "A",
        "B",
        "c",
        "D.",
        "Answer: (B)",
        "Answer: none",
        "The correct option is C",
        "The correct option is x",
        "",
        "No.",
    ]
    golds = [str(rng.choice(list(task.options))) for _ in range(300)]
    items, filed = system(golds, [str(rng.choice(said)) for _ in golds])
    wanted = published_rules.choices(golds, [a.text for a in filed.answers.values()], task.options)
    figures = score(task, items, filed, "pulse", replicates=0).figures
    assert figures["accuracy"] == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize("field", ["text", "response"])
def test_300_picked_options_are_scored_as_published(field):
    rng, task = np.random.default_rng(7), load_task("ecgqa-test")
    names = [
        "yes",
        "no",
        "none",
        "AFIB",
        "ischemia",
        "anterior ischemia",
        "Sinus rhythm",
        "lead aVR",
        "lead V1",
    ]
    end = " Only answer based on the given Options without any explanation."
    questions, golds, texts = [], [], []
    for _ in range(300):
        offered = rng.choice(names, rng.integers(2, 6), replace=False)
        questions.append(f"<image>\nWhich? Options: {', '.join(offered)}.{end}")
        golds.append("".join(rng.choice(offered, rng.integers(1, 3), replace=False)))
        texts.append(
            str(rng.choice([golds[-1], golds[-1].lower(), str(offered[0]), "I see " + str(offered[-1]), ""]))
        )
    items = [row_from(row(f"q{k}", list(g), list(q))) for k, (q, g) in enumerate(zip(questions, golds))]
    filed = {f"q{k}": Prediction(f"q{k}", text, None, field) for k, text in enumerate(texts)}
    figures = score(task, items, Predictions(filed, 0, 0), "pulse", replicates=0).figures
    assert figures["accuracy"] == pytest.approx(
        published_rules.ecgqa(questions, golds, texts, field), abs=1e-9
    )
    assert 0.05 < figures["accuracy"] < 0.9


def test_per_class_figures_match_sklearn():
    rng = np.random.default_rng(0)
    y, p = rng.random((200, 4)) < 0.3, rng.random((200, 4)) < 0.4
    s = metrics.label_scores(metrics.counts(y, p).sum(0), np.array(200.0), 4)
    precision, recall, f1, _ = sk.precision_recall_fscore_support(y, p)
    np.testing.assert_allclose(s["precision"], precision)
    np.testing.assert_allclose(s["recall"], recall)
    np.testing.assert_allclose(s["f1"], f1)
    np.testing.assert_allclose(s["specificity"], sk.recall_score(~y, ~p, average=None))
    np.testing.assert_allclose(s["auc"], [sk.roc_auc_score(y[:, k], p[:, k]) for k in range(4)])
    assert s["hl"] == pytest.approx(sk.hamming_loss(y, p))


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=2, max_size=40))
@settings(deadline=None)
def test_auroc_and_brier_match_sklearn(pairs):
    y, p = np.array([a for a, _ in pairs]), np.array([b / 5 for _, b in pairs])
    got = metrics.auroc(y, p)
    if y.all() or not y.any():
        assert math.isnan(got)
        return
    assert got == pytest.approx(sk.roc_auc_score(y, p), abs=1e-6)
    assert metrics.calibration(y, p)["brier"] == pytest.approx(sk.brier_score_loss(y, p))


def test_ece_of_a_known_case():
    c = metrics.calibration(np.array([1, 0, 1, 1]), np.array([0.9, 0.9, 0.9, 0.9]))
    assert 0.05 < c["ece_by_chance"] < 0.2  # of four at 0.9, three or four come true
    assert metrics.calibration(np.array([1, 0]), np.array([1.0, 0.0]))["ece_by_chance"] == 0
    assert c["ece"] == pytest.approx(0.15)


def test_anls():
    pairs = [
        ("RBBB", "RBBB"),
        ("RBB", "RBBB"),
        ("AF", "RBBB"),
        ("abcd", "abxy"),
        ("", "NORM"),
        ("norm", "NORM"),
    ]
    got = metrics.anls([a for a, _ in pairs], [(g,) for _, g in pairs])
    np.testing.assert_allclose(got, [1, 0.75, 0, 0, 0, 0])
    assert metrics.anls(["RBB"], [["AF", "RBBB"]])[0] == 1 - Levenshtein.normalized_distance("RBB", "RBBB")


def naive_bootstrap(golds, answers, patients, name, replicates, rng):
    """One resample at a time, through the second implementation."""
    people = sorted(set(patients))
    rows_of = {p: [i for i, q in enumerate(patients) if q == p] for p in people}
    values = []
    for _ in range(replicates):
        rows = [i for p in rng.choice(people, len(people)) for i in rows_of[p]]
        values.append(
            published_rules.scores("code15-test", [golds[i] for i in rows], [answers[i] for i in rows])[name]
        )
    values = [v for v in values if v is not None]
    return np.quantile(values, [0.025, 0.975])


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
def test_intervals_match_a_naive_bootstrap_by_patient():
    rng = np.random.default_rng(1)
    golds = [str(rng.choice(["NORM", "AF", "RBBB", "RBBB; AF"])) for _ in range(120)]
    answers = [g if rng.random() < 0.7 else str(rng.choice(["NORM", "AF", ""])) for g in golds]
    patients = [str(i // 4) for i in range(120)]
    s = score(TASK, *system(golds, answers, patients), "pulse", replicates=2000)
    assert s.patients == 30
    for k, name in enumerate(("f1", "auc", "hl")):
        low, high = naive_bootstrap(golds, answers, patients, k, 120, rng)
        assert s.ci95[name] == pytest.approx((low, high), abs=0.04)
        assert s.ci95[name][0] <= s.figures[name] <= s.ci95[name][1]


def test_patients_widen_the_interval():
    golds = ["AF", "NORM"] * 60
    answers = ["AF" if (i // 12) % 2 else g for i, g in enumerate(golds)]
    by_row = score(TASK, *system(golds, answers), "pulse").ci95["hl"]
    by_patient = score(TASK, *system(golds, answers, [str(i // 12) for i in range(120)]), "pulse").ci95["hl"]
    assert by_patient[1] - by_patient[0] > 1.5 * (by_row[1] - by_row[0])


def test_one_outcome_makes_auc_null_and_json_valid():
    s = score(TASK, *system(["AF"] * 5, ["AF"] * 5), "pulse").to_dict()
    assert s["auc"] is None
    assert s["ci95"]["auc"] == [None, None]
    assert s["f1"] == 1
    json.dumps(s, allow_nan=False)


def test_scores_do_not_depend_on_the_order_of_answers():
    golds = ["AF", "NORM", "SB; ST", "RBBB"] * 10
    answers = ["AF", "NORM", "SB", ""] * 10
    items, predictions = system(golds, answers)
    backwards = Predictions(dict(reversed(predictions.answers.items())), 0, 0)
    for name in ("pulse", "strict"):
        assert score(TASK, items, predictions, name) == score(TASK, items, backwards, name)
    choice = load_task("mmmu-ecg")
    items, predictions = system(list("ABCD") * 5, ["?"] * 20)
    backwards = Predictions(dict(reversed(predictions.answers.items())), 0, 0)
    assert score(choice, items, predictions).figures == score(choice, items, backwards).figures


def test_probabilities_give_auroc_and_calibration():
    golds = ["AF", "NORM"] * 10
    scores = [{"AF": 0.9, "NORM": 0.1}, {"AF": 0.2, "NORM": 0.8}] * 10
    s = score(TASK, *system(golds, ["AF"] * 20, scores=scores), "pulse")
    assert s.figures["auroc"] == 1
    assert s.figures["auc"] == 0.5
    assert s.calibration["ece"] == pytest.approx(0.15)
    assert s.ci95["auroc"] == (1, 1)
    bad = [{"AF": 1.9, "NORM": 0.1}] * 20
    with pytest.raises(EcgError, match="probabilities"):
        score(TASK, *system(golds, ["AF"] * 20, scores=bad))


def test_a_file_of_failures_says_so():
    with pytest.raises(EcgError, match="all of 3 requests failed"):
        score(TASK, [row_from(row("1", "AF"))], Predictions({}, 0, 3))


def test_missing_answers_are_counted_and_not_scored():
    s = score(TASK, *system(["AF", "NORM", "SB"], ["AF", "NORM", None]), "pulse")
    assert (s.n, s.missing) == (2, 1)
    assert s.figures["f1"] == 1


def test_strict_counts_unparsed_apart():
    s = score(TASK, *system(["AF", "NORM", "AF"], ["AF", "NORM", "I'm sorry, I can't help."]), "strict")
    assert s.unparsed == 1
    assert s.figures["f1"] < 1
    assert s.parsed_only["f1"] == 1
    assert s.parsed_only["n"] == 2


def test_comparison_is_paired():
    golds = ["AF", "NORM", "SB", "ST"] * 25
    good = [g if i % 10 else "" for i, g in enumerate(golds)]
    poor = [g if i % 10 and i % 3 else "" for i, g in enumerate(golds)]
    items, a = system(golds, good)
    _, b = system(golds, poor)
    d = {x.figure: x for x in compare(TASK, items, a, b)}
    assert d["f1"].significant
    assert d["f1"].value > 0
    same = {x.figure: x for x in compare(TASK, items, a, a)}
    assert same["f1"].value == 0
    assert not same["f1"].significant
    assert same["f1"].p == 1


def test_choice_and_options_accuracy():
    items, predictions = system(list("ABCDABCD"), list("ABCDABCA"))
    s = score(load_task("csn-test-no-cot"), items, predictions)
    assert s.figures["accuracy"] == 7 / 8
    question = "Which rhythm? Options: AF, sinus rhythm"
    items = [
        row_from(row("1", list("AF"), list(question))),
        row_from(row("2", "sinus rhythm", question)),
    ]
    assert items[0].gold == "AF"
    answers = Predictions({"1": Prediction("1", "It is af"), "2": Prediction("2", "AF")}, 0, 0)
    s = score(load_task("ecgqa-test"), items, answers, "strict")
    assert s.figures["accuracy"] == 0.5
    assert s.to_dict()["f1"] is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not JSON"),
        ("{}", "row 0: no field 'id'"),
        ("[]", "no rows"),
        ('[{"conversations": []}]', "row 0: no field 'id'"),
        ('[{"id": 1}]', "no field 'conversations'"),
        ('[{"id": 1, "conversations": [{"from": "robot", "value": "x"}]}]', "robot"),
        ('[{"id": 1, "conversations": [{"from": "human", "value": "x"}]}]', "1 questions and 0 answers"),
        ('[{"id": ' + "[" * 100_000, "not JSON"),
        (
            '[{"id": 1, "conversations": [{"from": "human", "value": "x"}, {"from": "gpt", "value": "y"}]},',
            "not JSON .the list has no end",
        ),
    ],
)
def test_bad_gold_is_named(tmp_path, content, message):
    path = tmp_path / "gold.json"
    path.write_text(content)
    with pytest.raises(EcgError, match=message):
        load_gold(path)


def test_gold_as_json_lines_and_in_a_folder_of_tasks(tmp_path):
    rows = [row("a", "AF"), row("b", "SB")]
    (tmp_path / "code15-test.json").write_text(json.dumps(rows))
    (tmp_path / "ptb-test.json").write_text(json.dumps(rows[:1]))
    lines = tmp_path / "gold.txt"
    lines.write_text("\n".join(map(json.dumps, rows)))
    whole = load_gold(tmp_path / "code15-test.json")
    assert len(whole) == 2
    assert load_gold(lines) == load_gold(tmp_path, task="code15-test") == whole
    assert load_gold(tmp_path, task="ptb-test") == whole[:1]
    with pytest.raises(UsageError, match=r"several files of rows \(code15-test.json, ptb-test.json\)"):
        load_gold(tmp_path, task="mmmu-ecg")
    with pytest.raises(EcgError, match="No such file"):
        load_gold(tmp_path / "elsewhere.json")


def test_gold_ids(tmp_path):
    path = tmp_path / "gold.json"
    path.write_text(json.dumps([row("a", "AF"), row("a", "AF")]))
    assert len(load_gold(path)) == 1
    path.write_text(json.dumps([row("a", "AF"), row("a", "SB")]))
    with pytest.raises(EcgError, match="twice"):
        load_gold(path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2"),
        ('{"text": "AF"}', "no field"),
        ('{"id": 1}', "no field"),
        ('{"id": 1, "text": 5}', "text"),
        ("5", "line 2: not an object"),
        ("[" * 100_000, "line 2: maximum recursion"),
        *((f'{{"id": 1, "text": "AF", "scores": {scores}}}', "line 2: scores must be")
          for scores in ("[1]", '"AF"', '{"AF": null}', '{"AF": "high"}')),
    ],
    ids=range(10),
)  # fmt: skip
def test_bad_answers_are_named(tmp_path, line, message):
    path = tmp_path / "pred.jsonl"
    path.write_text('{"id": 0, "text": "AF"}\n' + line)
    with pytest.raises(EcgError, match=message):
        load_predictions(path)


def test_other_harnesses_failures_are_failures(tmp_path):
    path = tmp_path / "pred.jsonl"
    texts = [
        "Failed to obtain answer via API.", "Failed to obtain answer via API. ", "nan", None, float("nan"),
        "[LMMS_EVAL_REQUEST_FAILED after 5 retries] timeout", "none", "AF",
    ]  # fmt: skip
    path.write_text("\n".join(json.dumps({"id": k, "text": text}) for k, text in enumerate(texts)))
    read = load_predictions(path)
    assert [a.text for a in read.answers.values()] == ["none", "AF"]
    assert read.failures == 6


def test_line_separators_inside_an_answer(tmp_path):
    path = tmp_path / "pred.jsonl"
    path.write_text('\ufeff{"id": 0, "text": "AF\u2028\u0085SB"}\n\n', encoding="utf-8")
    assert load_predictions(path).answers["0"].text == "AF\u2028\u0085SB"


def test_command(tmp_path):
    gold, pred = tmp_path / "gold.json", tmp_path / "pred.jsonl"
    gold.write_text(json.dumps([row(f"q{i}", g) for i, g in enumerate(["NORM", "AF", "RBBB", "SB"])]))
    lines = [
        {"question_id": "q0", "text": "NORM"}, {"id": "q1", "response": "AF"}, {"id": "q2", "text": "x"},
        {"id": "q2", "text": "normal"}, {"id": "zz", "text": "AF"}, {"id": "q3", "error": "timeout"},
    ]  # fmt: skip
    pred.write_text("\n".join(map(json.dumps, lines)))
    command = ["score", "--task", "code15-test", "--gold", str(gold), "--pred", str(pred)]
    result = CliRunner().invoke(app, [*command, "--parser", "pulse", "--json"])
    assert result.exit_code == 0, result.output
    out = json.loads(result.stdout)
    assert (out["n"], out["missing"], out["failures"], out["unknown"], out["duplicates"]) == (3, 1, 1, 1, 1)
    assert out["unparsed"] == 1
    assert out["f1"] == pytest.approx(2 / 3)
    assert out["hl"] == pytest.approx(1 / 9)
    assert set(out["ci95"]) >= {"f1", "auc", "hl", "anls", "unparsed"}
    both = json.loads(CliRunner().invoke(app, [*command, "--json"]).stdout)
    assert both["strict"]["unparsed"] == 0
    table = CliRunner().invoke(app, command).output
    assert "pulse" in table
    assert "strict" in table
    said = CliRunner().invoke(app, [*command, "--parser", "loose"])
    assert "no parser 'loose'" in str(said.exception)
