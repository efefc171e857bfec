"""Models that run on this machine through transformers."""

from __future__ import annotations

import io
import os
import threading
from pathlib import Path
from typing import Any

from ecgvlm.bench.backends.base import Ask, Reply
from ecgvlm.errors import EcgError


class Transformers:
    """`ecgvlm bench run --task code15 --backend transformers --model HuggingFaceTB/SmolVLM-256M-Instruct
    --out DIR`

    Any image-text-to-text model with a chat template: SmolVLM, Qwen2-VL (Qwen/Qwen2-VL-7B-Instruct),
    LLaVA-NeXT (llava-hf/llava-v1.6-vicuna-7b-hf), MiniCPM-V 2.6 (openbmb/MiniCPM-V-2_6, whose own code
    asks questions). LLaVA-Med (microsoft/llava-med-v1.5-mistral-7b) is rewritten from LLaVA's original
    naming first. Decoding is greedy, one question at a time, so an answer depends on nothing but its own
    question and picture.
    """

    name = "transformers"

    def __init__(self, model: str | None = None):
        import torch
        import transformers

        if model is None:
            raise EcgError("unsupported_format", f"backend {self.name} needs --model")
        self.model = model
        self._torch = torch
        self._lock = threading.Lock()  # one generation at a time
        source = self._source(model)
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        dtype = torch.bfloat16 if self._device == "cuda" else torch.float32
        self.parameters: dict[str, Any] = {"do_sample": False, "dtype": str(dtype).removeprefix("torch.")}
        try:
            config = transformers.AutoConfig.from_pretrained(source, trust_remote_code=_own_code(model))
            if _own_code(model):
                self._net = transformers.AutoModel.from_pretrained(
                    source, dtype=dtype, trust_remote_code=True
                )
                self._processor = transformers.AutoTokenizer.from_pretrained(source, trust_remote_code=True)
            else:
                self._net = transformers.AutoModelForImageTextToText.from_pretrained(source, dtype=dtype)
                self._processor = transformers.AutoProcessor.from_pretrained(source)
        except (OSError, ValueError) as error:
            raise EcgError("unreadable_file", f"model {model}: {str(error).splitlines()[0]}") from None
        self._net.to(self._device).eval()
        self._own = _own_code(model) and config.model_type == "minicpmv"

    def _source(self, model: str) -> str:
        if "llava-med" in model.lower():
            return str(_converted(model))
        return model

    def ask(self, ask: Ask) -> Reply:
        from PIL import Image

        picture = Image.open(io.BytesIO(ask.image)).convert("RGB") if ask.image is not None else None
        with self._lock, self._torch.inference_mode():
            return self._chat(ask, picture) if self._own else self._generate(ask, picture)

    def _generate(self, ask: Ask, picture: Any) -> Reply:
        messages: list[dict[str, Any]] = []
        for question, answer in (*ask.history, (ask.prompt, None)):
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

    def _chat(self, ask: Ask, picture: Any) -> Reply:
        """MiniCPM-V asks through its own `chat`."""
        messages: list[dict[str, Any]] = []
        for question, answer in (*ask.history, (ask.prompt, None)):
            content = [picture, question] if picture is not None and not messages else [question]
            messages.append({"role": "user", "content": content})
            if answer is not None:
                messages.append({"role": "assistant", "content": [answer]})
        answer = self._net.chat(
            image=None,
            msgs=messages,
            tokenizer=self._processor,
            sampling=False,
            max_new_tokens=ask.max_tokens,
        )
        return Reply(str(answer))


class Pulse(Transformers):
    """`ecgvlm bench run --task code15 --backend pulse --out DIR` (PULSE-7B; `--model` names another
    checkpoint or a folder)

    The published weights are in LLaVA's original naming; they are rewritten once, beside the other caches.
    """

    name = "pulse"

    def __init__(self, model: str | None = None):
        super().__init__(model or "PULSE-ECG/PULSE-7B")

    def _source(self, model: str) -> str:
        return str(_converted(model))


def _own_code(model: str) -> bool:
    """MiniCPM-V alone needs code from its repository."""
    return "minicpm-v" in model.lower()


def _converted(model: str) -> Path:
    from ecgvlm.bench.backends.llava import convert_llava

    source = Path(model)
    if not source.is_dir():
        from huggingface_hub import snapshot_download

        source = Path(snapshot_download(model))
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ecgvlm"
    return convert_llava(source, cache / str(source.resolve()).strip("/").replace("/", "--"))
