"""Models that run on this machine through transformers."""

from __future__ import annotations

import io
import json
import os
import threading
from pathlib import Path
from typing import Any

from ecgvlm.bench.backends.base import Ask, Reply, Setup
from ecgvlm.bench.backends.loading import load_checked
from ecgvlm.errors import EcgError, UsageError, unreadable

_ORIGINAL_LLAVA = {"llava_llama", "llava_mistral"}


class Transformers:
    """`ecgvlm bench run --task code15 --backend transformers --model HuggingFaceTB/SmolVLM-256M-Instruct
    --out DIR`

    Any image-text-to-text model with a chat template: SmolVLM, Qwen2-VL (Qwen/Qwen2-VL-7B-Instruct),
    LLaVA-NeXT (llava-hf/llava-v1.6-vicuna-7b-hf). LLaVA-Med (microsoft/llava-med-v1.5-mistral-7b) and others
    in LLaVA's original naming are rewritten first. A folder of `ecgvlm export` says in which form it wants
    its pages. Decoding is greedy, one question at a time, so an answer depends on nothing but its own
    question and picture.
    """

    name = "transformers"

    def __init__(self, setup: Setup):
        import torch
        import transformers

        if setup.model is None:
            raise UsageError(f"backend {self.name} needs --model")
        self.model = setup.model
        self._torch = torch
        self._lock = threading.Lock()  # one generation at a time
        source = self._source(setup.model)
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        dtype = torch.bfloat16 if self._device == "cuda" else torch.float32
        self.parameters: dict[str, Any] = {"do_sample": False, "dtype": str(dtype).removeprefix("torch.")}
        trust = {"trust_remote_code": setup.trust_remote_code}
        net = load_checked(transformers.AutoModelForImageTextToText, source, dtype=dtype, **trust)
        self._net = net.to(self._device).eval()
        try:
            self._processor = transformers.AutoProcessor.from_pretrained(source, **trust)
        except (OSError, ValueError) as error:
            raise unreadable(f"model {setup.model}", str(error).splitlines()[0]) from None
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
        with self._lock, self._torch.inference_mode():
            return self._generate(ask, None if ask.image is None else self._picture(ask.image))

    def _picture(self, image: bytes) -> Any:
        from PIL import Image

        if self._page_width is None:
            return Image.open(io.BytesIO(image)).convert("RGB")
        from ecgvlm.files.image import load_image
        from ecgvlm.instruct.page_form import fit

        return Image.fromarray(fit(load_image(image), self._page_width))

    def _generate(self, ask: Ask, picture: Any) -> Reply:
        messages: list[dict[str, Any]] = []
        for question, answer in ask.turns:
            content: list[dict[str, Any]] = [{"type": "text", "text": question}]
            if picture is not None and not messages:
                content.insert(0, {"type": "image"})
            messages.append({"role": "user", "content": content})
            if answer is not None:
                messages.append({"role": "assistant", "content": [{"type": "text", "text": answer}]})
        text = self._processor.apply_chat_template(messages, add_generation_prompt=True)
        inputs = self._processor(text=[text], images=[picture] if picture else None, return_tensors="pt")
        inputs = inputs.to(self._device, self._net.dtype)
        out = self._net.generate(**inputs, max_new_tokens=ask.max_tokens, do_sample=False)
        read = inputs["input_ids"].shape[1]
        new = out[0, read:]
        answer = self._processor.tokenizer.decode(new, skip_special_tokens=True).strip()
        return Reply(answer, None, read, len(new), "length" if len(new) >= ask.max_tokens else "stop")


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
    model.
    """
    try:
        said = json.loads((Path(source) / "ecgvlm.json").read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return said.get("page", {}).get("width")


def _config(model: str) -> dict[str, Any]:
    """A model's config.json. Raises EcgError where there is none to be had."""
    from transformers.utils import cached_file

    try:
        path = cached_file(model, "config.json")
        config = json.loads(Path(str(path)).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise unreadable(f"model {model}", (str(error).strip() or "no config.json").splitlines()[0]) from None
    if not isinstance(config, dict):
        raise EcgError("unsupported_format", f"model {model}: config.json is no object")
    return config


def _converted(model: str) -> Path:
    from ecgvlm.bench.backends.llava import convert_llava

    source = Path(model)
    if not source.is_dir():
        from huggingface_hub import snapshot_download

        source = Path(snapshot_download(model))
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ecgvlm"
    return convert_llava(source, cache / str(source.resolve()).strip("/").replace("/", "--"))
