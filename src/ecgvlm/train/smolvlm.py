"""SmolVLM (and Idefics3, as which the 256M and 500M models are published) behind the training loop."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ecgvlm.bench.backends.loading import load_checked, load_processor, reading
from ecgvlm.errors import EcgError, UsageError
from ecgvlm.train.answering import Answering, Chat
from ecgvlm.train.pages import GRIDS

IMAGE = "<image>"
_WORDS = ("<fake_token_around_image>", IMAGE, "<end_of_utterance>", "<global-img>", "<|im_start|>")
_SHUFFLED = 4  # so many patches in each direction are one token
# SmolVLM-256M's halves.
FULL: Mapping[str, Mapping[str, Any]] = {
    "vision": {
        "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12,
        "image_size": 512, "patch_size": 16,
    },
    "text": {
        "vocab_size": 49280, "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30,
        "num_attention_heads": 9, "num_key_value_heads": 3,
    },
}  # fmt: skip
# How SmolVLM writes a conversation.
SMOLVLM_TEMPLATE = (
    "<|im_start|>{% for message in messages %}{{message['role'] | capitalize}}"
    "{% if message['content'][0]['type'] == 'image' %}{{':'}}{% else %}{{': '}}{% endif %}"
    "{% for line in message['content'] %}{% if line['type'] == 'text' %}{{line['text']}}"
    "{% elif line['type'] == 'image' %}{{ '<image>' }}{% endif %}{% endfor %}<end_of_utterance>\n{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)


class SmolVLM(Answering):
    """Pages as tiles [B, n, 3, S, S] uint8. tiles: n, 3 or 9, or 1 where each picture is a tile. width: of
    the sheet, 2:1, that they are cut from."""

    def __init__(self, net: Any, processor: Any, tiles: int):
        rows, columns = GRIDS.get(tiles, (1, 1))
        side = net.config.vision_config.image_size
        processor.image_processor.size = {"longest_edge": columns * side}
        processor.image_processor.max_image_size = {"longest_edge": side}
        image_id = net.config.image_token_id
        blank = np.full((rows * side, columns * side, 3), 255, np.uint8)
        ids = processor(text=[IMAGE], images=[[blank]], add_special_tokens=False)["input_ids"][0]
        chat = Chat(processor.tokenizer, processor.chat_template, IMAGE, list(ids), image_id)
        super().__init__(net, net.model.text_model, chat)
        self.side, self.width = side, columns * side
        self.processor = processor
        page_tokens = tiles * ((side // net.config.vision_config.patch_size) // net.config.scale_factor) ** 2
        if list(ids).count(image_id) != page_tokens:
            raise EcgError("unsupported_format", f"the processor does not cut a 2:1 page into {tiles} tiles")

    def look(self, pages: torch.Tensor) -> torch.Tensor:
        return self.connect(self.patches(pages), len(pages))

    def patches(self, pages: torch.Tensor) -> torch.Tensor:
        """Pages [B, n, 3, S, S] -> what the vision half makes of the tiles: [B * n, patches, V]."""
        eyes = self.net.model.vision_model
        # [B * n, 3, S, S] in -1..1; in place, as each new copy of so many costs as much as a layer
        pixels = pages.flatten(0, 1).float().div_(255).sub_(0.5).div_(0.5)
        pixels = pixels.to(eyes.dtype)
        learns = any(p.requires_grad for p in eyes.parameters())
        side = self.side // eyes.patch_size
        whole = pixels.new_ones(len(pixels), side, side, dtype=torch.bool)
        with torch.set_grad_enabled(learns and torch.is_grad_enabled()):
            # In parts, as the half's own forward asks the device whether a tile has filling: none has.
            patches = eyes.embeddings(pixel_values=pixels, patch_attention_mask=whole)
            patches = eyes.encoder(inputs_embeds=patches, attention_mask=None).last_hidden_state
            return eyes.post_layernorm(patches)

    def connect(self, patches: torch.Tensor, pages: int) -> torch.Tensor:
        """Patches of so many pages -> their tokens [pages, n, D]."""
        connector = self.net.model.connector
        return connector(patches).reshape(pages, -1, connector.modality_projection.proj.out_features)

    def _eyes(self) -> Iterable[torch.nn.Module]:
        return self.net.model.vision_model.encoder.layers


def new_processor(tokenizer: Any, vision: Mapping[str, Any], columns: int) -> Any:
    """The family's processor around a tokenizer, which learns the family's own words. vision: the eyes'
    configuration. columns: tiles that the long side of a picture is cut into."""
    import transformers
    from tokenizers import AddedToken

    grid = [f"<row_{r}_col_{c}>" for r in range(1, 7) for c in range(1, 7)]
    words = [AddedToken(word, special=True, normalized=False) for word in (*_WORDS, *grid)]
    tokenizer.add_special_tokens({"additional_special_tokens": words})
    side = vision["image_size"]
    images = transformers.Idefics3ImageProcessor(
        size={"longest_edge": columns * side}, max_image_size={"longest_edge": side}
    )
    tokens = (side // vision["patch_size"] // _SHUFFLED) ** 2
    return transformers.Idefics3Processor(
        images, tokenizer, image_seq_len=tokens, chat_template=SMOLVLM_TEMPLATE
    )


def new_net(vision: Mapping[str, Any], text: Any, tokenizer: Any) -> Any:
    """Random weights in float32. text: the LlamaConfig of the language half."""
    import transformers

    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        setattr(text, name, getattr(tokenizer, name))
    config = transformers.Idefics3Config(
        vision_config=dict(vision),
        text_config=text,
        image_token_id=tokenizer.convert_tokens_to_ids(IMAGE),
        scale_factor=_SHUFFLED,
        tie_word_embeddings=True,
    )
    config.pad_token_id = tokenizer.pad_token_id
    return transformers.Idefics3ForConditionalGeneration(config)


def new_smolvlm(shape: Mapping[str, Mapping[str, Any]] = FULL) -> tuple[Any, Any]:
    """A model of the family with random weights, in float32, and its processor; the words are those of our
    own decoder.

    shape: of the "vision" and "text" halves, as their configurations name it; by default SmolVLM-256M's.
    """
    import transformers
    from tokenizers import Tokenizer, normalizers

    bpe = Tokenizer.from_str((files("ecgvlm") / "data" / "tokenizer.json").read_text("utf-8"))
    bpe.normalizer = normalizers.Sequence([])  # without the space before a text, which may be a row's end
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=bpe, eos_token="<end_of_utterance>", pad_token="<pad>", bos_token="<|im_start|>"
    )
    processor = new_processor(tokenizer, shape["vision"], columns=2)
    text = transformers.LlamaConfig(tie_word_embeddings=True, **shape["text"])
    return new_net(shape["vision"], text, tokenizer), processor


def load_smolvlm(base: str, tiles: int, method: str = "full", revision: str | None = None) -> SmolVLM:
    """A model of the SmolVLM family by name on the hub or folder, in float32 (4-bit where method is "qlora").

    Raises EcgError where it cannot be had, is no SmolVLM, or a tensor is missing or unexpected.
    """
    import transformers

    options: dict[str, Any] = {"dtype": torch.float32, "attn_implementation": "sdpa", "revision": revision}
    if method == "qlora":
        options |= quantized()
    with reading(base):
        config = transformers.AutoConfig.from_pretrained(base, revision=revision)
    if config.model_type not in ("smolvlm", "idefics3"):
        raise UsageError(f"{base} is a {config.model_type} model, not one of the SmolVLM family")
    processor = load_processor(base, revision=revision)
    net = load_checked(transformers.AutoModelForImageTextToText, base, **options)
    if method == "qlora":
        import peft

        net = peft.prepare_model_for_kbit_training(net, use_gradient_checkpointing=False)
    return SmolVLM(net, processor, tiles)


def quantized() -> dict[str, Any]:
    """Options of a 4-bit load. Raises UsageError where bitsandbytes or a CUDA device is missing."""
    import importlib.util

    import transformers

    if not torch.cuda.is_available() or importlib.util.find_spec("bitsandbytes") is None:
        raise UsageError("method qlora needs a CUDA device and the package bitsandbytes; use lora")
    four = transformers.BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16
    )
    return {"quantization_config": four, "device_map": {"": torch.cuda.current_device()}}


def save_processor(model: SmolVLM, folder: Path) -> None:
    """What AutoProcessor loads: a processor of its own (`page_processor.py`), which lays any picture on the
    2:1 sheet that was trained on.
    """
    model.processor.save_pretrained(folder)
    for name in ("page_form.py", "page_processor.py"):
        shutil.copy(str(files("ecgvlm.files") / name), folder / name)
    path = folder / "processor_config.json"
    config = json.loads(path.read_text("utf-8"))
    config["auto_map"] = {"AutoProcessor": f"page_processor.Ecg{type(model.processor).__name__}"}
    path.write_text(json.dumps(config, indent=2) + "\n", "utf-8")
