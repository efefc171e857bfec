"""What is exported answers as what was trained."""

import io
import json
from random import Random

import numpy as np
import onnxruntime
import peft
import pytest
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file, save_file
from scipy.special import expit
from train.tiny import SIDE, recipe, write_rows

from ecgvlm.bench.backends import Ask, make_backend
from ecgvlm.bench.task import load_task
from ecgvlm.errors import EcgError, UsageError
from ecgvlm.instruct.qa import Asker
from ecgvlm.instruct.states import sample
from ecgvlm.judge.findings import BEAT, NUMBERS, SAMPLES
from ecgvlm.labels import LABELS
from ecgvlm.sessions import SUMS
from ecgvlm.train import checkpoint
from ecgvlm.train.export import export
from ecgvlm.train.finetune import base_model, finetune, prepare
from ecgvlm.train.pages import RowPages, Sample, cut_tiles
from ecgvlm.train.small.encoder import export as write_encoder
from ecgvlm.train.small.language import Config, Decoder, train_tokenizer
from ecgvlm.train.small.network import Ensemble, Network
from ecgvlm.train.small.trees import fit_trees, tree_logits
from ecgvlm.train.smolvlm import load_smolvlm
from ecgvlm.words.language import ANSWER, ASK, END, Language
from ecgvlm.words.prefix import encode

PAGES = 200
SHARE = np.linspace(0.2, 0.8, len(LABELS))  # of the trees


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    """A run of our own model, random but for what makes its answers differ."""
    run = tmp_path_factory.mktemp("ours")
    for part in ("encoder", "language"):
        (run / part).mkdir()
    torch.manual_seed(0)
    members = [Network().eval() for _ in range(2)]
    for member in members:
        with torch.no_grad():
            member.head.normal_(std=0.2)
    rng = np.random.default_rng(0)
    target = (rng.random((200, len(LABELS))) < 0.5).astype(np.int8)
    seen = rng.normal(0, 0.3, (200, 12, BEAT)), rng.normal(1, 0.5, (200, NUMBERS)).astype(np.float32)
    trees = fit_trees(*seen, target, np.ones(200), seed=0)
    write_encoder(Ensemble(members), trees, SHARE, run / "encoder/encoder.onnx")
    (run / "encoder/encoder.json").write_text(json.dumps({"name": "test", "labels": list(LABELS)}))
    tokenizer = train_tokenizer([], 400, texts=60)
    tokenizer.save(str(run / "language/tokenizer.json"))
    config = Config(vocabulary=tokenizer.get_vocab_size(), dim=32, layers=2, heads=4, hidden=48)
    decoder = Decoder(config)
    with torch.no_grad():
        for p in decoder.parameters():
            p.add_(0.3 * torch.randn_like(p))
        decoder.features.weight[0] = 0
    torch.save({"model": decoder.state_dict(), "config": vars(config)}, run / "language/checkpoint.pt")
    return run, (Ensemble(members).eval(), trees), decoder.eval(), tokenizer


@pytest.fixture(scope="module")
def exported(ours, tmp_path_factory):
    out = tmp_path_factory.mktemp("exported")
    names = {path.name for path in export(ours[0], out)}
    assert names == {
        "encoder.onnx",
        "encoder.int8.onnx",
        "encoder.json",
        "language.onnx",
        "language.int8.onnx",
        "tokenizer.json",
        "SHA256SUMS",
    }
    return out


def test_the_nets_of_page_and_pen_are_exported_and_what_the_folder_held_stays_sealed(tmp_path):
    """Their stages ended in nothing, and the sums of the folder's other models were lost."""
    run, out = tmp_path / "run", tmp_path / "data"
    out.mkdir()
    (out / "lettering.onnx").write_bytes(b"letters")
    for name in ("pagenet.onnx", "pagenet.bin", "pen.onnx"):
        folder = run / name.partition(".")[0]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    assert {path.name for path in export(run, out)} == {"pagenet.onnx", "pagenet.bin", "pen.onnx", SUMS}
    sealed = {line.split()[1] for line in (out / SUMS).read_text().splitlines()}
    assert sealed == {"lettering.onnx", "pagenet.onnx", "pagenet.bin", "pen.onnx"}


def probabilities(path, inputs):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return 1 / (1 + np.exp(-session.run(None, inputs)[0]))


def test_probabilities_of_200_pages(ours, exported):
    rng = np.random.default_rng(0)
    leads = rng.normal(0, 0.3, (PAGES, 12, SAMPLES)).astype(np.float32)
    leads[rng.random((PAGES, 12)) < 0.2] = np.nan
    beat = rng.normal(0, 0.3, (PAGES, 12, BEAT)).astype(np.float32)
    numbers = rng.normal(1, 0.5, (PAGES, NUMBERS)).astype(np.float32)
    numbers[rng.random(numbers.shape) < 0.1] = np.nan
    with torch.no_grad():
        net, trees = ours[1]
        network = net(*map(torch.from_numpy, (leads, beat))).numpy()
    wanted = expit((1 - SHARE) * network + SHARE * tree_logits(trees, beat, numbers))
    inputs = {"leads": leads, "beat": beat, "numbers": numbers}
    assert np.ptp(wanted, axis=0).max() > 0.05, "the pages must differ"
    assert np.abs(probabilities(exported / "encoder.onnx", inputs) - wanted).max() < 1e-3
    assert np.abs(probabilities(exported / "encoder.int8.onnx", inputs) - wanted).max() < 0.05


def said_by_torch(decoder, tokenizer, evidence, question, length):
    words = [ASK, *tokenizer.encode(question).ids, ANSWER]
    said = []
    features = torch.from_numpy(encode(evidence))[None]
    for _ in range(length):
        with torch.no_grad():
            hidden = decoder(features, torch.tensor([words]))
        word = int((hidden[0, -1] @ decoder.words.weight.T).argmax())
        if word == END:
            break
        words.append(word)
        said.append(word)
    return tokenizer.decode(said).removeprefix(" ")


def test_answers_of_200_pages(ours, exported):
    language, rng = Language(exported), Random(0)
    asker, answers = Asker(rng), set()
    for _ in range(PAGES):
        evidence = sample(rng)
        question = asker.ask(evidence, "finding").question
        wanted = said_by_torch(ours[2], ours[3], evidence, question, 6)
        assert language.free(evidence, question, 6).startswith(wanted.rstrip("\N{REPLACEMENT CHARACTER}"))
        answers.add(wanted)
    assert len(answers) > 20, "the answers must depend on the page"


@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_finetuned_model_is_a_transformers_folder(tmp_path, model_folder, rows, method):
    one = recipe(tmp_path, model_folder, rows, method=method, adapter={"rank": 2}, loop={"steps": 3})
    made = finetune(one)
    export(made, tmp_path / "out")
    with pytest.raises(UsageError, match="exists"):
        export(one.out, tmp_path / "out")
    net, info = transformers.AutoModelForImageTextToText.from_pretrained(
        tmp_path / "out", output_loading_info=True
    )
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    processor = transformers.AutoProcessor.from_pretrained(tmp_path / "out", trust_remote_code=True)
    trained = base_model(one)
    prepare(trained, one)
    checkpoint.restore_weights(made, trained)
    trained.eval()
    question = "Which rhythm is this?"
    rng = np.random.default_rng(0)
    for _ in range(3):
        sheet = rng.integers(0, 255, (SIDE, 2 * SIDE, 3), np.uint8)
        content = [{"type": "image"}, {"type": "text", "text": question}]
        text = processor.apply_chat_template(
            [{"role": "user", "content": content}], add_generation_prompt=True
        )
        inputs = processor(text=[text], images=[[sheet]], return_tensors="pt")
        assert inputs["pixel_values"].shape[1] == 3, "the folder keeps the tiles that were trained on"
        out = net.generate(**inputs, max_new_tokens=10, do_sample=False)[0, inputs["input_ids"].shape[1] :]
        asked = Sample(cut_tiles(sheet, SIDE)[None], (((question, ""),),))
        assert [processor.tokenizer.decode(out, skip_special_tokens=True).strip()] == trained.answer(
            [asked], 10
        )
    assert json.loads((tmp_path / "out/ecgvlm.json").read_text())["checkpoint"] == made.name


def test_an_adapter_is_loaded_by_peft_and_asked_by_bench_run(tmp_path, model_folder, rows):
    adapter = {"rank": 2, "dropout": 0.0}
    made = finetune(recipe(tmp_path, model_folder, rows, method="lora", adapter=adapter, loop={"steps": 3}))
    export(made, tmp_path / "merged")
    export(made, tmp_path / "adapter", adapter=True)
    base = transformers.AutoModelForImageTextToText.from_pretrained(model_folder)
    untrained = {name: p.clone() for name, p in base.state_dict().items()}
    merged = peft.PeftModel.from_pretrained(base, tmp_path / "adapter").merge_and_unload()
    wanted = transformers.AutoModelForImageTextToText.from_pretrained(tmp_path / "merged").state_dict()
    learned = [name for name, p in wanted.items() if not torch.equal(p, untrained[name])]
    assert {name.split(".")[1] for name in learned} == {"vision_model", "connector", "text_model"}
    for name, p in merged.state_dict().items():
        torch.testing.assert_close(p, wanted[name])
    task, picture = load_task("code15-test"), io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (400, 900, 3), np.uint8)).save(picture, "PNG")
    one, other = (
        make_backend("transformers", task, [], model=str(tmp_path / name)).ask(
            Ask("Which?", (picture.getvalue(),))
        )
        for name in ("adapter", "merged")
    )
    assert one == other
    whole = load_file(tmp_path / "adapter/adapter_model.safetensors")
    for part, said in (("lora_A", "1 tensors are missing"), ("connector", "is missing")):
        dropped = next(name for name in whole if part in name)
        rest = {name: tensor for name, tensor in whole.items() if name != dropped}
        save_file(rest, tmp_path / "adapter/adapter_model.safetensors")
        with pytest.raises(EcgError, match=said):
            make_backend("transformers", task, [], model=str(tmp_path / "adapter"))


def test_a_run_without_adapters_has_none_to_write(tmp_path, model_folder, rows):
    made = finetune(recipe(tmp_path, model_folder, rows, loop={"steps": 1}))
    with pytest.raises(UsageError, match="LoRA"):
        export(made, tmp_path / "adapter", adapter=True)
    assert not (tmp_path / "adapter").exists()


def test_half_the_size_in_bf16(tmp_path, model_folder, rows):
    made = finetune(recipe(tmp_path, model_folder, rows, loop={"steps": 1}))
    for name, bf16 in (("whole", False), ("half", True)):
        export(made, tmp_path / name, bf16)
    whole, half = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "half"))
    assert {tensor.dtype for tensor in half.values()} == {torch.bfloat16}
    rights = {path.stat().st_mode for path in (tmp_path / "half").iterdir()}
    assert len(rights) == 1, "a server of another user reads all of the folder"
    for key, tensor in whole.items():
        assert torch.equal(half[key], tensor.to(torch.bfloat16))


def write_oddly(picture, path, oddity):
    """Writes [H, W, 3] uint8 as phones, drawing programs and scanners do."""
    page, options = Image.fromarray(picture), {}
    if oddity == "turned":
        options["exif"] = Image.Exif()
        options["exif"][0x0112] = 6
    elif oddity == "transparent":
        page.putalpha(Image.fromarray(picture[..., 0]))
    elif oddity == "deep grey":
        page = Image.fromarray(picture[..., 0].astype(np.uint16) * 257)
    page.save(path, **options)


@pytest.mark.parametrize("oddity", ["none", "turned", "transparent", "deep grey"])
def test_one_picture_gives_the_same_tokens_everywhere(tmp_path, model_folder, rows, oddity):
    """Training, `bench run` and plain transformers, of a picture that is neither 2:1 nor of the sheet's
    size."""
    one = recipe(tmp_path, model_folder, rows, loop={"steps": 1})
    export(finetune(one), tmp_path / "out")
    picture = np.random.default_rng(1).integers(0, 255, (340, 440, 3), np.uint8)
    path = tmp_path / "page.png"
    write_oddly(picture, path, oddity)
    question = "Which rhythm is this?"
    turns = [{"from": "human", "value": question}, {"from": "gpt", "value": "AF"}]
    (tmp_path / "one.json").write_text(json.dumps([{"id": "a", "image": "page.png", "conversations": turns}]))

    trained = load_smolvlm(str(tmp_path / "out"), 3)
    sample = RowPages(tmp_path / "one.json", None, trained.side).load(0, 0)
    ids = trained.chat.prompt(sample.rows[0], 1)
    pixels = (torch.from_numpy(sample.pages[0]).float() / 255 - 0.5) / 0.5

    processor = transformers.AutoProcessor.from_pretrained(tmp_path / "out", trust_remote_code=True)
    content = [{"type": "image"}, {"type": "text", "text": question}]
    text = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    plain = processor(text=[text], images=[[Image.open(path)]], return_tensors="pt")
    content[0] = {"type": "image", "path": str(path)}  # its place in the message was a traceback
    placed = processor.apply_chat_template(
        [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=True, return_dict=True,
        return_tensors="pt",
    )  # fmt: skip

    backend = make_backend("transformers", load_task("code15-test"), [], str(tmp_path / "out"))
    seen = {}
    backend._net.generate = lambda **inputs: seen.update(inputs) or inputs["input_ids"]
    backend.ask(Ask(question, (path.read_bytes(),), max_tokens=4))
    for inputs in (plain, placed, seen):
        assert inputs["input_ids"][0].tolist() == ids
        torch.testing.assert_close(inputs["pixel_values"][0], pixels, rtol=0, atol=1e-5)


def test_what_is_no_run_is_refused(tmp_path):
    write_rows(tmp_path, pages=1)
    with pytest.raises(EcgError, match="neither a run nor a checkpoint"):
        export(tmp_path, tmp_path / "out")
