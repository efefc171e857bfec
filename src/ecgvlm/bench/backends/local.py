"""Models that run on this machine through transformers."""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ecgvlm.bench.backends.base import Ask, Reply, Setup
from ecgvlm.bench.backends.loading import (
    adapted_model,
    fingerprint,
    load_checked,
    load_processor,
    reading,
    with_adapter,
)
from ecgvlm.bench.backends.together import Together
from ecgvlm.errors import EcgError, UsageError, unreadable
from ecgvlm.instruct.row import messages_of

_ORIGINAL_LLAVA = {"llava_llama", "llava_mistral"}


class Transformers:
    """`ecgvlm bench run --task code15 --backend transformers --model HuggingFaceTB/SmolVLM-256M-Instruct
    --out DIR`

    Any image-text-to-text model with a chat template: SmolVLM, Qwen2-VL (Qwen/Qwen2-VL-7B-Instruct),
    LLaVA-NeXT (llava-hf/llava-v1.6-vicuna-7b-hf). LLaVA-Med (microsoft/llava-med-v1.5-mistral-7b) and others
    in LLaVA's original naming are rewritten first. A folder of `ecgvlm export` says in which form it wants
    its pages, and may be a PEFT adapter. Decoding is greedy. The questions asked at once (`Setup.workers`)
    are a batch, filled up on the left, so that an answer depends, but for rounding, on nothing but its own
    question and picture.
    """

    name = "transformers"

    def __init__(self, setup: Setup):
        import torch
        import transformers

        if setup.model is None:
            raise UsageError(f"backend {self.name} needs --model")
        _check_name(setup.model)
        self.model = setup.model
        self._torch = torch
        self._together = Together(self._answer, setup.workers)
        base = adapted_model(setup.model)
        source = self._source(base or setup.model)
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        dtype = torch.bfloat16 if self._device == "cuda" else torch.float32
        self.parameters: dict[str, Any] = {
            "do_sample": False, "dtype": str(dtype).removeprefix("torch."),
            "weights": fingerprint(*filter(None, (base, setup.model))),
        }  # fmt: skip
        trust = {"trust_remote_code": setup.trust_remote_code}
        net = load_checked(transformers.AutoModelForImageTextToText, source, dtype=dtype, **trust)
        if base is not None:
            net, source = with_adapter(net, setup.model), setup.model  # its processor lies beside it
        self._net = net.to(self._device).eval()
        self._processor = load_processor(source, **trust)
        tokenizer = self._processor.tokenizer
        tokenizer.padding_side = "left"
        ends = self._net.generation_config.eos_token_id
        self._ends = set(ends if isinstance(ends, list) else [ends])
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        self._page_width = page_width(source)

    def _source(self, model: str) -> str:
        """What is loaded: the model as it is, or its rewritten copy. Raises UsageError for what cannot run
        here.
        """
        kind = _config(model).get("model_type")
        if kind == "minicpmv":
            raise UsageError(
                f"{model}: its own code does not run under this version of transformers; serve it from an "
                "environment of its own (examples/minicpmv_server.py) and ask --backend openai-compatible"
            )
        return str(_converted(model)) if kind in _ORIGINAL_LLAVA else model

    def ask(self, ask: Ask) -> Reply:
        return self._together((ask, tuple(map(self._picture, ask.images))))

    def _picture(self, image: bytes) -> Any:
        """The picture as the model wants it. Raises EcgError where it cannot be decoded."""
        from PIL import Image

        if self._page_width is None:
            try:
                return Image.open(io.BytesIO(image)).convert("RGB")
            except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
                raise unreadable("picture", str(error)) from None
        from ecgvlm.files.image import load_image
        from ecgvlm.files.page_form import fit

        return Image.fromarray(fit(load_image(image), self._page_width))

    def _answer(self, asked: Sequence[tuple[Ask, Any]]) -> list[Reply]:
        """The answers to questions, each with its pictures."""
        try:
            with self._torch.inference_mode():
                return self._generate([ask for ask, _ in asked], [pictures for _, pictures in asked])
        except self._torch.OutOfMemoryError:
            said = f"{len(asked)} pages at once do not fit the GPU's memory: fewer --workers"
            raise EcgError("too_large", said) from None
        except Exception as error:  # of the model's template, its processor or the model itself
            if len(asked) > 1:  # they are asked one by one
                raise
            shown = len(asked[0][1])
            what = f"a row of {shown} pictures" if shown > 1 else "a row"
            said = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise EcgError("unsupported_format", f"{self.model} cannot be asked {what}: {said}") from None

    def _generate(self, asks: Sequence[Ask], pictures: Sequence[Sequence[Any]]) -> list[Reply]:
        texts = []
        for ask in asks:
            said = [*(text for turn in ask.history for text in turn), ask.prompt]
            messages = messages_of(said, len(ask.images))
            texts.append(self._processor.apply_chat_template(messages, add_generation_prompt=True))
        shown = [picture for each in pictures for picture in each]
        inputs = self._processor(text=texts, images=shown or None, padding=True, return_tensors="pt")
        inputs = inputs.to(self._device, self._net.dtype)
        most = max(ask.max_tokens for ask in asks)
        out = self._net.generate(
            **inputs,
            max_new_tokens=most,
            do_sample=False,
            pad_token_id=self._processor.tokenizer.pad_token_id,
        )
        read = inputs["attention_mask"].sum(1).tolist()
        new = out[:, inputs["input_ids"].shape[1] :].tolist()
        return [self._reply(ask, n, ids) for ask, n, ids in zip(asks, read, new)]

    def _reply(self, ask: Ask, read: int, ids: list[int]) -> Reply:
        """What one row of a batch says, without what fills it up behind its end."""
        written = next((k for k, token in enumerate(ids, start=1) if token in self._ends), len(ids))
        ids = ids[: min(written, ask.max_tokens)]
        answer = self._processor.tokenizer.decode(ids, skip_special_tokens=True).strip()
        return Reply(answer, None, read, len(ids), "length" if len(ids) >= ask.max_tokens else "stop")


class Pulse(Transformers):
    """`ecgvlm bench run --task code15 --backend pulse --out DIR` (PULSE-7B; `--model` names another
    checkpoint or a folder)

    The published weights are in LLaVA's original naming; they are rewritten once, beside the other caches.
    """

    name = "pulse"

    def __init__(self, setup: Setup):
        from dataclasses import replace

        super().__init__(replace(setup, model=setup.model or "PULSE-ECG/PULSE-7B"))

    def _source(self, model: str) -> str:
        return str(_converted(model))


def page_width(source: str) -> int | None:
    """The width in px of the 2:1 pages that a folder of `ecgvlm export` was trained on; None of any other
    model. Raises EcgError where the folder's note is damaged.
    """
    note = Path(source) / "ecgvlm.json"
    if not note.is_file():
        return None
    try:
        width = json.loads(note.read_text("utf-8")).get("page", {}).get("width")
    except (OSError, ValueError, AttributeError) as error:
        raise unreadable(note, f"it should say how wide pages are ({error})") from None
    if width is not None and (not isinstance(width, int) or width < 2):
        raise unreadable(note, f"no width of pages: {width!r}")
    return width


def _check_name(model: str) -> None:
    """Raises EcgError where a model is neither a folder here nor called as models on the hub are."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    if Path(model).is_file():
        raise unreadable(f"model {model}", "it is a file; name the folder of a model")
    try:
        if not Path(model).is_dir():
            validate_repo_id(model)
    except HFValidationError:
        raise unreadable(f"model {model}", "there is no such folder") from None


def _config(model: str) -> dict[str, Any]:
    """A model's config.json. Raises EcgError where there is none to be had."""
    from transformers.utils import cached_file

    try:
        path = cached_file(model, "config.json")
        if path is None:
            raise FileNotFoundError("there is no config.json")
        config = json.loads(Path(path).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise unreadable(
            f"model {model}", (str(error).strip() or type(error).__name__).splitlines()[0]
        ) from None
    if not isinstance(config, dict):
        raise EcgError("unsupported_format", f"model {model}: config.json is no object")
    return config


def _converted(model: str) -> Path:
    """The rewritten copy of a model in LLaVA's naming; of other weights in the same folder none is kept, nor
    one that was written otherwise. Raises EcgError where it cannot be had or made.
    """
    from huggingface_hub import snapshot_download

    from ecgvlm.bench.backends.llava import FORM, convert_llava

    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ecgvlm"
    with reading(model):
        source = Path(model) if Path(model).is_dir() else Path(snapshot_download(model))
        copies = cache / "llava" / str(source.resolve()).strip("/").replace("/", "--")
        copy = copies / f"{FORM}-{fingerprint(str(source))}"
        for old in copies.glob("*"):
            if old != copy:
                shutil.rmtree(old)
        return convert_llava(source, copy)
