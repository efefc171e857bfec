"""Checkpoints in LLaVA's original naming (PULSE-7B, LLaVA-Med), rewritten for transformers key for key."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ecgvlm.bench.backends.loading import check_tensors, load_checked
from ecgvlm.errors import EcgError

# The conversations of LLaVA's own code: "llava_v1" for its Vicuna models, PULSE-7B among them ("vicuna_v1"
# says user where this says human), and "mistral_instruct" for its Mistral models, LLaVA-Med 1.5 among them.
# The picture stands before the first words. What follows it is, in that code, a text of its own to the
# tokenizer, which begins a text with a space: transformers' own begins only the first one so.
_CONTENT = (
    "{% for part in message['content'] %}"
    "{{ '<image> \n' if part['type'] == 'image' else part['text'] }}{% endfor %}"
)
VICUNA = (
    "A chat between a curious human and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the human's questions. "
    "{% for message in messages %}"
    "{{ 'USER: ' if message['role'] == 'user' else 'ASSISTANT: ' }}"
    + _CONTENT
    + "{{ ' ' if message['role'] == 'user' else '</s>' }}{% endfor %}"
    "{{ 'ASSISTANT:' if add_generation_prompt else '' }}"
)
MISTRAL = (
    "{% for message in messages %}{% if message['role'] == 'user' %}{{ '[INST] ' }}"
    + _CONTENT
    + "{{ ' [/INST]' }}"
    "{% else %}{{ ' ' }}" + _CONTENT + "{{ ' </s>' }}{% endif %}{% endfor %}"
)
IMAGE_TOKEN = "<image>"


def new_key(old: str, vision_prefix: str) -> str | None:
    """The name transformers gives to a tensor of an original LLaVA checkpoint; None for buffers it does not
    keep.

    Raises EcgError for a name that belongs to no known part.
    """
    if old.endswith(("position_ids", "rotary_emb.inv_freq")):
        return None
    tower = "model.vision_tower.vision_tower.vision_model."
    if old.startswith(tower):
        return vision_prefix + old.removeprefix(tower)
    if old.startswith("model.mm_projector."):
        layer, kind = old.removeprefix("model.mm_projector.").split(".")
        if layer in {"0", "2"}:  # 1 is the GELU between
            return f"model.multi_modal_projector.linear_{1 if layer == '0' else 2}.{kind}"
    if old in {"model.image_newline", "lm_head.weight"}:
        return old
    if old.startswith(("model.embed_tokens.", "model.layers.", "model.norm.")):
        return "model.language_model." + old.removeprefix("model.")
    raise EcgError("unsupported_format", f"tensor {old!r} belongs to no part of LLaVA that is known here")


FORM = 3  # of what `convert_llava` writes: one more whenever that changes


def convert_llava(source: Path, out: Path) -> Path:
    """Writes the checkpoint in `source` to `out` as transformers loads it; returns `out`. Done once: a
    finished one is kept.

    One row is added to both embedding tables for the image token, which the original replaces before the
    lookup. Raises EcgError where a tensor is unknown, missing or of another shape, OSError or KeyError where
    a file or a setting is missing.
    """
    if (out / "config.json").is_file():
        return out
    import torch

    raw = json.loads((source / "config.json").read_text("utf-8"))
    model_class, config = _config(raw)
    with torch.device("meta"):
        shapes = {k: tuple(v.shape) for k, v in model_class(config).state_dict().items()}
    vision_prefix = next(k for k in shapes if k.endswith("embeddings.class_embedding"))
    vision_prefix = vision_prefix.removesuffix("embeddings.class_embedding")
    beside = out.with_name(out.name + ".part")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    written = _Written(source, beside, shapes)
    for tensors in _shards(source):
        written.add(_renamed(tensors, vision_prefix))
    if not any(k.startswith(vision_prefix) for k in written.where):  # a frozen tower is not saved with it
        written.add(_tower(raw["mm_vision_tower"], vision_prefix))
    written.close()
    _processor(source, raw, config).save_pretrained(beside)
    config.save_pretrained(beside)
    beside.rename(out)
    return out


def _renamed(tensors: dict[str, Any], vision_prefix: str) -> dict[str, Any]:
    """The tensors by transformers' names, with a row for the image token."""
    import torch

    named = {}
    for old, tensor in tensors.items():
        key = new_key(old, vision_prefix)
        if key is None:
            continue
        if key.endswith("embed_tokens.weight") or key == "lm_head.weight":
            tensor = torch.cat([tensor, tensor.mean(0, keepdim=True)])
        named[key] = tensor
    return named


def _tower(name: str, vision_prefix: str) -> dict[str, Any]:
    """The tensors of the vision tower that a checkpoint only names."""
    import transformers

    tower = load_checked(transformers.CLIPVisionModel, name, more=True).state_dict()
    return {
        vision_prefix + k.removeprefix("vision_model."): v
        for k, v in tower.items()
        if "position_ids" not in k
    }


class _Written:
    """Weight files in a folder, each tensor of the shape that the model wants."""

    def __init__(self, source: Path, folder: Path, shapes: dict[str, tuple[int, ...]]):
        self.source, self.folder, self.shapes = source, folder, shapes
        self.where: dict[str, str] = {}
        self._files = 0

    def add(self, tensors: dict[str, Any]) -> None:
        """Writes a file of tensors, if there are any."""
        from safetensors.torch import save_file

        for key, tensor in tensors.items():
            if tuple(tensor.shape) != self.shapes.get(key):
                said = f"{key} is {tuple(tensor.shape)}, the model wants {self.shapes.get(key)}"
                raise EcgError("unsupported_format", f"{self.source}: {said}")
        if not tensors:
            return
        self._files += 1
        name = f"model-{self._files:05d}.safetensors"
        whole = {key: tensor.contiguous() for key, tensor in tensors.items()}
        save_file(whole, self.folder / name, metadata={"format": "pt"})
        self.where |= dict.fromkeys(tensors, name)

    def close(self) -> None:
        """Writes which tensor is in which file. Raises EcgError where one was never written."""
        missing = [k for k in self.shapes.keys() - self.where.keys() if not k.endswith("position_ids")]
        check_tensors(self.source, {"missing_keys": missing})
        index = json.dumps({"metadata": {}, "weight_map": self.where})
        (self.folder / "model.safetensors.index.json").write_text(index)


def _config(raw: dict[str, Any]) -> tuple[Any, Any]:
    """Model class and configuration for an original LLaVA `config.json`."""
    import transformers as tr

    text_classes = {"llava_llama": tr.LlamaConfig, "llava": tr.LlamaConfig, "llava_mistral": tr.MistralConfig}
    if raw.get("model_type") not in text_classes:
        raise EcgError(
            "unsupported_format", f"model type {raw.get('model_type')!r} is not LLaVA's original naming"
        )
    if raw.get("mm_projector_type") != "mlp2x_gelu":
        raise EcgError("unsupported_format", f"projector {raw.get('mm_projector_type')!r} is not supported")
    names = (
        "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
        "num_key_value_heads", "max_position_embeddings", "rms_norm_eps", "rope_theta", "hidden_act",
        "bos_token_id", "eos_token_id", "pad_token_id", "tie_word_embeddings", "sliding_window",
    )  # fmt: skip
    text = text_classes[raw["model_type"]](**{k: raw[k] for k in names if k in raw})
    image_token = text.vocab_size
    text.vocab_size += 1
    vision = tr.AutoConfig.from_pretrained(raw["mm_vision_tower"])
    common: dict[str, Any] = {
        "vision_config": getattr(vision, "vision_config", vision),
        "text_config": text,
        "image_token_index": image_token,
        "vision_feature_layer": raw.get("mm_vision_select_layer", -2),
        "vision_feature_select_strategy": "default",
        "tie_word_embeddings": False,
    }
    if raw.get("image_aspect_ratio") == "anyres":
        config = tr.LlavaNextConfig(**common, image_grid_pinpoints=raw["image_grid_pinpoints"])
        return tr.LlavaNextForConditionalGeneration, config
    return tr.LlavaForConditionalGeneration, tr.LlavaConfig(**common)


def _processor(source: Path, raw: dict[str, Any], config: Any) -> Any:
    import transformers as tr

    # Llama's and Mistral's words begin so, whether the folder says it or not.
    tokenizer = tr.AutoTokenizer.from_pretrained(source, add_bos_token=True)
    tokenizer.add_special_tokens({"additional_special_tokens": [IMAGE_TOKEN]})
    if (token := tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)) != config.image_token_index:
        raise EcgError(
            "unsupported_format",
            f"{source}: {IMAGE_TOKEN} became token {token}, not {config.image_token_index}",
        )
    tokenizer.padding_side = "left"
    side = config.vision_config.image_size
    size: dict[str, Any] = {"size": {"shortest_edge": side}, "crop_size": {"height": side, "width": side}}
    common: dict[str, Any] = {
        "tokenizer": tokenizer, "patch_size": config.vision_config.patch_size,
        "chat_template": MISTRAL if raw["model_type"] == "llava_mistral" else VICUNA,
        "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1,
    }  # fmt: skip
    if config.model_type == "llava_next":
        images = tr.LlavaNextImageProcessorPil(**size, image_grid_pinpoints=config.image_grid_pinpoints)
        return tr.LlavaNextProcessor(images, **common)
    # "pad": a square around the whole picture, in the mean colour; else its middle square is all that is
    # seen.
    pad = raw.get("image_aspect_ratio") == "pad"
    return tr.LlavaProcessor(tr.LlavaImageProcessorPil(**size, do_pad=pad), **common)


def _shards(source: Path) -> Iterator[dict[str, Any]]:
    """The tensors of each weight file. Raises EcgError where there is none."""
    if files := sorted(source.glob("*.safetensors")):
        from safetensors.torch import load_file

        yield from map(load_file, files)
    elif files := sorted(source.glob("pytorch_model*.bin")):
        import torch

        for file in files:
            yield torch.load(file, map_location="cpu", weights_only=True)
    else:
        raise EcgError("unreadable_file", f"{source}: no weights (*.safetensors or pytorch_model*.bin)")
