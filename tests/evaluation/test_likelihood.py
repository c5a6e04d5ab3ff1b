"""Likelihood of documents: sums by hand, rows that do not leak, reports side by side, and wrong folders."""

import json
import math

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from aoede.cli.main import main
from aoede.evaluation.documents import HeldDocuments, open_documents
from aoede.evaluation.likelihood import DocumentSums, LabelShifts, RangeTable, label_shifts, score_rows, uniform_losses
from aoede.evaluation.likelihood_report import LikelihoodReport, ModelSheet
from aoede.evaluation.likelihood_run import evaluate_likelihood, sort_folders
from aoede.models import CodecCausalLM, extend
from aoede.tokens import CodecVocabulary, FrameLayout
from tests.evaluation.pages import Checker

VOCABULARY = CodecVocabulary.extend(20, FrameLayout("CMM"), (8, 8))
OPEN, CLOSE, C, M = 20, 21, 22, 30


def model_of(seed: int = 0) -> CodecCausalLM:
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=VOCABULARY.size, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        pad_token_id=0, bos_token_id=None, eos_token_id=None, initializer_range=0.3,
    )  # fmt: skip
    return extend(LlamaForCausalLM(config), VOCABULARY).eval()


def documents_of(row_tokens: int = 12) -> HeldDocuments:
    ids = [
        np.array([3, 4, 5, 1]),
        np.array([OPEN, C + 1, M, M + 3, C + 2, M + 1, M + 1, CLOSE]),
        np.array([OPEN, C, M + 2, M + 2]),
        np.array([7, 8, 1]),
    ]
    return HeldDocuments(
        ids=ids, names=["a", "b", "c", "d"], sources=["news", "radio", "radio", "news"],
        languages=["en", "cs", "en", "cs"], vocabulary=VOCABULARY, row_tokens=row_tokens, pad_id=0,
    )  # fmt: skip


def test_documents_share_rows_in_their_order():
    documents = documents_of()
    assert documents.rows() == [[0, 1], [2, 3]]
    assert documents.rows(one_a_row=True) == [[0], [1], [2], [3]]
    (batch,) = documents.batches(documents.rows())
    assert batch["input_ids"][1].tolist() == [OPEN, C, M + 2, M + 2, 7, 8, 1, 0, 0, 0, 0, 0]
    assert batch["labels"][1].tolist() == [-100, C, M + 2, M + 2, -100, 8, 1, -100, -100, -100, -100, -100]
    assert batch["position_ids"][1].tolist() == [0, 1, 2, 3, 0, 1, 2, 0, 1, 2, 3, 4]
    assert batch["document_ids"][1].tolist() == [2, 2, 2, 2, 3, 3, 3, -1, -1, -1, -1, -1]
    assert [len(b["input_ids"]) for b in documents.batches(documents.rows(), tokens=12)] == [1, 1]


def test_sums_are_those_of_each_document_alone():
    model, documents = model_of(), documents_of()
    sums = score_rows(model, documents.batches(documents.rows()), 4)
    names = RangeTable.of(VOCABULARY).names
    assert names == ("text", "open", "close", "C", "M")
    assert sums.counts.tolist() == [[3, 0, 0, 0, 0], [0, 0, 1, 2, 4], [0, 0, 0, 1, 2], [2, 0, 0, 0, 0]]
    for number, ids in enumerate(documents.ids):
        row = torch.from_numpy(np.asarray(ids))[None]
        output = model(input_ids=row, labels=row)
        for name, loss in output.losses.items():
            count = output.counts[name]
            assert sums.nll[number, names.index(name)] == pytest.approx(float(loss) * count, rel=1e-5), (number, name)
    alone = score_rows(model, documents.batches(documents.rows(one_a_row=True), tokens=8), 4)
    np.testing.assert_allclose(alone.nll, sums.nll, rtol=1e-5, atol=1e-6)
    assert (alone.hits == sums.hits).all() and (sums.hits <= sums.counts).all()


def test_a_model_that_knows_nothing_has_the_loss_of_a_uniform_guess():
    model, documents = model_of(), documents_of()
    with torch.no_grad():
        model.get_output_embeddings().weight.zero_()
    sums = score_rows(model, documents.batches(documents.rows()), 4)
    per_id = sums.nll.sum(0) / np.maximum(1, sums.counts.sum(0))
    assert per_id[4] == pytest.approx(uniform_losses(VOCABULARY)["M"]) == pytest.approx(math.log(8))
    assert per_id[3] == pytest.approx(math.log(9))  # at a frame's start the closing marker competes too
    assert per_id[0] == pytest.approx(math.log(21))  # 20 text rows and the opening marker


def test_label_shifts_find_what_a_model_copies():
    """A model whose every state asks for the code it just read is lowest at -1: just what unshifted labels teach."""
    model = model_of()
    documents = documents_of()
    (batch,) = documents.batches(documents.rows())
    shifts = label_shifts(model, [batch])
    assert shifts is not None and set(shifts.losses) == {-1, 0, 1} and shifts.uniform == pytest.approx(math.log(8))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                weight.zero_()  # the state is the embedding of the id read
        embedding = model.get_input_embeddings().weight
        embedding.copy_(torch.nn.functional.normalize(torch.randn(embedding.shape), dim=-1))
        model.get_output_embeddings().weight.copy_(20 * embedding)
    copying = label_shifts(model, [batch])
    assert copying is not None and min(copying.losses, key=lambda shift: copying.losses[shift]) == -1
    assert not copying.is_aligned and str(copying).endswith("NOT ALIGNED")
    text = HeldDocuments(
        ids=[np.array([1, 2])],
        names=["t"],
        sources=["s"],
        languages=["l"],
        vocabulary=VOCABULARY,
        row_tokens=4,
        pad_id=0,
    )
    assert label_shifts(model, list(text.batches(text.rows()))) is None


@pytest.mark.parametrize(
    ("before", "this", "after", "aligned"),
    [
        (7.0, 3.5, 7.0, True),
        (5.0, 6.0, 7.0, True),  # sounds last: the code just read is likely, and the next one known better than guessed
        (0.3, 9.0, 9.5, False),  # trained to copy: the next code is not known at all
        (0.3, 7.5, 9.5, False),
        (7.0, 6.0, 3.0, False),  # trained one further
    ],
)
def test_the_verdict_on_shifts(before, this, after, aligned):
    assert LabelShifts(losses={-1: before, 0: this, 1: after}, uniform=7.6).is_aligned is aligned


def report_of(tmp_path, *losses: float) -> LikelihoodReport:
    counts = np.array([[4, 0, 0, 0, 0], [0, 0, 1, 2, 3], [0, 0, 0, 2, 4]])
    sheets = tuple(
        ModelSheet(
            label=f"m{number}", source="folder", num_parameters=1_000_000, seconds=1.0,
            sums=DocumentSums(nll=counts * loss, hits=counts / 2, counts=counts),
            shifts=LabelShifts(losses={-1: 3.0, 0: loss, 1: 2.5}, uniform=math.log(8)),
        )
        for number, loss in enumerate(losses)
    )  # fmt: skip
    return LikelihoodReport(
        title="Two <models>", settings={"machine": "here"}, names=("a", "b", "c"), sources=("news", "radio", "radio"),
        languages=("en", "cs", "en"), ranges=RangeTable.of(VOCABULARY).names, uniform=uniform_losses(VOCABULARY),
        models=sheets, folder=tmp_path / "report",
    )  # fmt: skip


def test_a_report_has_every_range_source_language_and_difference(tmp_path):
    report = report_of(tmp_path, 2.0, 1.5)
    assert report.shown == ("lm", "text", "close", "C", "M")
    assert [group.name for group in report.groups] == ["all documents", "news", "radio", "en", "cs"]
    first, second = report.models
    everything, radio = report.groups[0], report.groups[2]
    assert report.loss(first, everything).value == pytest.approx(2.0)
    assert report.loss(second, radio, "M").value == pytest.approx(1.5) and report.count(radio, "M") == 7
    assert report.loss(first, radio, "text") is None and report.accuracy(first, everything) == 0.5
    assert report.against_first(second, everything).value == pytest.approx(-0.5)
    assert first.is_aligned
    page = report.save()
    text = page.read_text()
    assert "Two &lt;models&gt;" in text and "▲ better" in text and ">aligned</td>" in text
    assert not any(word in text for word in ("http://", "https://", "src="))
    found = Checker()
    found.feed(text)
    assert found.open == [] and found.unnamed == [] and found.fetched == []
    assert all(link[1:] in found.ids for link in found.links)
    data = json.loads((page.parent / "report.json").read_text())
    groups = {(g["kind"], g["name"]): g for g in data["models"]["m1"]["groups"]}
    czech = groups["language", "cs"]["ranges"]["M"]
    assert (czech["ids"], czech["accuracy"]) == (3, 0.5) and czech["perplexity"] == pytest.approx(math.exp(1.5))
    assert czech["against the first model"]["value"] == pytest.approx(-0.5)
    assert data["documents"][1]["nll"]["m0"]["C"] == 4.0
    markdown = (page.parent / "report.md").read_text()
    assert "| lm | 7.39 (2.000, 2.000 to 2.000) | 4.48 (1.500, 1.500 to 1.500) | 16 |" in markdown
    assert "| uniform guess | - | - | - | 8 (2.079) | 8 (2.079) | |" in markdown


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Packed texts with a plan, and two models that speak their vocabulary."""

    from tests.training.toy_prior import toy_plan
    from tests.training.toy_speech import toy_codec

    root = tmp_path_factory.mktemp("likelihood")
    plan = toy_plan(root, toy_codec(root / "codec"))
    vocabulary = CodecVocabulary.load(root / "packed")
    for seed in (0, 1):
        torch.manual_seed(seed)
        config = LlamaConfig(
            vocab_size=vocabulary.size, hidden_size=16, intermediate_size=32, num_hidden_layers=1,
            num_attention_heads=2, pad_token_id=0, bos_token_id=None, eos_token_id=None,
        )  # fmt: skip
        extend(LlamaForCausalLM(config), vocabulary).save_pretrained(root / f"model{seed}")
    return root, plan


def test_the_command_measures_models_side_by_side(folders, tmp_path, capsys):
    root, plan = folders
    words = ["evaluate", "likelihood", str(root / "model0"), f"other={root / 'model1'}", str(plan)]
    assert main([*words, "--out", str(tmp_path / "out"), "--tokens", "200"]) == 0
    printed = capsys.readouterr().out
    assert "| perplexity (loss in nats, 95 %) | model0 | other | ids |" in printed and "| *cs* |" in printed
    data = json.loads((tmp_path / "out" / "report.json").read_text())
    losses = {g["name"]: g["ranges"] for g in data["models"]["model0"]["groups"]}
    assert losses["radio"]["F"]["loss"]["value"] == pytest.approx(math.log(64), abs=0.4)
    assert set(losses) == {"all documents", "stories", "listy", "radio", "studio", "cs", "en"}
    # The packed sources themselves, all documents of a split.
    report = evaluate_likelihood(
        [root / "model0", root / "packed"], tmp_path / "b", tokens_per_source=100, progress=False
    )
    assert set(report.sources) == {"stories", "listy", "radio", "studio"}


def test_wrong_folders_are_told_in_one_line(folders, tmp_path, capsys):
    root, plan = folders

    def told(*words: str) -> str:
        assert main(["evaluate", "likelihood", *words, "--out", str(tmp_path / "out")]) == 2
        lines = capsys.readouterr().err.strip().splitlines()
        return lines[-1]

    assert "there is no such folder" in told(str(root / "nothing"), str(plan))
    assert "a model folder (config.json) is missing" in told(str(plan))
    assert "a mixture's plan or a folder of packed documents is missing" in told(str(root / "model0"))
    assert "leave --split away" in told(str(root / "model0"), str(plan), "--split", "dev")
    assert "has no document of split 'test'" in told(str(root / "model0"), str(root / "packed"), "--split", "test")
    assert "two models are called model0" in told(str(root / "model0"), str(root / "model0"), str(plan))
    if not torch.cuda.is_available():
        assert "there is no GPU here" in told(str(root / "model0"), str(plan), "--device", "cuda")
    assert "tokens_per_source is 0" in told(str(root / "model0"), str(plan), "--tokens", "0")
    model_of().save_pretrained(root / "small")
    assert "speaks another vocabulary" in told(str(root / "small"), str(plan))
    LlamaForCausalLM(
        LlamaConfig(vocab_size=8, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1)
    ).save_pretrained(root / "text")
    assert "without codec ids: extend it first" in told(str(root / "text"), str(plan))
    assert sort_folders([root / "model0", plan]) == ({"model0": root / "model0"}, [plan])


def test_documents_of_a_plan_are_its_dev_splits(folders):
    from aoede.data.mixture import MixturePlan

    _, plan = folders
    documents = open_documents(plan)
    held = MixturePlan.load(plan)
    assert len(documents.ids) == sum(len(numbers) for numbers in held.dev.values())
    first = next(i for i, source in enumerate(documents.sources) if source == "radio")
    number = int(held.dev["radio"][0])
    assert documents.ids[first].tolist() == held.packed.datasets["radio"][number].tolist()
    few = open_documents(plan, tokens_per_source=1)
    assert [few.sources.count(name) for name in held.sources] == [1] * len(held.sources)
