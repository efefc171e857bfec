"""A trained model's card, and its way to the Hugging Face hub."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from ecgvlm.errors import EcgError
from ecgvlm.train.recorded import Recorded

_CARD = """\
---
{metadata}
---

# {title}

Reads pictures of 12-lead ECGs and answers questions about them. Fine-tuned by ecgvlm {version} from {base}.
**Not a medical device**: a research model that nobody has validated for care.

## Use

    from PIL import Image
    from transformers import AutoModelForImageTextToText, AutoProcessor

{load}
    processor = AutoProcessor.from_pretrained("{repo}", trust_remote_code=True)  # pads pages as in training
    content = [{{"type": "image"}}, {{"type": "text", "text": "Which rhythm is this?"}}]
    text = processor.apply_chat_template([{{"role": "user", "content": content}}], add_generation_prompt=True)
    inputs = processor(text=[text], images=[[Image.open("ecg.png")]], return_tensors="pt")
    said = model.generate(**inputs, max_new_tokens=128, do_sample=False)[0, inputs["input_ids"].shape[1]:]
    print(processor.tokenizer.decode(said, skip_special_tokens=True))

## Training

{steps:,} steps of {batch} pages ({method}) on {data}.

{figures}

The whole recipe, and the versions that ran it, are in `ecgvlm.json`.
"""


def model_card(run: Path, chosen: str, ran: Recorded, repo: str, adapter: bool) -> str:
    """The README.md of a run's checkpoint. repo: the model's name on the hub, or the folder it lies in.
    adapter: what is there is put onto the base.
    """
    from huggingface_hub import ModelCardData

    recipe = ran.recipe
    rows = recipe.data.train
    source = rows.source if rows else str(recipe.data.records)
    local = Path(recipe.base).is_absolute() or Path(recipe.base).exists()
    known = ModelCardData(
        base_model=None if local else recipe.base,  # the hub refuses what is no name on it
        library_name="peft" if adapter else "transformers", pipeline_tag="image-text-to-text",
        tags=["ecg", "electrocardiogram", "medical", "ecgvlm"], language=["en"],
    )  # fmt: skip
    return _CARD.format(
        metadata=known.to_yaml(),
        title=repo.rpartition("/")[2],
        repo=repo,
        load=_load(repo, recipe.base, adapter),
        version=ran.versions["ecgvlm"],
        base=Path(recipe.base).name if local else recipe.base,
        steps=int(chosen.removeprefix("step-")),
        batch=recipe.loop.batch,
        method=recipe.method,
        data=Path(source).name if Path(source).exists() else source,
        figures=_figures(run, chosen),
    )


def _load(repo: str, base: str, adapter: bool) -> str:
    """The lines that load the model."""
    model = f'    model = AutoModelForImageTextToText.from_pretrained("{base if adapter else repo}")'
    if not adapter:
        return model
    return (
        f'    from peft import PeftModel\n\n{model}\n    model = PeftModel.from_pretrained(model, "{repo}")'
    )


def _figures(run: Path, chosen: str) -> str:
    """The validation figures of the checkpoint, as a table."""
    step = int(chosen.removeprefix("step-"))
    path = run / "kinds.csv"
    rows = []
    if path.is_file():
        with path.open(encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if int(row["step"]) == step]
    if not rows:
        return "It was not validated while it was trained."
    lines = [f"| {row['kind']} | {float(row['figure']):.3f} |" for row in rows]
    head = "Worth of its answers to validation questions, 0 to 1, by kind of question:\n"
    return "\n".join([head, "| kind | worth |", "|---|---|", *lines])


def push(files: Sequence[Path], repo: str) -> str:
    """Uploads the files of an export to a repository of the hub, made private where there is none; its URL.

    The key is what `hf auth login` or HF_TOKEN gives. Raises EcgError where it cannot be done.
    """
    from huggingface_hub import HfApi

    hub = HfApi(library_name="ecgvlm")
    folder = files[0].parent
    try:
        hub.create_repo(repo, private=True, exist_ok=True)
        names = [path.name for path in files]
        said = hub.upload_folder(repo_id=repo, folder_path=folder, allow_patterns=names)
    except Exception as error:  # the hub's own, its HTTP library's, and those of its checks of names
        cause = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise EcgError("unreadable_file", f"{repo}: not uploaded ({cause}); {folder} is whole") from None
    return str(said)
