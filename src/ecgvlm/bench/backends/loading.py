"""Loading a model of transformers so that it is the one that was asked for, to the last tensor."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from ecgvlm.errors import EcgError, UsageError, unreadable


@contextmanager
def reading(source: str | Path) -> Iterator[None]:
    """Around what transformers reads of a model. Raises EcgError where it cannot be read, whatever damage
    leads the reader to, UsageError where a package is missing.
    """
    try:
        yield
    except (EcgError, UsageError):
        raise
    except ImportError as error:
        raise UsageError(f"model {source} needs a package: {str(error).strip().splitlines()[0]}") from None
    except Exception as error:
        said = str(error).strip() or type(error).__name__
        raise unreadable(f"model {source}", said.splitlines()[0]) from None


def load_checked(auto_class: Any, source: str | Path, more: bool = False, **options: Any) -> Any:
    """`auto_class.from_pretrained(source, **options)`, whole. more: the source may hold more than that.

    Raises EcgError where it cannot be read, a tensor is missing, unexpected or of another shape (which
    transformers fills with random numbers), or holds numbers that are not finite, UsageError where a package
    is missing.
    """
    with reading(source):
        # A tensor of another shape is reported instead of raised, so that it can be named.
        net, info = auto_class.from_pretrained(
            source, output_loading_info=True, ignore_mismatched_sizes=True, **options
        )
    check_tensors(source, {**info, "unexpected_keys": ()} if more else info)
    if broken := [name for name, tensor in net.named_parameters() if not tensor.isfinite().all()]:
        said = f"{len(broken)} tensors hold numbers that are not finite, {broken[0]} first"
        raise EcgError("unsupported_format", f"{source}: {said}")
    return net


def load_processor(source: str, **options: Any) -> Any:
    """The processor of a model, with the form of its chats. Raises EcgError or UsageError, as a model's."""
    import transformers

    with reading(source):
        processor: Any = transformers.AutoProcessor.from_pretrained(source, **options)
    if not getattr(processor, "chat_template", None):  # older folders keep it with the words
        tokenizer = getattr(processor, "tokenizer", None)
        processor.chat_template = getattr(tokenizer, "chat_template", None)
    if not processor.chat_template:
        raise unreadable(f"model {source}", "it has no chat template, so it cannot be asked")
    return processor


def fingerprint(*sources: str) -> str:
    """Tells the weights of models, folders or names on the hub, from others that stand there later."""
    digest = hashlib.blake2b(digest_size=4)
    for source in sources:
        folder = _folder(source)
        if folder.parent.name == "snapshots":  # of the hub's cache: called by its commit
            digest.update(folder.name.encode())
            continue
        for path in sorted((*folder.glob("*.safetensors"), *folder.glob("*.bin"))):
            with path.open("rb") as file:
                digest.update(path.name.encode() + hashlib.file_digest(file, "blake2b").digest())
    return digest.hexdigest()


def _folder(source: str) -> Path:
    """Where a model lies on this machine."""
    if Path(source).is_dir():
        return Path(source)
    from transformers.utils import cached_file

    with reading(source):
        config = cached_file(source, "config.json")
    assert config is not None
    return Path(config).parent


def adapted_model(source: str) -> str | None:
    """The model that a folder's adapter is put onto; None where it is no PEFT adapter."""
    path = Path(source) / "adapter_config.json"
    if not path.is_file():
        return None
    try:
        return str(json.loads(path.read_text("utf-8"))["base_model_name_or_path"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise unreadable(path, f"names no base model ({error})") from None


def with_adapter(net: Any, folder: str) -> Any:
    """The model with a PEFT adapter merged into it. Raises EcgError where the adapter is not whole."""
    try:
        import peft
    except ImportError:
        raise UsageError("an adapter needs the package peft: pip install 'ecgvlm[train]'") from None
    try:
        model = peft.get_peft_model(net, peft.PeftConfig.from_pretrained(folder))
        found: Any = peft.set_peft_model_state_dict(model, peft.load_peft_weights(folder, "cpu"))
    except KeyError as error:
        raise unreadable(f"adapter {folder}", f"tensor {error} is missing") from None
    except (OSError, ValueError, RuntimeError, TypeError, SafetensorError) as error:
        raise unreadable(
            f"adapter {folder}", (str(error).strip() or type(error).__name__).splitlines()[0]
        ) from None
    missing = [key for key in found.missing_keys if "lora_" in key or "modules_to_save" in key]
    check_tensors(folder, {"missing_keys": missing, "unexpected_keys": found.unexpected_keys})
    return model.merge_and_unload()


def check_tensors(source: str | Path, info: dict[str, Any]) -> None:
    """Raises EcgError where transformers' loading info names tensors left out, unknown or misshapen."""
    for what, keys in (
        ("missing", info.get("missing_keys")),
        ("unexpected", info.get("unexpected_keys")),
        ("of another shape", info.get("mismatched_keys")),
    ):
        if keys:
            first = sorted(map(str, keys))[0]
            raise EcgError("unsupported_format", f"{source}: {len(keys)} tensors are {what}, {first} first")
