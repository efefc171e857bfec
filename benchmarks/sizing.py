"""What training costs: operations a page, counted by torch on the real architectures without weights, and
hours.

    python benchmarks/sizing.py

Writes benchmarks/results/sizing.json. Hours take GPUs that reach `REACHED` operations a second each, as one
did, and `SCALING` of that on many, which is an assumption.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
import transformers
from torch.utils.flop_counter import FlopCounterMode

REACHED = 149e12  # on one H200: 256M, 3 tiles, 1 row a page, not compiled (results/train_cuda.json)
SCALING = {1: 1.0, 8: 0.95, 64: 0.85}
SETS = {"CODE-15": (345_779, "exams, a page each"), "ECGInstruct": (1_156_110, "rows")}
TEXT_TOKENS, ANSWER_TOKENS = (
    70,
    25,
)  # of a row; the median of `ecgvlm instruct build`'s close-ended rows is lower
MODELS = {
    "256M": {
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
    },
    "500M": {
        "hidden_size": 960,
        "intermediate_size": 2560,
        "num_hidden_layers": 32,
        "num_attention_heads": 15,
        "num_key_value_heads": 5,
    },
}


def operations(text: dict, tiles: int, questions: int) -> float:
    """Floating-point operations of one page's forward pass; backward costs twice as many again."""
    with torch.device("meta"):
        config = transformers.Idefics3Config(
            vision_config={
                "hidden_size": 768,
                "intermediate_size": 3072,
                "num_hidden_layers": 12,
                "num_attention_heads": 12,
                "image_size": 512,
                "patch_size": 16,
            },
            text_config=transformers.LlamaConfig(
                vocab_size=49280, tie_word_embeddings=True, pad_token_id=2, **text
            ),
            image_token_id=49190,
            scale_factor=4,
            tie_word_embeddings=True,
        )
        config._attn_implementation = "sdpa"
        net = transformers.Idefics3ForConditionalGeneration(config)
        prefix, t = 64 * tiles + 20, 64 * tiles + 20 + questions * TEXT_TOKENS
        with FlopCounterMode(display=False) as counter:
            patches = torch.zeros(tiles, 1024, 768)
            # The patches' grid cannot be laid out without data, so embedding and encoder are counted apart.
            net.model.vision_model.embeddings.patch_embedding(torch.zeros(tiles, 3, 512, 512))
            net.model.connector(net.model.vision_model.encoder(inputs_embeds=patches).last_hidden_state)
            hidden = net.model.text_model(
                inputs_embeds=torch.zeros(1, t, text["hidden_size"]),
                attention_mask=torch.ones(1, 1, t, t, dtype=torch.bool),
                use_cache=False,
            ).last_hidden_state
            net.lm_head(hidden[:, prefix : prefix + questions * ANSWER_TOKENS])
    return float(counter.get_total_flops())


def main() -> None:
    table = {}
    for model, text in MODELS.items():
        for tiles in (3, 9):
            for questions in (1, 4):
                each = 3 * operations(text, tiles, questions)
                hours = {
                    f"{name} on {n}": round(
                        count / (1 if name == "CODE-15" else questions) * each / (REACHED * n * s) / 3600, 2
                    )
                    for name, (count, _) in SETS.items()
                    for n, s in SCALING.items()
                }
                key = f"{model}, {tiles} tiles, {questions} questions a page"
                table[key] = {"tflop_a_page": round(each / 1e12, 2), "hours_an_epoch": hours}
                print(key, table[key], flush=True)
    out = Path(__file__).parent / "results" / "sizing.json"
    out.write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main()
