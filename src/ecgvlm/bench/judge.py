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
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pydantic

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


def judge_with_model(
    task: Task,
    gold: Sequence[Row],
    predictions: Predictions,
    model: str,
    out: Path,
    base_url: str | None = None,
    limits: RequestLimits = DEFAULT,
    replicates: int = 1000,
    seed: int = 0,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Marks every answer; kept one by one in `out/judge/`, so a second call asks only for what is missing or
    failed.

    Returns JSON values: the mean of each axis and "judge" (mean of all axes), as fractions of 1, with 95%
    intervals by patient; failures are counted apart. Raises EcgError where the task is not judged or
    nothing could be.
    """
    import openai

    if not task.axes:
        raise UsageError(f"task {task.name} is scored, not judged")
    key = api_key("OPENAI_API_KEY", "OPENAI_COMPATIBLE_API_KEY", required=base_url is None)
    client = openai.OpenAI(
        api_key=key, base_url=base_url or os.environ.get("OPENAI_BASE_URL"), timeout=120.0, max_retries=0
    )
    wanted = marks_model(task.axes)
    schema = wanted.model_json_schema()
    # llama-cpp-python's server knows the older of the two forms only.
    forms: list[dict[str, Any]] = [
        {"type": "json_schema", "json_schema": {"name": "marks", "schema": schema, "strict": True}},
        {"type": "json_object", "schema": schema},
    ]

    def ask(prompt: str) -> dict[str, Any]:
        try:
            return ask_in(prompt, forms[0])
        except Failure as error:
            if error.kind != "bad_request" and "response_format" not in error.message:
                raise
            return ask_in(prompt, forms[1])

    def ask_in(prompt: str, form: dict[str, Any]) -> dict[str, Any]:
        try:
            reply = client.chat.completions.create(
                model=model,
                temperature=0,
                messages=[{"role": "user", "content": prompt}],
                response_format=form,  # type: ignore[call-overload]
            )
            text = reply.choices[0].message.content or ""
        except (openai.OpenAIError, ValueError) as error:
            raise sdk_failure(openai, error, key) from None
        try:
            return wanted.model_validate_json(text).model_dump()
        except pydantic.ValidationError as error:
            # Servers without structured output may miss the form once and keep it the next time.
            raise Failure("server", f"the judge's reply does not fit: {error.error_count()} errors") from None

    rows = [item for item in gold if item.id in predictions.answers]
    prompts = [judge_prompt(task, item, final_answer(predictions.answers[item.id].text)) for item in rows]
    keys = [hashlib.sha256(json.dumps([model, task.axes, p]).encode()).hexdigest() for p in prompts]
    store = AnswerLog(out / "judge")
    try:
        kept = [store.get(k) for k in keys]
        todo = [i for i, row in enumerate(kept) if row is None]
        with ThreadPoolExecutor(limits.workers) as pool:
            answers = pool.map(lambda i: with_retries(lambda: {"marks": ask(prompts[i])}, limits), todo)
            for done, (i, row) in enumerate(zip(todo, answers), 1):
                store.add(keys[i], {"id": rows[i].id} | row)
                kept[i] = row
                report(len(rows) - len(todo) + done, len(rows))
    finally:
        store.close()
    judged = [(item, row["marks"]) for item, row in zip(rows, kept) if row is not None and "marks" in row]
    if not judged:
        raise EcgError("unsupported_format", f"the judge {model} marked none of {len(rows)} answers")
    marks = np.array([[m[axis]["score"] / 10 for axis in task.axes] for _, m in judged])
    statistics = np.concatenate([marks, np.ones((len(marks), 1))], axis=1)

    def finish(summed: np.ndarray) -> dict[str, np.ndarray]:
        means = summed[:, :-1] / summed[:, -1:]
        return {"judge": means.mean(1)} | {axis: means[:, k] for k, axis in enumerate(task.axes)}

    group = metrics.clusters([item.patient for item, _ in judged])
    once = finish(statistics.sum(0, keepdims=True))
    drawn = metrics.bootstrap(group, statistics, finish, replicates, seed)
    return {
        "judge_model": model,
        "n": len(judged),
        "failures": len(rows) - len(judged),
        **{k: float(v[0]) for k, v in once.items()},
        "ci95": {k: list(metrics.interval(v)) for k, v in drawn.items()},
    }
