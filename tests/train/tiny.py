"""A tiny random model in the form that SmolVLM-256M-Instruct is published in, and rows with pages for it."""

import json
import os
import resource
import signal
import threading

import cv2
import numpy as np
import torch
import transformers
from safetensors.torch import load_file, save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from ecgvlm.errors import EcgError
from ecgvlm.train.curves import EVALUATIONS, STEPS, RunLog
from ecgvlm.train.finetune import finetune
from ecgvlm.train.recipe import Recipe

# As SmolVLM's own.
TEMPLATE = (
    "<|im_start|>{% for message in messages %}{{message['role'] | capitalize}}"
    "{% if message['content'][0]['type'] == 'image' %}{{':'}}{% else %}{{': '}}{% endif %}"
    "{% for line in message['content'] %}{% if line['type'] == 'text' %}{{line['text']}}"
    "{% elif line['type'] == 'image' %}{{ '<image>' }}{% endif %}{% endfor %}<end_of_utterance>\n{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
SIDE = 32
SPECIAL = [
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<fake_token_around_image>", "<image>",
    "<end_of_utterance>", "<global-img>", *(f"<row_{r}_col_{c}>" for r in (1, 2) for c in (1, 2, 3, 4)),
]  # fmt: skip
QUESTIONS = ("Which rhythm is this?", "Is the ECG normal? Answer with NORM, AF or RBBB only, please.", "Why?")
ANSWERS = ("AF(atrial fibrillation)", "NORM", "RBBB(right bundle branch block); AF(atrial fibrillation)")


def marked(batch):
    """[B, T] bool: whether a token of the batch is to be learned."""
    there = torch.zeros(batch.ids.numel(), dtype=torch.bool)
    there[batch.answers] = True
    return there.view(batch.ids.shape)


def damage_model(folder, damage):
    """Makes a tensor of the model in `folder` "missing", "unexpected", "not finite" or, by any other word,
    misshapen.
    """
    tensors = load_file(folder / "model.safetensors")
    name = "model.connector.modality_projection.proj.weight"
    if damage == "missing":
        del tensors[name]
    elif damage == "unexpected":
        tensors["model.resampler.weight"] = torch.zeros(3)
    elif damage == "not finite":
        tensors[name][0, 0] = torch.nan
    else:
        tensors[name] = torch.zeros(5, 5)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def write_model(folder, dropout=0.0, seed=0):
    """A random Idefics3 model with processor, in `folder`."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    bpe.train_from_iterator([*QUESTIONS, *ANSWERS, "User: Assistant:"], trainer)
    bpe.add_special_tokens([AddedToken(word, special=True, normalized=False) for word in SPECIAL])
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=bpe, eos_token="<end_of_utterance>", pad_token="<|im_end|>",
        unk_token="<|endoftext|>", bos_token="<|im_start|>", chat_template=TEMPLATE,
    )  # fmt: skip
    ids = {word: bpe.token_to_id(word) for word in SPECIAL}
    torch.manual_seed(seed)
    config = transformers.Idefics3Config(
        vision_config={
            "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
            "image_size": SIDE, "patch_size": 8,
        },
        text_config=transformers.LlamaConfig(
            vocab_size=bpe.get_vocab_size(), hidden_size=24, intermediate_size=48, num_hidden_layers=2,
            num_attention_heads=2, num_key_value_heads=1, tie_word_embeddings=True, attention_dropout=dropout,
            pad_token_id=ids["<|im_end|>"], eos_token_id=ids["<end_of_utterance>"],
            bos_token_id=ids["<|im_start|>"],
        ),
        image_token_id=ids["<image>"], scale_factor=2, tie_word_embeddings=True,
        pad_token_id=ids["<|im_end|>"],
    )  # fmt: skip
    net = transformers.Idefics3ForConditionalGeneration(config)
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(torch.randn_like(p) * 0.15 + (p.ndim == 1))
    net.save_pretrained(folder)
    images = transformers.Idefics3ImageProcessor(
        size={"longest_edge": 4 * SIDE}, max_image_size={"longest_edge": SIDE}
    )
    processor = transformers.Idefics3Processor(images, tokenizer, image_seq_len=4, chat_template=TEMPLATE)
    processor.save_pretrained(folder)
    return folder


def write_rows(folder, pages=12, questions=3, name="rows.json", seed=0):
    """Rows about small random pictures; each page has `questions` rows."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for k in range(pages):
        cv2.imwrite(str(folder / f"page{k}.png"), rng.integers(0, 255, (200, 420, 3), np.uint8))
        for j in range(questions):
            turns = [("human", f"<image>\n{QUESTIONS[j % 3]}"), ("gpt", ANSWERS[(k + j) % 3])]
            value = [{"from": who, "value": said} for who, said in turns]
            rows.append({"id": f"{k}-{j}", "image": f"page{k}.png", "conversations": value, "source": "tiny"})
    (folder / name).write_text(json.dumps(rows))
    return folder / name


def recipe(tmp_path, model, rows, **changes):
    """A recipe of a few quick steps; sections in `changes` are merged into it."""
    plain = {
        "base": str(model),
        "out": str(tmp_path / "run"),
        "data": {"train": str(rows), "questions": 2, "workers": 0},
        "loop": {"steps": 6, "batch": 4, "micro_batch": 2, "precision": "fp32", "threads": 1},
        "rates": {"vision": 1e-3, "connector": 1e-2, "language": 1e-2},
        "evaluation": {"every": 1000, "rows": 4, "max_tokens": 8},
        "keep": {"steps": 2, "minutes": 60},
    }
    for key, value in changes.items():
        plain[key] = {**plain[key], **value} if isinstance(plain.get(key), dict) else value
    return Recipe(**plain)


def train(one):
    """In a process of its own: goes on with a run."""
    torch.set_num_threads(1)
    finetune(one, resume=True)


def train_killed(one, step, seconds):
    """In a process of its own: goes on with a run, and dies `seconds` after it has logged `step`."""
    log = RunLog.step

    def log_and_die(self, row):
        log(self, row)
        if row["step"] >= step:
            threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGKILL)).start()

    RunLog.step = log_and_die
    train(one)


def train_limited(one, pipe):
    """In a process whose files may not grow past 20 kB: sends what the run ends with."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    try:
        train(one)
    except EcgError as error:
        pipe.send(error.message)


def log_steps(folder, first, last, start):
    """Logs steps of a run that began, or went on, at `start`; a validation every other one."""
    log = RunLog(folder, start, last)
    for step in range(first, last + 1):
        log.step({name: 1.0 / step for name in STEPS} | {"step": step})
        if step % 2 == 0:
            sample = {"question": "Q", "gold": "A", "answer": f"at {step}"}
            log.evaluation({name: 0.5 for name in EVALUATIONS} | {"step": step}, [sample])
    log.close()
