"""Checkpoints that survive: written beside, synced, then renamed; whole, or not there at all.

A checkpoint is a folder `step-00000500` with the weights that learn (safetensors), the optimiser's state, and
the run's place (JSON). It does not depend on the number of processes that wrote it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from torch.distributed.checkpoint import state_dict as dcp

from ecgvlm.errors import EcgError, unreadable

T = TypeVar("T")

_NAME = re.compile(r"step-(\d+)")
_ALL = dcp.StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=True)


def steps_in(folder: Path) -> list[Path]:
    """The whole checkpoints in a run's folder, oldest first."""
    found = (folder / "checkpoints").glob("step-*")
    return sorted((p for p in found if _NAME.fullmatch(p.name)), key=lambda p: int(p.name[5:]))


def gather(model: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[dict, dict]:
    """The weights that learn and the optimiser's state, whole, on the CPU of the first process. Every process
    calls it.
    """
    weights, state = dcp.get_state_dict(model, optimizer, options=_ALL)
    return {name: weights[name] for name in learning(model) if name in weights}, state


def learning(model: nn.Module) -> dict[str, torch.Size]:
    """Names and shapes of the parameters that learn; a tied one counts once."""
    return {name.removeprefix("module."): p.shape for name, p in model.named_parameters() if p.requires_grad}


def write(
    folder: Path, weights: dict, state: dict, place: dict[str, Any], last: int, best: str | None
) -> Path:
    """Writes the checkpoint of place["step"], then removes all but the newest `last` ones and the one named
    best.

    Raises EcgError where it cannot be written, above all for want of room; the checkpoints before are then
    untouched.
    """
    home = folder / "checkpoints"
    target = home / f"step-{place['step']:08d}"
    beside = home / f".{target.name}.part"
    try:
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True)
        save_file({k: v.contiguous() for k, v in weights.items()}, beside / "weights.safetensors")
        torch.save(state, beside / "optimizer.pt")
        (beside / "place.json").write_text(json.dumps(place, indent=1) + "\n")
        for path in beside.iterdir():
            _sync(path)
        shutil.rmtree(target, ignore_errors=True)
        os.replace(beside, target)
        _sync(home)
    except (OSError, RuntimeError, SafetensorError) as error:
        shutil.rmtree(beside, ignore_errors=True)
        raise EcgError("unreadable_file", _unwritten(target, error, steps_in(folder))) from None
    for old in steps_in(folder)[:-last]:
        if old.name != best:
            shutil.rmtree(old, ignore_errors=True)
    return target


def _unwritten(target: Path, error: Exception, whole: list[Path]) -> str:
    free = shutil.disk_usage(target.parent).free / 1e6 if target.parent.exists() else 0.0
    kept = (
        f"{whole[-1]} is whole: make room and go on from it with --resume"
        if whole
        else "no earlier checkpoint exists"
    )
    cause = " ".join(str(error).split())
    return f"{target} could not be written ({cause}; {free:.0f} MB are free); {kept}"


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def place_of(checkpoint: Path) -> dict[str, Any]:
    """The run's place that a checkpoint holds. Raises EcgError where it is none, or not the folder's."""
    place = _loaded(checkpoint / "place.json", lambda path: json.loads(path.read_text("utf-8")))
    if not isinstance(place, dict) or checkpoint.name != f"step-{place.get('step', -1):08d}":
        raise _not_whole(checkpoint, "place.json is of another step")
    return place


def _loaded(path: Path, load: Callable[[Path], T]) -> T:
    """A file of a checkpoint. Raises EcgError where it is missing or damaged."""
    try:
        return load(path)
    except (OSError, ValueError, EOFError, RuntimeError, SafetensorError, UnpicklingError) as error:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise _not_whole(path.parent, f"{path.name}: {why.splitlines()[0]}") from None


def _not_whole(checkpoint: Path, why: str) -> EcgError:
    return unreadable(
        checkpoint, f"not a whole checkpoint ({why}); take it away to go on from the one before"
    )


def restore(checkpoint: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Puts weights and optimiser state back, whatever the number of processes now. Every process calls it.

    Raises EcgError where a file is damaged, or a tensor is missing or unexpected.
    """
    weights: dict[str, Any] = _loaded(checkpoint / "weights.safetensors", load_file)
    check_weights(checkpoint, model, weights)
    state = _loaded(checkpoint / "optimizer.pt", partial(torch.load, map_location="cpu", weights_only=True))
    options = dcp.StateDictOptions(
        full_state_dict=True, cpu_offload=True, ignore_frozen_params=True, strict=False
    )
    dcp.set_state_dict(model, optimizer, model_state_dict=weights, optim_state_dict=state, options=options)


def restore_weights(checkpoint: Path, model: nn.Module) -> None:
    """Puts the weights back, without the optimiser. Raises EcgError where they do not fit."""
    weights: dict[str, Any] = _loaded(checkpoint / "weights.safetensors", load_file)
    check_weights(checkpoint, model, weights)
    model.load_state_dict(weights, strict=False)


def check_weights(checkpoint: Path, model: nn.Module, weights: dict) -> None:
    """Raises EcgError unless the checkpoint holds exactly the tensors of the model that learn, in their
    shapes.
    """
    wanted = learning(model)
    given = {name: tensor.shape for name, tensor in weights.items()}
    missing, unexpected = sorted(wanted.keys() - given.keys()), sorted(given.keys() - wanted.keys())
    shapes = sorted(name for name in wanted.keys() & given.keys() if wanted[name] != given[name])
    for what, names in (("missing", missing), ("unexpected", unexpected), ("of another shape", shapes)):
        if names:
            raise EcgError(
                "unsupported_format", f"{checkpoint}: {len(names)} tensors are {what}, {names[0]} first"
            )
