"""The shapes of requests and answers, for OpenAPI."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from ecgvlm.labels import LABELS
from ecgvlm.measure import MEASUREMENTS
from ecgvlm.record import LEADS
from ecgvlm.serve.wanted import Wanted

_OF_LABELS: dict[str, Any] = {"properties": {label: {"type": "number"} for label in LABELS}}
_OF_MEASUREMENTS: dict[str, Any] = {
    "properties": {name: {"type": ["number", "null"]} for name in MEASUREMENTS}
    | {"reasons": {"type": "object", "additionalProperties": {"type": "string"}}}
}


class Problem(BaseModel):
    """What is wrong. code: for programs; message: for people; type: the code, for OpenAI's clients."""

    code: str = Field(examples=["not_an_ecg"])
    message: str = Field(examples=["no twelve named leads found; show the whole ECG page, flat and sharp"])
    type: str = Field("", examples=["not_an_ecg"])


class Refused(BaseModel):
    """Any request that fails."""

    ok: Literal[False] = False
    error: Problem


class PageFacts(BaseModel):
    """How a page is printed, and how well it is to be read."""

    layout: str = Field(description="Columns x rows, and rhythm strips.", examples=["3x4+1R"])
    px_per_mm: float = Field(examples=[6.3])
    mm_per_s: float = Field(description="Paper speed.", examples=[25.0])
    mm_per_mv: float = Field(description="Gain.", examples=[10.0])
    chest_mm_per_mv: float = Field(description="Gain of the chest leads.", examples=[10.0])
    quality: float = Field(description="How well it is to be read, 0 to 1.", examples=[0.93])
    no_signal: list[str] = Field(description="Leads that are printed as flat lines.", examples=[[]])
    more_leads: list[str] = Field(description="Leads beyond the twelve.", examples=[["V7"]])
    simultaneous: bool = Field(description="Whether all columns show the same time.")
    sheets: int = Field(description="Pages that it is printed on, 1 or 2.", examples=[1])


class CriterionMet(BaseModel):
    """One published condition of a finding. met: null where it cannot be assessed."""

    finding: str = Field(examples=["LBBB"])
    name: str = Field(examples=["QRS duration"])
    value: float | None = Field(examples=[168.0])
    unit: str = Field(examples=["ms"])
    limit: float | None = Field(examples=[120.0])
    comparison: str = Field(examples=[">="])
    met: bool | None = Field(examples=[True])
    sure: float | None = Field(description="Probability that it holds, given the error of measuring.")
    leads: list[str] = Field(examples=[["V1", "V6"]])
    source: str = Field(description="Who published it.")


class Machine(BaseModel):
    """What the recording device measured and stated, where the file or page says so."""

    measurements: dict[str, float] = Field(examples=[{"heart_rate_bpm": 91.0}])
    statements: list[str] = Field(examples=[["SINUS RHYTHM"]])
    age: float | None = None
    sex: Literal["F", "M"] | None = None


class Size(BaseModel):
    """Of a picture, in px."""

    width: int = Field(examples=[1604])
    height: int = Field(examples=[1134])


class Aim(BaseModel):
    """What a camera's view shows of a page."""

    grid: bool = Field(description="Whether the paper's grid is seen.")
    leads: list[str] = Field(examples=[list(LEADS)])
    px_per_mm: float | None = Field(None, examples=[5.4])
    problem: str | None = Field(None, description="Why the view could not be read.")


class ReadAnswer(BaseModel):
    """What was read, as `ecgvlm read --json` prints it, and how to find it again."""

    model_config = ConfigDict(extra="allow")

    image: str = Field(examples=["page.jpg"])
    ok: Literal[True] = True
    question: str = Field(
        examples=["Classify the ECG condition (NORMAL or ABNORMAL) and specify the rhythm."]
    )
    answer: str = Field(examples=["ABNORMAL - Atrial Fibrillation"])
    report: str = Field(examples=["Atrial fibrillation with a ventricular rate of 92 a minute. ..."])
    labels: dict[str, float] = Field(
        description="Calibrated probability of each label.",
        examples=[{"NORM": 0.02, "AF": 0.97}],
        json_schema_extra=_OF_LABELS,
    )
    thresholds: dict[str, float] = Field(
        description="From which on each counts.",
        examples=[{"NORM": 0.5, "AF": 0.4}],
        json_schema_extra=_OF_LABELS,
    )
    findings: list[str] = Field(description="Labels over their threshold.", examples=[["AF"]])
    cautions: list[str] = Field(
        description="Codes of what speaks against resting on it: /v1/about names them.", examples=[[]]
    )
    abstain: bool = Field(description="Whether the findings are too unsure to rest on.")
    criteria: list[CriterionMet]
    measurements: dict[str, Any] = Field(
        description="Null where it cannot be told; `reasons` says why, by the same names.",
        examples=[{"heart_rate_bpm": 92.0, "pr_ms": None, "qrs_ms": 88.0, "reasons": {"pr_ms": "af"}}],
        json_schema_extra=_OF_MEASUREMENTS,
    )
    borderline: list[str] = Field(
        description="Measurements beyond their limit, but not so far that a finding follows.",
        examples=[["pr_ms"]],
    )
    page: PageFacts
    machine: Machine | None = None
    others: list[dict[str, Any]] | None = Field(
        None, description="The same of each other ECG on the picture; places are px of that picture."
    )
    model: str = Field(
        description="name@version+fingerprint of its files.", examples=["ecgvlm-small@0.4+28c20952"]
    )
    seconds: float = Field(description="That reading took.", examples=[0.4])
    pages: int = Field(1, description="Pages in the file.")
    page_numbers: list[int] = Field(
        [0], description="The page that was read, from 0; two that show the halves of one ECG."
    )
    id: str | None = Field(
        None, description="Finds the page again for ten minutes, or as long as it is stored."
    )
    picture: Size | None = None
    overlay: dict[str, Any] | None = Field(None, description="Vector layers in px of the picture.")
    preview: str | None = Field(None, description="The picture as a JPEG data URL.")


class ReadRefused(BaseModel):
    """A page that cannot be read."""

    model_config = ConfigDict(extra="allow")

    image: str = Field("", examples=["cat.jpg"])
    ok: Literal[False] = False
    question: str = ""
    error: Problem


class Batch(BaseModel):
    """How far a batch is."""

    id: str = Field(examples=["3q2-7Yd0Qm1"])
    status: Literal["running", "done", "cancelled", "failed"]
    total: int = Field(examples=[12])
    done: int = Field(examples=[5])
    failed: int = Field(examples=[1])


class BatchResults(BaseModel):
    """What a batch has read so far."""

    status: Literal["running", "done", "cancelled", "failed"]
    results: list[dict[str, Any]] = Field(description="One answer a page, in the order of the files.")


class Correction(BaseModel):
    """What a reader says instead."""

    labels: list[Literal[LABELS]] | None = Field(  # type: ignore[valid-type]
        None, description="All that the ECG shows.", examples=[["AF", "LVH"]]
    )
    report: str | None = Field(None, max_length=4000, examples=["Atrial fibrillation, LVH by voltage."])


class Stored(BaseModel):
    """A read that is kept."""

    model_config = ConfigDict(extra="allow")

    id: str
    created: str
    image_sha256: str
    model: str
    answer: dict[str, Any]
    corrections: list[dict[str, Any]]


class ChatMessage(BaseModel):
    """As OpenAI's: a text, or parts of type text and image_url."""

    model_config = ConfigDict(extra="allow")

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[dict[str, Any]] | None = None


class ChatRequest(BaseModel):
    """As OpenAI's chat completions. Sampling options are accepted and change nothing: decoding is greedy.
    tools, audio and logprobs are refused.
    """

    model_config = ConfigDict(extra="allow")

    model: str = "ecgvlm"
    messages: list[ChatMessage] = Field(min_length=1, max_length=200)
    stream: bool = False
    stream_options: dict[str, Any] | None = None
    n: int | None = Field(None, ge=1, le=1, description="One answer a request.")
    max_tokens: int | None = Field(None, ge=1, description="Words of the answer, as `usage` counts them.")
    max_completion_tokens: int | None = Field(None, ge=1, description="The same under its newer name.")
    stop: str | list[str] | None = Field(
        None, description="Up to four texts that end the answer before them."
    )
    response_format: dict[str, Any] | None = Field(
        None,
        description="text; json_object: the object of /v1/read; json_schema: what it names of it.",
    )

    @field_validator("stop")
    @classmethod
    def _few_stops(cls, value: str | list[str] | None) -> list[str]:
        stops = [value] if isinstance(value, str) else value or []
        if len(stops) > 4 or not all(stops):
            raise ValueError("one to four texts that are not empty")
        return stops

    @field_validator("response_format")
    @classmethod
    def _known_format(cls, value: dict[str, Any] | None) -> dict[str, Any] | None:
        if value is not None and value.get("type") not in ("text", "json_object", "json_schema"):
            raise ValueError("its type is text, json_object or json_schema")
        _wanted(value)
        return value

    @model_validator(mode="before")
    @classmethod
    def _nothing_else(cls, values: Any) -> Any:
        if isinstance(values, dict):
            for name in ("tools", "functions", "audio", "logprobs", "top_logprobs"):
                if values.get(name):
                    raise ValueError(f"{name} is not supported")
            if (values.get("modalities") or ["text"]) != ["text"]:
                raise ValueError("modalities: answers are text")
        return values

    @property
    def most(self) -> int | None:
        """Words that the answer may have."""
        return self.max_completion_tokens or self.max_tokens

    @property
    def as_json(self) -> bool:
        return self.response_format is not None and self.response_format["type"] != "text"

    @property
    def pick(self) -> Callable[[dict[str, Any]], dict[str, Any]]:
        """Gives what a schema wants of the object of /v1/read, without one all of it."""
        return _wanted(self.response_format).pick


def _wanted(response_format: dict[str, Any] | None) -> Wanted:
    """What a `json_schema` wants. Raises ValueError where the object of /v1/read is not like that."""
    if response_format is None or response_format.get("type") != "json_schema":
        return Wanted(True, _FIELDS)
    part = response_format.get("json_schema", {})
    if not isinstance(part, dict):
        raise ValueError("json_schema holds name and schema")
    return Wanted(part.get("schema", True), _FIELDS)


_FIELDS = ReadAnswer.model_json_schema()
