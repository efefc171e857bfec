"""PULSE's mapping on a tiny random checkpoint in LLaVA's original naming, and generation through the
backend.
"""

import importlib.util
import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from ecgvlm.bench.backends import Ask, make_backend
from ecgvlm.bench.backends.base import Failure
from ecgvlm.bench.backends.llava import convert_llava, new_key
from ecgvlm.bench.runner import run_task
from ecgvlm.bench.task import load_task
from ecgvlm.errors import EcgError, UsageError
from ecgvlm.instruct.row import Row

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

HIDDEN, WORDS = 32, 330
TASK = load_task("code15-test")


def original_names(layers, vision_layers, newline):
    """The tensors of an original LLaVA checkpoint and of transformers' model, pair by pair, written out."""
    pairs = {
        "model.embed_tokens.weight": "model.language_model.embed_tokens.weight",
        "model.norm.weight": "model.language_model.norm.weight",
        "lm_head.weight": "lm_head.weight",
        "model.mm_projector.0.weight": "model.multi_modal_projector.linear_1.weight",
        "model.mm_projector.0.bias": "model.multi_modal_projector.linear_1.bias",
        "model.mm_projector.2.weight": "model.multi_modal_projector.linear_2.weight",
        "model.mm_projector.2.bias": "model.multi_modal_projector.linear_2.bias",
    }
    if newline:
        pairs["model.image_newline"] = "model.image_newline"
    parts = [
        "self_attn.q_proj",
        "self_attn.k_proj",
        "self_attn.v_proj",
        "self_attn.o_proj",
        "mlp.gate_proj",
        "mlp.up_proj",
    ]
    for n in range(layers):
        for part in [*parts, "mlp.down_proj", "input_layernorm", "post_attention_layernorm"]:
            pairs[f"model.layers.{n}.{part}.weight"] = f"model.language_model.layers.{n}.{part}.weight"
    tower = "model.vision_tower.vision_tower.vision_model."
    vision = [
        "embeddings.class_embedding",
        "embeddings.patch_embedding.weight",
        "embeddings.position_embedding.weight",
    ]
    for name in ("pre_layrnorm", "post_layernorm"):
        vision += [f"{name}.weight", f"{name}.bias"]
    for n in range(vision_layers):
        for part in (
            "self_attn.q_proj",
            "self_attn.k_proj",
            "self_attn.v_proj",
            "self_attn.out_proj",
            "layer_norm1",
            "layer_norm2",
            "mlp.fc1",
            "mlp.fc2",
        ):
            vision += [f"encoder.layers.{n}.{part}.weight", f"encoder.layers.{n}.{part}.bias"]
    return pairs | {tower + v: v for v in vision}


def write_tokenizer(folder):
    from tokenizers import Tokenizer, models, pre_tokenizers

    vocab = {"<unk>": 0, "<s>": 1, "</s>": 2} | {f"w{i}": i for i in range(3, WORDS)}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>", pad_token="<unk>"
    )
    fast.save_pretrained(folder)


@pytest.fixture(params=[("llava_llama", "anyres"), ("llava_mistral", "pad")], ids=["PULSE", "LLaVA-Med"])
def checkpoint(request, tmp_path):
    """(folder in the original naming, the same model in transformers' own)."""
    from safetensors.torch import save_file

    torch.manual_seed(0)
    model_type, aspect = request.param
    vision = transformers.CLIPVisionConfig(
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=3,
        num_attention_heads=2,
        image_size=28,
        patch_size=14,
    )
    (tmp_path / "clip").mkdir()
    vision.save_pretrained(tmp_path / "clip")
    text_class = transformers.LlamaConfig if model_type == "llava_llama" else transformers.MistralConfig
    text = text_class(
        vocab_size=WORDS + 1, hidden_size=HIDDEN, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, bos_token_id=1, eos_token_id=2, pad_token_id=0,
        tie_word_embeddings=False,
    )  # fmt: skip
    common = {
        "vision_config": vision,
        "text_config": text,
        "image_token_index": WORDS,
        "vision_feature_layer": -2,
    }
    pinpoints = [[28, 56], [56, 28], [56, 56]]
    if aspect == "anyres":
        config = transformers.LlavaNextConfig(
            **common, image_grid_pinpoints=pinpoints, tie_word_embeddings=False
        )
        reference = transformers.LlavaNextForConditionalGeneration(config)
    else:
        reference = transformers.LlavaForConditionalGeneration(
            transformers.LlavaConfig(**common, tie_word_embeddings=False)
        )
    with torch.no_grad():
        for p in reference.parameters():
            p.copy_(torch.randn_like(p) * 0.3)
    weights = reference.eval().state_dict()
    prefix = next(k for k in weights if k.endswith("embeddings.class_embedding")).removesuffix(
        "embeddings.class_embedding"
    )
    source = tmp_path / "original"
    source.mkdir()
    old = {}
    for name, new in original_names(2, 3, aspect == "anyres").items():
        tensor = weights[new if new in weights else prefix + new]
        old[name] = (tensor[:WORDS] if tensor.shape[0] == WORDS + 1 and tensor.dim() == 2 else tensor).clone()
    names = sorted(old)
    save_file({k: old[k] for k in names[::2]}, source / "model-00001-of-00002.safetensors")
    save_file({k: old[k] for k in names[1::2]}, source / "model-00002-of-00002.safetensors")
    raw = {
        "model_type": model_type,
        "mm_projector_type": "mlp2x_gelu",
        "mm_vision_tower": str(tmp_path / "clip"), "mm_vision_select_layer": -2,
        "mm_vision_select_feature": "patch",
        "image_aspect_ratio": aspect, "image_grid_pinpoints": pinpoints, "vocab_size": WORDS,
        "hidden_size": HIDDEN,
        "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
        "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "tie_word_embeddings": False,
    }  # fmt: skip
    (source / "config.json").write_text(json.dumps(raw))
    write_tokenizer(source)
    return source, reference


def test_every_tensor_arrives(checkpoint, tmp_path):
    source, reference = checkpoint
    out = convert_llava(source, tmp_path / "converted")
    model = transformers.AutoModelForImageTextToText.from_pretrained(out).eval()
    assert type(model) is type(reference)
    wanted = reference.state_dict()
    for key, tensor in model.state_dict().items():
        rows = WORDS if tensor.shape[:1] == (WORDS + 1,) and tensor.dim() == 2 else None
        torch.testing.assert_close(tensor[:rows], wanted[key][:rows], msg=key)
    processor = transformers.AutoProcessor.from_pretrained(out)
    picture = np.random.default_rng(0).integers(0, 255, (40, 80, 3), np.uint8)
    inputs = processor(text=["<image> w5 w6 w7"], images=[picture], return_tensors="pt")
    with torch.inference_mode():
        logits = model(**inputs).logits[..., :WORDS]
        torch.testing.assert_close(logits, reference(**inputs).logits[..., :WORDS])
        black = processor(text=["<image> w5 w6 w7"], images=[0 * picture], return_tensors="pt")
        assert not torch.allclose(model(**black).logits[..., :WORDS], logits), "the picture must matter"


def test_generation_through_the_backend(checkpoint, tmp_path, monkeypatch):
    source, _ = checkpoint
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    backend = make_backend("pulse", load_task("code15-test"), [], str(source))
    picture = cv2.imencode(".png", np.random.default_rng(0).integers(0, 255, (40, 80, 3), np.uint8))[
        1
    ].tobytes()
    one = backend.ask(Ask("w5 w6", (picture,), max_tokens=6))
    assert one.input_tokens > 10
    assert one.text
    assert one == backend.ask(Ask("w5 w6", (picture,), max_tokens=6))
    assert (
        backend.ask(Ask("w7", (picture,), (("w5 w6", one.text),), max_tokens=6)).input_tokens
        > one.input_tokens
    )


def picture_file(seed, height, width):
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8)
    return cv2.imencode(".png", pixels)[1].tobytes()


@pytest.fixture(scope="module")
def smolvlm(tmp_path_factory):
    from train import tiny

    return tiny.write_model(tmp_path_factory.mktemp("smolvlm"))


def answers(backend, asks):
    with ThreadPoolExecutor(len(asks)) as pool:
        return list(pool.map(backend.ask, asks))


def check_batches(folder, monkeypatch):
    """Questions of other lengths, pages of other shapes, an earlier turn, no page at all."""
    pictures = [picture_file(k, *size) for k, size in enumerate(((64, 128), (40, 200), (128, 64), (30, 30)))]
    asks = [Ask("w5 w6 w7 " * k, (picture,), max_tokens=5 + k) for k, picture in enumerate(pictures, start=1)]
    asks += [Ask("w7", (pictures[0],), (("w9", "w4 w3"),), max_tokens=12), Ask("w8 w9", max_tokens=12)]
    asks += [Ask("w5 w6 w7", tuple(pictures[:2]), max_tokens=6)]
    one, many = (make_backend("transformers", TASK, [], str(folder), workers=n) for n in (1, len(asks)))
    monkeypatch.setattr("ecgvlm.bench.backends.together._PATIENCE", 300)  # for threads that start late
    sizes, generate = [], many._net.generate
    monkeypatch.setattr(many._net, "generate", lambda **x: sizes.append(len(x["input_ids"])) or generate(**x))
    with ThreadPoolExecutor(len(asks)) as pool:
        together = list(pool.map(many.ask, asks))
    assert together == [one.ask(ask) for ask in asks]
    assert max(sizes) > 1, "they must have been a batch"
    assert together[-1].input_tokens > together[0].input_tokens, "both pictures must be seen"
    assert len({reply.text for reply in together}) > 2


def test_smolvlm_answers_a_batch_as_one_by_one(smolvlm, monkeypatch):
    check_batches(smolvlm, monkeypatch)


def test_llava_answers_a_batch_as_one_by_one(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    check_batches(checkpoint[0], monkeypatch)


def test_a_damaged_picture_is_its_own_failure_only(smolvlm):
    backend = make_backend("transformers", TASK, [], str(smolvlm), workers=2)
    with ThreadPoolExecutor(2) as pool:
        torn = pool.submit(backend.ask, Ask("w5", (b"no picture",), max_tokens=3))
        whole = pool.submit(backend.ask, Ask("w5", (picture_file(0, 64, 128),), max_tokens=3))
    with pytest.raises(EcgError):
        torn.result()
    assert whole.result().output_tokens == 3


def write_words(folder, legacy=True):
    """The tokenizer as PULSE and LLaVA-Med are published with it: SentencePiece's file alone."""
    sentencepiece = pytest.importorskip("sentencepiece")
    sentences = [f"User: lead w{i} shows rhythm{i}" for i in range(40)]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences), model_prefix=str(folder / "tokenizer"), vocab_size=WORDS,
        model_type="bpe", unk_id=0, bos_id=1, eos_id=2, pad_id=-1, minloglevel=2,
        byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False,
    )  # fmt: skip
    (folder / "tokenizer.json").unlink()
    said = {"tokenizer_class": "LlamaTokenizer", "bos_token": "<s>", "eos_token": "</s>"}
    said |= {"unk_token": "<unk>", "pad_token": "<unk>", "legacy": legacy, "model_max_length": 2048}
    (folder / "tokenizer_config.json").write_text(json.dumps(said))


def test_words_are_read_as_published(checkpoint, tmp_path, monkeypatch):
    """Nothing of ours brought the package that reads them."""
    source, _ = checkpoint
    write_words(source)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    backend = make_backend("transformers", TASK, [], str(source))
    words = backend._processor.tokenizer
    assert words("lead w5").input_ids[0] == 1
    assert words.decode(words("lead w5").input_ids, skip_special_tokens=True) == "lead w5"
    assert backend.ask(Ask("lead w5", (picture_file(0, 40, 80),), max_tokens=3)).input_tokens > 10


@pytest.mark.parametrize("legacy", [True, False])  # LLaVA-Med's and PULSE's
def test_words_behind_the_picture_are_read_as_by_llavas_own_code(checkpoint, tmp_path, legacy):
    """It reads each text beside a picture alone; without the space that this puts first, PULSE's ids were
    others.
    """
    source, _ = checkpoint
    write_words(source, legacy)
    processor = transformers.AutoProcessor.from_pretrained(convert_llava(source, tmp_path / "converted"))
    content = [{"type": "image"}, {"type": "image"}, {"type": "text", "text": "lead w5"}]
    more = [
        {"role": "assistant", "content": [{"type": "text", "text": "rhythm7"}]},
        {"role": "user", "content": [{"type": "text", "text": "lead w6"}]},
    ]
    asked = processor.apply_chat_template(
        [{"role": "user", "content": content}, *more], add_generation_prompt=True
    )
    sentencepiece = pytest.importorskip("sentencepiece")
    own = sentencepiece.SentencePieceProcessor(str(source / "tokenizer.model"))
    texts = asked.replace("<image> ", "<image>").split("<image>")  # as LLaVA's code writes it
    wanted = [1]
    for k, text in enumerate(texts):
        wanted += [WORDS] * bool(k)
        before, *after = text.split("</s>")  # a token of its own; what is behind it begins a text only for
        wanted += own.encode(before)  # tokenizers that are "legacy"
        for part in after:
            ids = own.encode(part) if legacy else own.encode(f"<s>{part}")[len(own.encode("<s>")) :]
            wanted += [2, *ids]
    assert len(texts) == 3
    assert "</s>" in asked
    assert processor.tokenizer(asked).input_ids == wanted


def test_a_missing_tensor_is_named(checkpoint, tmp_path):
    source, _ = checkpoint
    (source / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(EcgError, match="missing"):
        convert_llava(source, tmp_path / "converted")
    assert not (tmp_path / "converted").exists()


def without_tower(source):
    """As checkpoints with a frozen tower are published: they only name it."""
    from safetensors.torch import load_file, save_file

    for path in source.glob("*.safetensors"):
        kept = {k: v for k, v in load_file(path).items() if "vision_tower" not in k}
        save_file(kept, path)
    return json.loads((source / "config.json").read_text())["mm_vision_tower"]


def test_a_tower_that_is_only_named_must_be_whole(checkpoint, tmp_path):
    source, reference = checkpoint
    tower = without_tower(source)
    vision = reference.model.vision_tower
    vision.save_pretrained(tower)
    model = transformers.AutoModelForImageTextToText.from_pretrained(convert_llava(source, tmp_path / "out"))
    for key, tensor in vision.state_dict().items():
        torch.testing.assert_close(model.model.vision_tower.state_dict()[key], tensor, msg=key)


def test_a_tower_that_cannot_be_had_is_one_line(checkpoint, tmp_path, monkeypatch):
    source, _ = checkpoint
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    without_tower(source)  # its folder holds a config only
    with pytest.raises(EcgError, match="clip"):
        make_backend("pulse", TASK, [], str(source))


def test_unknown_tensors_are_refused():
    with pytest.raises(EcgError, match="no part"):
        new_key("model.resampler.weight", "model.vision_tower.")
    assert new_key("model.layers.0.self_attn.rotary_emb.inv_freq", "v.") is None
    with pytest.raises(UsageError, match="needs --model"):
        make_backend("transformers", load_task("code15-test"), [])


def test_llava_med_is_asked_as_it_was_taught(checkpoint, tmp_path):
    source, _ = checkpoint
    processor = transformers.AutoProcessor.from_pretrained(convert_llava(source, tmp_path / "converted"))
    content = [{"type": "image"}, {"type": "text", "text": "Rhythm?"}]
    messages = [{"role": "user", "content": content}]
    more = [
        {"role": "assistant", "content": [{"type": "text", "text": "AF."}]},
        {"role": "user", "content": [{"type": "text", "text": "Sure?"}]},
    ]
    asked = processor.apply_chat_template(messages, add_generation_prompt=True)
    again = processor.apply_chat_template([*messages, *more], add_generation_prompt=True)
    if json.loads((source / "config.json").read_text())["model_type"] == "llava_mistral":
        assert asked == "[INST] <image> \nRhythm? [/INST]"
        assert again == "[INST] <image> \nRhythm? [/INST] AF. </s>[INST] Sure? [/INST]"
    else:
        assert asked.startswith("A chat between a curious human and an artificial")
        assert asked.endswith("the human's questions. USER: <image> \nRhythm? ASSISTANT:")
        assert again.endswith("USER: <image> \nRhythm? ASSISTANT: AF.</s>USER: Sure? ASSISTANT:")


def test_all_of_a_wide_page_is_seen(checkpoint, tmp_path):
    source, _ = checkpoint
    processor = transformers.AutoProcessor.from_pretrained(convert_llava(source, tmp_path / "converted"))
    page = np.full((30, 90, 3), 255, np.uint8)
    page[:, :8], page[:, -8:] = 0, 0  # a bar at either end
    pixels = processor(text=["<image>"], images=[page], return_tensors="pt")["pixel_values"]
    whole = pixels.reshape(-1, *pixels.shape[-3:])[0, 0].numpy()
    middle = whole[whole.shape[0] // 2]
    assert middle[0] < middle.max() - 1, "the left bar is in the picture"
    assert middle[-1] < middle.max() - 1, "the right bar is in the picture"


@pytest.mark.parametrize("damage", ["missing", "unexpected", "of another shape", "not finite"])
def test_a_model_that_does_not_load_whole_is_not_asked(tmp_path, damage):
    from train import tiny

    folder = tiny.write_model(tmp_path / "model")
    assert make_backend("transformers", TASK, [], str(folder)).model == str(folder)
    tiny.damage_model(folder, damage)
    with pytest.raises(EcgError, match=damage):
        make_backend("transformers", TASK, [], str(folder))


def _pointer(folder):
    """What a clone without Git LFS has in a file's place."""
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:1\n")


def _cut(folder):
    os.truncate(folder / "model.safetensors", 9000)


def _odd_shape(folder):
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["hidden_size"] = 25  # not to be shared by two heads
    (folder / "config.json").write_text(json.dumps(config))


def _without_chat(folder):
    (folder / "chat_template.jinja").unlink()
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config.pop("chat_template", None)
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def _torn_note(folder):
    (folder / "ecgvlm.json").write_text('{"page"')


def _odd_note(folder):
    (folder / "ecgvlm.json").write_text('{"page": 3}')


def _no_width(folder):
    (folder / "ecgvlm.json").write_text('{"page": {"width": 0}}')


DAMAGES = [_pointer, _cut, _odd_shape, _without_chat, _torn_note, _odd_note, _no_width]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_folder_is_one_line(tmp_path, damage):
    """Some were tracebacks; of a torn ecgvlm.json nothing was said, and the pages were stretched."""
    from train import tiny

    folder = tiny.write_model(tmp_path / "model")
    damage(folder)
    with pytest.raises(EcgError, match="model") as told:
        make_backend("transformers", TASK, [], str(folder))
    assert "\n" not in told.value.message


def test_a_file_is_no_model(tmp_path):
    """The hub was asked for it, again and again."""
    (tmp_path / "gold.json").write_text("[]")
    with pytest.raises(EcgError, match="it is a file"):
        make_backend("transformers", TASK, [], str(tmp_path / "gold.json"))


def test_other_weights_in_the_same_folder_are_another_run(tmp_path):
    """The answers of a model that had stood there before were taken for those of the new one."""
    from train import tiny

    (tmp_path / "page.png").write_bytes(picture_file(0, 64, 128))
    rows = [Row("1", tmp_path / "page.png", (("Rhythm?", "AF"),))]
    folder, task = tmp_path / "model", replace(TASK, max_tokens=3)
    first = make_backend("transformers", task, rows, str(tiny.write_model(folder)))
    run_task(task, rows, first, tmp_path / "run")
    again = make_backend("transformers", task, rows, str(folder))
    assert run_task(task, rows, again, tmp_path / "run").cached == 1
    other = make_backend("transformers", task, rows, str(tiny.write_model(folder, seed=1)))
    with pytest.raises(UsageError, match="not of the same weights"):
        run_task(task, rows, other, tmp_path / "run")


def test_other_weights_are_rewritten_again(checkpoint, tmp_path, monkeypatch):
    """The copy of the weights that had stood in the folder before was asked."""
    from safetensors.torch import load_file, save_file

    source, _ = checkpoint
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    make_backend("pulse", TASK, [], str(source))
    for path in source.glob("*.safetensors"):
        save_file({name: 0 * tensor for name, tensor in load_file(path).items()}, path)
    net = make_backend("pulse", TASK, [], str(source))._net
    assert not net.get_input_embeddings().weight.any()
    assert len(list((tmp_path / "cache").glob("**/config.json"))) == 1


def test_a_copy_that_an_older_program_wrote_is_written_anew(checkpoint, tmp_path, monkeypatch):
    """Its template had lost a space."""
    source, _ = checkpoint
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    make_backend("pulse", TASK, [], str(source))
    (written,) = (tmp_path / "cache").glob("**/config.json")
    old = written.parent.rename(written.parent.with_name(written.parent.name.split("-", 1)[1]))
    make_backend("pulse", TASK, [], str(source))
    assert written.exists()
    assert not old.exists()


def test_minicpm_is_sent_to_its_own_environment(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "minicpmv"}))
    with pytest.raises(UsageError, match=r"minicpmv_server\.py"):
        make_backend("transformers", TASK, [], str(tmp_path))
    with pytest.raises(EcgError, match="absent"):
        make_backend("transformers", TASK, [], str(tmp_path / "absent"))


class Chatting:
    """MiniCPM-V's published interface: what `chat` is called with, and an answer."""

    def __init__(self):
        self.calls = []

    def chat(self, image, msgs, tokenizer, sampling, max_new_tokens, **search):
        assert search == {"num_beams": 1, "repetition_penalty": 1.0}
        self.calls.append((image, msgs, sampling, max_new_tokens))
        return "AF(atrial fibrillation)"


@pytest.fixture
def minicpm():
    """MiniCPM-V's server around `Chatting`: the model, and a backend that asks it."""
    path = Path(__file__).parents[2] / "examples/minicpmv_server.py"
    spec = importlib.util.spec_from_file_location("minicpmv_server", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    model = module.Model.__new__(module.Model)
    model.net, model.lock = Chatting(), threading.Lock()
    model.tokenizer = lambda text: {"input_ids": text.split()}
    server = module.server(model, "MiniCPM-V-2_6", "127.0.0.1", 0)
    server.RequestHandlerClass.log_message = lambda *_: None
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    yield model, make_backend("openai-compatible", TASK, [], "MiniCPM-V-2_6", base_url=url)
    server.shutdown()
    server.server_close()


def test_minicpms_server_is_asked_like_any_other(minicpm):
    model, backend = minicpm
    picture = cv2.imencode(".png", np.full((40, 80, 3), 9, np.uint8))[1].tobytes()
    reply = backend.ask(Ask("And now?", (picture,), (("Rhythm?", "AF"),), max_tokens=30))
    assert (reply.text, reply.finish) == ("AF(atrial fibrillation)", "stop")
    [(image, messages, sampling, limit)] = model.net.calls
    assert (image, sampling, limit) == (None, False, 30)
    assert [m["role"] for m in messages] == ["user", "assistant", "user"]
    assert messages[0]["content"][0].size == (80, 40)
    assert [m["content"][-1] for m in messages] == ["Rhythm?", "AF", "And now?"]


def test_what_minicpms_code_asserts_is_told(minicpm):
    """The connection was closed, and the question asked again and again."""
    model, backend = minicpm

    def chat(**_):
        raise AssertionError("msgs is empty")

    model.net.chat = chat
    with pytest.raises(Failure, match="msgs is empty"):
        backend.ask(Ask("Rhythm?"))


@pytest.mark.parametrize("backend", ["transformers", "pulse"])
def test_a_folder_that_is_not_there_is_told(tmp_path, backend):
    """It was told how names on the hub are spelled."""
    with pytest.raises(EcgError, match=r"model .*/none: there is no such folder"):
        make_backend(backend, load_task("code15-test"), [], model=str(tmp_path / "none"))


TEMPLATES = {
    "{% for x %}": "expected token 'in'",
    "{{ raise_exception('no pictures, please') }}": "no pictures, please",
}


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_model_that_cannot_be_asked_says_why(tmp_path, template):
    """What its template, processor or code raised was a traceback, and ended the run for all rows."""
    from train import tiny

    folder = tiny.write_model(tmp_path / "model")
    (folder / "chat_template.jinja").write_text(template)
    backend = make_backend("transformers", TASK, [], str(folder))
    picture = cv2.imencode(".png", np.zeros((40, 60), np.uint8))[1].tobytes()
    with pytest.raises(EcgError, match=f"model cannot be asked a row: .*{TEMPLATES[template]}"):
        backend.ask(Ask("Rhythm?", (picture,)))


def test_a_row_that_cannot_be_asked_spoils_no_other_of_its_batch(tmp_path):
    from train import tiny

    backend = make_backend("transformers", TASK, [], str(tiny.write_model(tmp_path / "model")), workers=3)
    picture = cv2.imencode(".png", np.zeros((40, 60), np.uint8))[1].tobytes()
    asks = [Ask(prompt, (picture,), max_tokens=3) for prompt in ("Rhythm?", "Rhythm <image>?", "Rate?")]
    with ThreadPoolExecutor(3) as pool:
        answers = [pool.submit(backend.ask, ask) for ask in asks]
    assert [answer.exception() is None for answer in answers] == [True, False, True]
    assert "number of images" in str(answers[1].exception())
