"""The recipe of a fine-tuning run: one TOML file, checked before anything is loaded."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from ecgvlm.errors import UsageError, unreadable

OURS = "ecgvlm"  # base of our own small model: findings encoder and language decoder
SMOLLM2 = "smollm2"  # base of SmolLM2-135M behind our evidence tokens
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]


Form = TypeVar("Form", bound=BaseModel)


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RowSource(_Section):
    """Where rows are: a JSON or Parquet file, a folder, or a hub name with its configuration, split and
    revision (a commit or tag); the first split if none is named.
    """

    source: str
    configuration: str | None = None
    split: str | None = None
    revision: str | None = None


class Data(_Section):
    """What is trained on: rows, or records whose pages and questions are made afresh each epoch.

    train, valid: rows in ECGInstruct form, as a `RowSource` or its source alone; images: where the pictures
    lie that rows name. records: a folder of labelled records; folds, valid_folds: of PTB-XL; splits: of any
    collection, the table of `ecgvlm instruct split`, whose parts train and valid are used instead. tokens:
    for base "smollm2", a run of our decoder whose evidence embeddings it takes over. tiles: 3 (pages of 1024
    x 512 px) or 9 (2048 x 1024). questions: rows of a page that share its tokens. balance: 0 draws every page
    alike often, 1 every label. skip_unreadable: leave out, named and counted, what cannot be read, instead of
    stopping.
    """

    train: RowSource | None = None
    valid: RowSource | None = None
    images: Path | None = None
    records: Path | None = None
    splits: Path | None = None
    folds: tuple[int, ...] | None = (1, 2, 3, 4, 5, 6)
    valid_folds: tuple[int, ...] = (7,)
    tokens: Path | None = None
    tiles: Literal[3, 9] = 3
    questions: Count = 4
    balance: Share = 0.0
    workers: Annotated[int, Field(ge=0)] = 1
    skip_unreadable: bool = False

    @field_validator("train", "valid", mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        return {"source": str(value)} if isinstance(value, str | Path) else value


class Adapter(_Section):
    """LoRA (Hu et al. 2022) on every linear layer of the parts that learn; the connector learns in full."""

    rank: Count = 16
    alpha: Count = 32
    dropout: Share = 0.0


class Rates(_Section):
    """Peak learning rates by part; a part of rate 0 is frozen. The defaults are those of SmolVLM-256M's own
    recipe.
    """

    vision: Annotated[float, Field(ge=0)] = 5e-6
    connector: Annotated[float, Field(ge=0)] = 1e-4
    language: Annotated[float, Field(ge=0)] = 2e-5


class Loop(_Section):
    """batch: pages an optimiser step over all processes; micro_batch: of these at once on one. precision
    "bf16": autocast.

    schedule: warm-up over a share of the steps, then cosine to zero. sharded: FSDP instead of DDP. minutes:
    ends the run early, with the schedule stretched over whichever of steps and minutes is nearer its end.
    compile: torch.compile for the layers of both halves.
    """

    steps: Count
    minutes: Annotated[float, Field(gt=0)] | None = None
    batch: Count = 16
    micro_batch: Count = 4
    warmup: Share = 0.03
    clip: Annotated[float, Field(gt=0)] = 1.0
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    precision: Literal["bf16", "fp32"] = "bf16"
    checkpoint_gradients: bool = False
    compile: bool = False
    sharded: bool = False
    threads: Annotated[int, Field(ge=0)] = 0


class Keep(_Section):
    """Checkpoints: every so many steps and minutes, whichever is first; the last few are kept, and the best
    one.
    """

    steps: Count = 500
    minutes: Annotated[float, Field(gt=0)] = 15.0
    last: Count = 2


class Evaluation(_Section):
    """Every so many steps the model answers `rows` validation questions by generation.

    The mean worth of its answers over the kinds of question (`ecgvlm.train.validation`) decides which
    checkpoint is the best; of equal ones, the lower loss. patience: evaluations without improvement after
    which the run ends; 0 never.
    """

    every: Count = 500
    rows: Count = 200
    patience: Annotated[int, Field(ge=0)] = 0
    max_tokens: Count = 128


class Recipe(_Section):
    """A fine-tuning run; see docs/training.md for every field. revision: of the base, where that is on the
    hub."""

    base: str
    revision: str | None = None
    out: Path
    data: Data
    loop: Loop
    method: Literal["full", "lora", "qlora"] = "full"
    seed: Annotated[int, Field(ge=0)] = 0
    tracker: Literal["trackio", "wandb"] | None = None
    adapter: Adapter = Adapter()
    rates: Rates = Rates()
    keep: Keep = Keep()
    evaluation: Evaluation = Evaluation()

    @model_validator(mode="after")
    def _fits(self) -> Recipe:
        if (self.data.train is None) == (self.data.records is None):
            raise ValueError("data needs either train (rows) or records")
        if self.base == SMOLLM2 and self.data.records is None:
            raise ValueError("base smollm2 draws its pages from data.records")
        if self.base == SMOLLM2 and self.data.splits is not None:
            raise ValueError("base smollm2 takes PTB-XL's folds, no data.splits")
        if self.loop.batch % self.loop.micro_batch:
            raise ValueError("loop.batch must be a multiple of loop.micro_batch")
        if not any(dict(self.rates).values()):
            raise ValueError("every learning rate is 0: nothing would learn")
        return self


class Stage(_Section):
    """One program of our own model's recipe. makes: the file that it must have written."""

    run: Literal["pagenet", "pen", "pool", "encoder", "caution_weights", "language"]
    makes: str
    arguments: list[str | int | float] = []


class Stages(_Section):
    """The recipe of our own model: programs in turn; {records} and {out} stand for the two folders."""

    base: Literal["ecgvlm"]
    out: Path
    records: Path
    stages: Annotated[list[Stage], Field(min_length=1)]


def shipped() -> dict[str, str]:
    """The recipes that come with the package: name -> text."""
    found = (f for f in (files("ecgvlm.train") / "recipes").iterdir() if f.name.endswith(".toml"))
    return {f.name.removesuffix(".toml"): f.read_text("utf-8") for f in sorted(found, key=lambda f: f.name)}


def read_recipe(path: Path) -> Recipe | Stages:
    """The recipe in a TOML file; where there is none, the one that ships by that name ("smolvlm-256m").

    Raises UsageError that names each field that does not fit.
    """
    try:
        raw = tomllib.loads(_text(path))
    except OSError as error:
        raise unreadable(path, error) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: not TOML ({error})") from None
    return checked(Stages, raw, path) if raw.get("base") == OURS else checked(Recipe, raw, path)


def _text(path: Path) -> str:
    """Raises OSError where there is neither such a file nor such a name."""
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        known = {name: text for stem, text in shipped().items() for name in (stem, f"{stem}.toml")}
        if (text := known.get(str(path))) is None:
            raise
        return text


def checked(kind: type[Form], raw: Any, path: Path) -> Form:
    """What a file holds, as a recipe. Raises UsageError that names each field that does not fit."""
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        said = "; ".join(
            f"{'.'.join(map(str, e['loc'])) or 'recipe'}: {e['msg'].removeprefix('Value error, ')}"
            for e in error.errors()
        )
        raise UsageError(f"{path}: {said}") from None
