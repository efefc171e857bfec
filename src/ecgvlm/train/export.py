"""`ecgvlm export`: a checkpoint as users load it: ONNX for our own model, a transformers folder for the
others.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ecgvlm.errors import EcgError, UsageError, unreadable
from ecgvlm.sessions import SUMS, seal
from ecgvlm.train.recorded import NAME, recorded

INT8 = ".int8.onnx"


def export(
    source: Path, out: Path, bf16: bool = False, repo: str | None = None, adapter: bool = False
) -> list[Path]:
    """Writes the model of a run, or of one of its checkpoints, to a folder; returns the files written.

    source: the folder of a fine-tuning run (its best checkpoint is taken), a checkpoint in it, the folder of
    our own model's run, or that of its encoder or decoder alone; `SHA256SUMS` is then of all that out holds.
    bf16: weights of a transformers folder in bfloat16 instead of float32. repo: the model's name on the hub,
    for its card. adapter: of a LoRA run, what it has learned alone, as PEFT loads it onto the base. Raises
    EcgError where source is none of these.
    """
    encoder = [p for p in (source, source / "encoder") if (p / "encoder.onnx").is_file()]
    language = [
        p for p in (source, source / "language") if (p / "checkpoint.pt").is_file() and _is_language(p)
    ]
    of_pages = "pagenet/pagenet.onnx", "pagenet/pagenet.bin", "pen/pen.onnx"
    nets = [net for name in of_pages if (net := source / name).is_file()]
    if encoder or language or nets:
        return _written(out, lambda folder: _export_ours(encoder, language, nets, folder), whole=False)
    run = source.parent.parent if source.parent.name == "checkpoints" else source
    if not (run / NAME).is_file():
        raise EcgError("unreadable_file", f"{source}: neither a run nor a checkpoint of ecgvlm train")
    chosen = _chosen(run, source)
    name = repo or out.name
    return _written(
        out, lambda folder: _export_finetuned(run, chosen, folder, bf16, name, adapter), whole=True
    )


def _written(out: Path, write: Callable[[Path], None], whole: bool) -> list[Path]:
    """Writes beside and renames: the folder where it must be `whole`, else file by file into one that may
    exist.
    """
    if whole and out.exists():
        raise UsageError(f"{out} exists; name a folder that does not")
    beside = out.with_name(f".{out.name}.part")
    shutil.rmtree(beside, ignore_errors=True)
    try:
        beside.mkdir(parents=True)
        write(beside)
        names = sorted(p.name for p in beside.iterdir())
        if whole:
            os.replace(beside, out)
        else:
            out.mkdir(parents=True, exist_ok=True)
            for name in names:
                os.replace(beside / name, out / name)
            seal(out)  # with what it held before
            names.append(SUMS)
    except OSError as error:
        raise unreadable(out, error) from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return [out / name for name in names]


def _is_language(folder: Path) -> bool:
    return (folder / "tokenizer.json").is_file()


def _chosen(run: Path, source: Path) -> Path:
    from ecgvlm.train import checkpoint

    if source != run:
        checkpoint.place_of(source)
        return source
    whole = checkpoint.steps_in(run)
    if not whole:
        raise EcgError("unreadable_file", f"{run} holds no checkpoint yet")
    best = checkpoint.place_of(whole[-1])["best"]
    return run / "checkpoints" / best if best else whole[-1]


def _export_finetuned(run: Path, chosen: Path, folder: Path, bf16: bool, name: str, adapter: bool) -> None:
    """The base with the checkpoint's weights, adapters merged, as AutoModelForImageTextToText loads it, or
    the adapter alone; and the model's card.
    """
    import torch

    from ecgvlm.train import checkpoint
    from ecgvlm.train.answering import merge_adapters, save_adapters
    from ecgvlm.train.finetune import base_model, prepare
    from ecgvlm.train.hub import model_card
    from ecgvlm.train.smolvlm import SmolVLM, save_processor

    ran = recorded(run)
    recipe = ran.recipe
    if recipe.method == "qlora":  # the adapters fit the base in full precision just as well
        recipe = recipe.model_copy(update={"method": "lora"})
    model = base_model(recipe)
    if adapter and (recipe.method == "full" or not isinstance(model, SmolVLM)):
        raise UsageError(f"{run}: only a SmolVLM that was trained by LoRA has an adapter to write")
    prepare(model, recipe)
    checkpoint.restore_weights(chosen, model)
    if recipe.method != "full" and not adapter:
        merge_adapters(model.net)
    if bf16:
        model.to(torch.bfloat16)
    form: dict[str, Any] = {}
    if isinstance(model, SmolVLM):
        if adapter:
            save_adapters(model.net, recipe.base, folder)
        else:
            model.net.save_pretrained(folder)
        save_processor(model, folder)
        (folder / "README.md").write_text(model_card(run, chosen.name, ran, name, adapter), "utf-8")
        form = {"page": {"width": model.width}}
    else:
        from ecgvlm.train.small.smollm2 import SmolLM2, save_smollm2

        assert isinstance(model, SmolLM2)
        save_smollm2(model, folder)
    notes = folder / "ecgvlm.json"
    notes.write_text(json.dumps({"checkpoint": chosen.name, **form, **ran.to_dict()}, indent=1) + "\n")
    for weights in folder.glob("*.safetensors"):  # their writer lets nobody else read them
        weights.chmod(notes.stat().st_mode)


def _export_ours(encoder: list[Path], language: list[Path], nets: list[Path], folder: Path) -> None:
    """encoder.onnx with encoder.json, language.onnx with tokenizer.json, each also with 8-bit weights; the
    nets of page and pen as they are."""
    if encoder:
        for name in ("encoder.onnx", "encoder.json", "cautions.json"):
            if (encoder[0] / name).is_file():
                shutil.copy(encoder[0] / name, folder)
        quantize(folder / "encoder.onnx")
    if language:
        from ecgvlm.train.small.language import export as write_language
        from ecgvlm.train.small.language import load

        write_language(load(language[0]), folder / "language.onnx")
        shutil.copy(language[0] / "tokenizer.json", folder)
        quantize(folder / "language.onnx")
    for net in nets:
        shutil.copy(net, folder)


def quantize(path: Path) -> Path:
    """Writes NAME.int8.onnx beside NAME.onnx: weights of matrix products in 8 bits, a scale a column; returns
    its path.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    from ecgvlm.train.small.trees import TURN

    out = path.with_name(path.name.removesuffix(".onnx") + INT8)
    # Convolutions stay as they are: ONNX Runtime has no fast one on signed 8-bit weights.
    quantize_dynamic(
        path, out, op_types_to_quantize=["MatMul", "Gemm"], weight_type=QuantType.QInt8, per_channel=True,
        nodes_to_exclude=[f"trees.{TURN}"],
    )  # fmt: skip
    return out
