"""A language model as judge of reports, on the published three axes of 0 to 10, through an OpenAI-compatible
endpoint.

The wording is ours: PULSE's axes (diagnosis, waveform, rhythm; in the arena accuracy, completeness,
instruction), not its prompt, and another judge model than its GPT-4o gives other figures. Name the judge
with every figure.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pydantic

from ecgvlm.atomic import alone
from ecgvlm.bench import metrics
from ecgvlm.bench.answer_log import AnswerLog
from ecgvlm.bench.backends.base import Failure, api_key, sdk_failure
from ecgvlm.bench.gold import Predictions
from ecgvlm.bench.parsers import final_answer
from ecgvlm.bench.retries import DEFAULT, RequestLimits, with_retries
from ecgvlm.bench.task import Task
from ecgvlm.errors import EcgError, UsageError
from ecgvlm.instruct.row import Row

_MEANING = {
    "diagnosis": "Are the reference's diagnoses stated (conduction, ischaemia, infarct, hypertrophy)?",
    "waveform": "Is the morphology right: P wave, QRS complex, ST segment, T wave, PR and QT intervals?",
    "rhythm": "Is the rhythm of the reference named, and no other?",
    "accuracy": "Is what the answer says about the ECG true by the reference?",
    "completeness": "Does the answer cover what the reference covers?",
    "instruction": "Does the answer do what the question asked for?",
}


class Grade(pydantic.BaseModel):
    """A mark of 0 (wrong or missing) to 10 (all right), and why."""

    score: Literal[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]  # an enumeration: every server's grammar can hold it
    explanation: str


def marks_model(axes: Sequence[str]) -> type[pydantic.BaseModel]:
    """The structured output asked for: one `Grade` for each axis."""
    fields: dict[str, Any] = {axis: (Grade, ...) for axis in axes}
    return pydantic.create_model("Marks", **fields)


def judge_prompt(task: Task, item: Row, answer: str) -> str:
    """What the judge is asked about one answer."""
    axes = "\n".join(f"- {axis}: {_MEANING[axis]}" for axis in task.axes)
    questions = "\n".join(item.questions)
    reference = "\n".join(item.answers)
    return (
        "You compare an answer about an ECG with a cardiologist's reference. Give each aspect a whole number "
        "from 0 (wrong or missing) to 10 (as in the reference) and one sentence why. Judge only what the "
        "reference speaks of; length is no merit. Reply in JSON only, for each aspect an object with the "
        "fields score and explanation.\n"
        f"{axes}\n\nQuestion:\n{questions}\n\nReference:\n{reference}\n\nAnswer:\n{answer}"
    )


class _Judge:
    """A judge model behind an OpenAI-compatible endpoint. Raises UsageError where there is no key for it."""

    def __init__(self, axes: Sequence[str], model: str, base_url: str | None):
        import openai

        self._sdk, self._model = openai, model
        self._key = api_key("OPENAI_API_KEY", "OPENAI_COMPATIBLE_API_KEY", required=base_url is None)
        url = base_url or os.environ.get("OPENAI_BASE_URL")
        self._client = openai.OpenAI(api_key=self._key, base_url=url, timeout=120.0, max_retries=0)
        self._options: dict[str, Any] = {"temperature": 0}
        self._wanted = marks_model(axes)
        schema = self._wanted.model_json_schema()
        # llama-cpp-python's server knows the older of the two forms only.
        self._forms: list[dict[str, Any]] = [
            {"type": "json_schema", "json_schema": {"name": "marks", "schema": schema, "strict": True}},
            {"type": "json_object", "schema": schema},
        ]

    def ask(self, prompt: str) -> dict[str, Any]:
        """{"marks": {axis: {"score", "explanation"}}}. Raises Failure."""
        form = 0
        while True:
            options = self._options
            try:
                return self._ask(prompt, self._forms[form], options)
            except Failure as error:
                refused = error.kind == "bad_request"
                if refused and options and "temperature" in error.message.lower():
                    self._options = {}  # reasoning models take none
                elif form == 0 and (refused or "response_format" in error.message):
                    form = 1
                else:
                    raise

    def _ask(self, prompt: str, form: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
        try:
            reply = self._client.chat.completions.create(
                model=self._model,
                messages=[{"role": "user", "content": prompt}],
                response_format=form,  # type: ignore[call-overload]
                **options,
            )
            text = reply.choices[0].message.content or ""
        except (self._sdk.OpenAIError, ValueError) as error:
            raise sdk_failure(self._sdk, error, self._key) from None
        except (AttributeError, IndexError, TypeError) as error:
            raise Failure("connection", f"unreadable reply: {error}") from None
        try:
            return {"marks": self._wanted.model_validate_json(text).model_dump()}
        except pydantic.ValidationError as error:
            # Servers without structured output may miss the form once and keep it the next time.
            raise Failure("server", f"the judge's reply does not fit: {error.error_count()} errors") from None


def judge_with_model(
    task: Task,
    gold: Sequence[Row],
    predictions: Predictions,
    model: str,
    out: Path,
    base_url: str | None = None,
    limits: RequestLimits = DEFAULT,
    replicates: int = 1000,
) -> dict[str, Any]:
    """Marks every answer; kept one by one in `out/judge/`, so a second call asks only for what is missing or
    failed.

    Returns JSON values: the mean of each axis and "judge" (mean of all axes), as fractions of 1, with 95%
    intervals by patient; failures are counted apart. Raises EcgError where nothing could be judged,
    UsageError where the task is not judged.
    """
    if not task.axes:
        raise UsageError(f"task {task.name} is scored, not judged")
    judge = _Judge(task.axes, model, base_url)
    rows = [item for item in gold if item.id in predictions.answers]
    prompts = [judge_prompt(task, item, final_answer(predictions.answers[item.id].text)) for item in rows]
    kept = _marked(judge, rows, prompts, [model, task.axes], out / "judge", limits)
    judged = [(item, row["marks"]) for item, row in zip(rows, kept) if "marks" in row]
    if not judged:
        why = kept[-1].get("error", "") if kept else "there is none"
        raise EcgError("unsupported_format", f"the judge {model} marked none of {len(rows)} answers: {why}")
    marks = np.array([[m[axis]["score"] / 10 for axis in task.axes] for _, m in judged])
    figures, intervals = _means(task.axes, marks, [item.patient for item, _ in judged], replicates)
    return {
        "judge_model": model,
        "n": len(judged),
        "failures": len(rows) - len(judged),
        **figures,
        "ci95": intervals,
    }


def _marked(
    judge: _Judge,
    rows: Sequence[Row],
    prompts: Sequence[str],
    about: list[Any],
    folder: Path,
    limits: RequestLimits,
) -> list[dict[str, Any]]:
    """For each row its marks, or its error. about: what an answer depends on besides its prompt."""
    keys = [hashlib.sha256(json.dumps([*about, p]).encode()).hexdigest() for p in prompts]
    with alone(folder), closing(AnswerLog(folder)) as log:
        kept = [log.get(key) for key in keys]
        todo = [i for i, row in enumerate(kept) if row is None]
        with ThreadPoolExecutor(limits.workers) as pool:
            answers = pool.map(lambda i: with_retries(lambda: judge.ask(prompts[i]), limits), todo)
            for i, row in zip(todo, answers):
                log.add(keys[i], {"id": rows[i].id} | row)
                kept[i] = row
    return [row or {} for row in kept]


def _means(
    axes: Sequence[str], marks: np.ndarray, patients: Sequence[str], replicates: int
) -> tuple[dict[str, float], dict[str, list[float]]]:
    """The mean of each axis and of all, from marks [rows, axes], and their 95% intervals by patient."""
    statistics = np.concatenate([marks, np.ones((len(marks), 1))], axis=1)

    def finish(summed: np.ndarray) -> dict[str, np.ndarray]:
        means = summed[:, :-1] / summed[:, -1:]
        return {"judge": means.mean(1)} | {axis: means[:, k] for k, axis in enumerate(axes)}

    once = finish(statistics.sum(0, keepdims=True))
    drawn = metrics.bootstrap(metrics.clusters(list(patients)), statistics, finish, replicates, seed=0)
    figures = {name: float(values[0]) for name, values in once.items()}
    return figures, {name: list(metrics.interval(values)) for name, values in drawn.items()}
