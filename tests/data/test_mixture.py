"""Mixtures: nothing twice, nothing held out is trained on, shares as asked or refused, the same from the same seed."""

import json
import shutil
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from aoede.data.mixture import (
    DevConfig,
    MixtureConfig,
    MixtureData,
    MixturePlan,
    PhaseConfig,
    check_plan,
    describe_plan,
    load_mixture_config,
    make_plan,
    plot_plan,
)
from aoede.data.mixture.draw import SourceDocuments
from aoede.data.mixture.planning import plan_of
from aoede.data.packed import PackedDataset, TextTokenizer, byte_tokenizer, pack

from .packable import audio_source, clip, text_source

PAD, EOS, OPEN, CLOSE = 256, 257, 258, 259


def documents(name, kind, rows):
    """(length, recording, text, split) a document."""
    lengths, recordings, texts, splits = zip(*rows, strict=True)
    names = sorted(set(splits))
    return SourceDocuments(
        name=name,
        kind=kind,
        lengths=np.array(lengths, dtype=np.int32),
        recordings=np.array(recordings, dtype=np.uint64),
        texts=np.array(texts, dtype=np.uint64),
        splits=np.array([names.index(split) for split in splits], dtype=np.int32),
        split_names=names,
        is_span=np.ones(len(rows), dtype=np.bool_),
    )


@st.composite
def mixtures(draw):
    """Sources with pieces, shared texts and splits, and phases that ask for some of them."""
    kinds = ["text", "studio", "clean-read"]
    sources = []
    for number in range(draw(st.integers(1, 4))):
        row = st.tuples(
            st.integers(1, 30),
            st.integers(1, 40).map(lambda key, n=number: 1000 * (n % 2) + key),
            st.integers(0, 60),
            st.sampled_from(["train", "train", "train", "", "dev", "test"]),
        )
        rows = draw(st.lists(row, min_size=1, max_size=60))
        sources.append(documents(f"s{number}", draw(st.sampled_from(kinds)), rows))
    keys = [source.name for source in sources] + sorted({f"kind:{source.kind}" for source in sources})
    phases = []
    for number in range(draw(st.integers(1, 4))):
        chosen = draw(st.lists(st.sampled_from(keys), min_size=1, max_size=3, unique=True))
        phases.append(
            PhaseConfig(
                name=f"p{number}",
                tokens=draw(st.integers(1, 150)),
                shares=dict.fromkeys(chosen, 1 / len(chosen)),
            )
        )
    config = MixtureConfig(
        packed="",
        row_tokens=draw(st.integers(30, 80)),
        phases=tuple(phases),
        seed=draw(st.integers(0, 5)),
        one_document_a_row=draw(st.booleans()),
        fim_rate=draw(st.sampled_from([0.0, 0.5])),
        dev=DevConfig(tokens=draw(st.sampled_from([0, 20])), max_share=0.5),
    )
    return sources, config


@settings(max_examples=100)
@given(mixture=mixtures())
def test_whatever_is_drawn_nothing_stands_twice_and_nothing_held_out_is_trained_on(mixture):
    sources, config = mixture
    try:
        plan = plan_of(sources, config, num_slots=2)
    except ValueError as error:
        assert any(words in str(error) for words in ("runs out in phase", "no source is left", "may be held out"))
        return
    used = {source.name: source for source in sources}
    drawn = [(plan.sources[source], number) for row in range(plan.num_rows) for source, number in plan.row(row)]
    assert max(Counter(drawn).values()) == 1
    phases = [{d for r in range(p.first_row, p.first_row + p.num_rows) for d in plan.row(r)} for p in plan.phases]
    assert sum(map(len, phases)) == len(set().union(*phases)) == len(drawn)

    dev = [(name, int(number)) for name, numbers in plan.dev.items() for number in numbers]
    assert not set(dev) & set(drawn)

    def keys(which, field):
        return {int(getattr(used[name], field)[number]) for name, number in which} - {0}

    def split(name, number):
        return used[name].split_names[used[name].splits[number]]

    everything = [(source.name, number) for source in sources for number in range(len(source.lengths))]
    test = [one for one in everything if split(*one) == "test"]
    outside = [one for one in everything if split(*one) not in ("train", "")]
    for field in ("recordings", "texts"):
        assert not keys(drawn, field) & (keys(dev, field) | keys(outside, field))
        assert not keys(dev, field) & keys(test, field)
    assert all(split(*one) in ("train", "") for one in drawn)

    for row in range(plan.num_rows):
        assert 1 <= sum(int(used[plan.sources[s]].lengths[d]) for s, d in plan.row(row)) <= config.row_tokens
        assert not config.one_document_a_row or len(plan.row(row)) == 1
    for phase in plan.phases:
        named = [share for share in phase.shares if share in used]
        for share in named:
            asked = max(1, round(phase.shares[share] * phase.tokens))
            assert phase.source_tokens[share] > asked - 31
        assert phase.num_tokens > phase.tokens - 31 * len(plan.sources)
    for name, about in plan.about.items():
        assert about.tokens == int(used[name].lengths.sum())
        assert about.dev_tokens + about.withheld_tokens + about.train_tokens + about.unused_tokens == about.tokens


def config_of(packed, **changes):
    values = {
        "packed": str(packed),
        "row_tokens": 64,
        "phases": (
            PhaseConfig(name="bulk", tokens=900, shares={"books": 0.3, "kind:studio": 0.7}),
            PhaseConfig(name="end", tokens=500, shares={"kind:studio": 1.0}),
        ),
        "seed": 3,
        "dev": DevConfig(tokens=60),
    }
    return MixtureConfig(**{**values, **changes})


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """Two studios and a book: 120 recordings, one of which is cut in pieces, some texts shared."""
    folder = tmp_path_factory.mktemp("mix")
    voices = {
        name: [
            clip(f"{name}{i}", 1 + i % 5, f"text {i}", "heldout" if i % 20 == 7 else "train", speaker=name)
            for i in range(60)
        ]
        for name in ("anna", "boris")
    }
    voices["anna"] += [clip(f"long#{k}", 4) for k in range(1, 4)]
    # Equal texts would all be held out together: these differ.
    books = [(f"t{i}", f"{i} " + "abc def " * (1 + i % 6), "") for i in range(60)]
    sources = [
        *(audio_source(folder / "c", name, clips, shard=50) for name, clips in voices.items()),
        text_source(folder / "c", "books", books, shard=50),
        text_source(folder / "c", "unused", [("u", "Text 3!", "test")]),
    ]
    pack(sources, TextTokenizer(byte_tokenizer()), "extend", folder / "packed", max_tokens=64)
    return folder / "packed"


@pytest.fixture(scope="module")
def plan(packed, tmp_path_factory):
    folder = tmp_path_factory.mktemp("plan") / "plan"
    make_plan(config_of(packed, fim_rate=0.5)).save(folder)
    return MixturePlan.load(folder)


def test_a_plan_keeps_what_it_promises_and_its_check_says_so(plan):
    words = str(check_plan(plan))
    assert f"{len(plan.array('documents'))} documents in {plan.num_rows} rows of 2 phases: none stands twice" in words
    assert plan.sources == ("anna", "boris", "books")
    assert [phase.name for phase in plan.phases] == ["bulk", "end"]
    bulk, end = plan.phases
    assert 900 <= bulk.num_tokens < 900 + 3 * 64 and 270 <= bulk.source_tokens["books"] < 270 + 64
    assert end.source_tokens["books"] == 0 and end.realised["books"] == 0
    assert sum(bulk.realised.values()) == pytest.approx(1)
    assert (plan.phase_of_row(0), plan.phase_of_row(plan.num_rows - 1)) == (0, 1)
    assert plan.phase_of_row(end.first_row - 1) == 0 and plan.phase_of_row(end.first_row) == 1
    assert 0.85 < plan.utilisation < 1
    with pytest.raises(IndexError, match=f"row {plan.num_rows} does not exist"):
        plan.row(plan.num_rows)


def test_texts_of_held_out_recordings_are_not_trained_on_in_any_source(plan, packed):
    """Texts 7, 27, 47 are held out with recordings of both voices, text 3 with a book that the mixture does not use."""
    trained = {
        plan.dataset(source).documents["text"][number].as_py()
        for row in range(plan.num_rows)
        for source, number in plan.row(row)
        if plan.sources[source] != "books"
    }
    table = PackedDataset(packed / "anna").documents
    for words in (7, 27, 47, 3):
        assert table["text"][words].as_py() not in trained
    unused = PackedDataset(packed / "unused").documents
    assert unused["text"][0] == table["text"][3]


def test_pieces_of_one_recording_are_held_out_together(packed):
    for seed in range(12):
        dev = make_plan(config_of(packed, seed=seed, dev=DevConfig(tokens=200, max_share=0.4))).dev["anna"]
        assert sum(int(number) >= 60 for number in dev) in (0, 3)


def test_the_same_seed_gives_the_same_bytes_and_another_another_plan(packed, tmp_path):
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        make_plan(config_of(packed, seed=seed)).save(tmp_path / name)
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert files == ["dev.npy", "documents.npy", "mixture.json", "rows.npy", "withheld.npy"]
    assert all((tmp_path / "a" / f).read_bytes() == (tmp_path / "b" / f).read_bytes() for f in files)
    assert (tmp_path / "a/documents.npy").read_bytes() != (tmp_path / "c/documents.npy").read_bytes()
    make_plan(config_of(packed)).save(tmp_path / "a")  # the same again is fine
    with pytest.raises(ValueError, match="holds another plan"):
        make_plan(config_of(packed, seed=9)).save(tmp_path / "a")


def test_a_mixture_that_the_data_cannot_fill_names_what_runs_out(packed):
    phases = (
        PhaseConfig(name="one", tokens=600, shares={"books": 1.0}),
        PhaseConfig(name="two", tokens=90_000, shares={"books": 0.5, "kind:studio": 0.5}),
    )
    with pytest.raises(ValueError) as caught:
        make_plan(config_of(packed, phases=phases))
    words = str(caught.value)
    assert "source books runs out in phase two: it has 1," in words and "held out for dev" in words
    assert "the phases ask for 45,600 (one 600, two 45,000)" in words
    assert "kind:studio runs out in phase two: its sources (anna, boris) have " in words
    assert "the phase asks for 45,000" in words


def test_a_kind_means_the_sources_that_the_phase_does_not_name(packed):
    phases = (PhaseConfig(name="one", tokens=400, shares={"anna": 0.25, "kind:studio": 0.75}),)
    plan = make_plan(config_of(packed, phases=phases))
    (phase,) = plan.phases
    assert plan.sources == ("anna", "boris")
    assert 100 <= phase.source_tokens["anna"] < 140 and 300 <= phase.source_tokens["boris"] < 340
    for shares, words in (
        ({"ana": 1.0}, "phase one names source 'ana'; there are anna, boris, books, unused"),
        ({"kind:bulk": 1.0}, "asks for 'kind:bulk', but no source is left for it: there are kind:studio, kind:text"),
        ({"anna": 0.5, "boris": 0.3, "kind:studio": 0.2}, "the phase names anna, boris itself"),
    ):
        with pytest.raises(ValueError, match=words):
            make_plan(config_of(packed, phases=(PhaseConfig(name="one", tokens=400, shares=shares),)))


def test_augmented_copies_are_taken_only_where_they_are_asked_for(tmp_path):
    """Copies have a kind of their own, are never validated on, and go with the recording they are made of."""
    clips = [clip(f"r{i}", 2) for i in range(40)]
    copies = [clip(f"r{i}+aug1", 2) for i in range(40)]
    sources = [audio_source(tmp_path / "c", "s", clips), audio_source(tmp_path / "c", "s+aug", copies)]
    pack(sources, TextTokenizer(byte_tokenizer()), "extend", tmp_path / "p")
    plain = (PhaseConfig(name="one", tokens=200, shares={"kind:studio": 1}),)
    assert make_plan(config_of(tmp_path / "p", phases=plain)).sources == ("s",)
    both = (PhaseConfig(name="one", tokens=400, shares={"kind:studio": 0.5, "kind:studio+aug": 0.5}),)
    plan = make_plan(config_of(tmp_path / "p", phases=both))
    assert plan.sources == ("s", "s+aug") and len(plan.dev["s"]) > 2 and len(plan.dev["s+aug"]) == 0
    held = set(plan.dev["s"].tolist())
    withheld = [number for source, number, _ in plan.array("withheld").tolist() if source == 1]
    assert set(withheld) == held  # copy i is made of recording i
    assert "kind:studio+aug" in describe_plan(plan)
    check_plan(plan)


def test_every_token_of_a_source_can_be_drawn_over_phases(packed):
    config = config_of(packed, phases=(PhaseConfig(name="all", tokens=100, shares={"boris": 1.0}),))
    has = make_plan(config).about["boris"]
    total = has.train_tokens + has.unused_tokens
    thirds = [total // 3, total // 3, total - 2 * (total // 3)]
    phases = tuple(PhaseConfig(name=str(n), tokens=n_tokens, shares={"boris": 1}) for n, n_tokens in enumerate(thirds))
    plan = make_plan(replace(config, phases=phases))
    assert plan.about["boris"].unused_tokens == 0 and check_sums(plan) == total
    more = (*phases[:2], replace(phases[2], tokens=phases[2].tokens + 1))
    with pytest.raises(ValueError, match=r"source boris runs out in phase 2: .* ask for 1 tokens fewer"):
        make_plan(replace(config, phases=more))


def check_sums(plan):
    return sum(phase.num_tokens for phase in plan.phases)


def test_documents_longer_than_a_row_are_refused(packed):
    with pytest.raises(ValueError, match=r"row_tokens is 20; pack with --max-tokens 20"):
        make_plan(config_of(packed, row_tokens=20))


def test_a_source_of_one_long_recording_is_told_how_to_hold_something_out(tmp_path):
    pack([audio_source(tmp_path, "s", [clip("a", 9)])], TextTokenizer(byte_tokenizer()), "extend", tmp_path / "p")
    phases = (PhaseConfig(name="one", tokens=40, shares={"s": 1}),)
    with pytest.raises(ValueError, match=r"shortest recording has 65 tokens, but at most 6 of its 65 .*dev\.max_share"):
        make_plan(config_of(tmp_path / "p", phases=phases, row_tokens=65))
    plan = make_plan(config_of(tmp_path / "p", phases=phases, row_tokens=65, dev=DevConfig(tokens=0)))
    assert plan.num_rows == 1 and plan.dev["s"].tolist() == []


# -- batches ------------------------------------------------------------------------------------------------------


def spans(batch, row):
    """[start, stop) of the documents of a row, padding included."""
    starts = (batch["position_ids"][row] == 0).nonzero()[:, 0].tolist()
    return list(zip(starts, [*starts[1:], batch["position_ids"].shape[1]], strict=True))


def test_rows_hold_their_documents_with_positions_and_labels_of_their_own(packed):
    plan = make_plan(config_of(packed))
    data = MixtureData(plan)
    batch = data.batch(0, plan.num_rows)
    assert {name: (tuple(values.shape), values.dtype) for name, values in batch.items()} == {
        name: ((plan.num_rows, 64), torch.int64) for name in ("input_ids", "labels", "position_ids")
    }
    for row in range(plan.num_rows):
        ids, labels = batch["input_ids"][row], batch["labels"][row]
        wanted = [plan.dataset(source)[number].tolist() for source, number in plan.row(row)]
        found = spans(batch, row)
        padded = sum(map(len, wanted)) < 64
        assert [ids[a:b].tolist() for a, b in found[: len(wanted)]] == wanted
        assert len(found) == len(wanted) + padded
        for a, b in found:
            assert batch["position_ids"][row, a:b].tolist() == list(range(b - a))
            assert labels[a] == -100
        for a, b in found[: len(wanted)]:
            assert labels[a + 1 : b].tolist() == ids[a + 1 : b].tolist()
        if padded:
            a, b = found[-1]
            assert set(ids[a:b].tolist()) == {PAD} and set(labels[a:b].tolist()) == {-100}


def test_the_position_is_restored_from_the_step_alone(plan):
    first, again = MixtureData(plan), MixtureData(MixturePlan.load(plan.folder))
    rows, half = 4, plan.num_rows // 4 // 2
    seen = [first.batch(step * rows, rows) for step in range(half + 1)]
    late = again.batch(half * rows, rows)  # this reader never saw the steps before
    assert all(torch.equal(seen[half][name], late[name]) for name in late)
    two = [again.batch(half * rows + shift, rows // 2) for shift in (0, 2)]  # as two processes share a step
    assert torch.equal(torch.cat([part["input_ids"] for part in two]), late["input_ids"])
    with pytest.raises(IndexError, match="does not exist"):
        first.batch(plan.num_rows - 1, 2)


def test_one_document_a_row(packed, tmp_path):
    make_plan(config_of(packed, one_document_a_row=True)).save(tmp_path / "plan")
    plan = MixturePlan.load(tmp_path / "plan")
    check_plan(plan)
    assert all(len(plan.row(row)) == 1 for row in range(plan.num_rows))
    batch = MixtureData(plan).batch(0, 3)
    assert all(len(spans(batch, row)) <= 2 for row in range(3))


def test_some_recordings_are_written_prefix_suffix_middle(plan):
    data, plain = MixtureData(plan), MixtureData(plan, fim_rate=0.0)
    rearranged, able = 0, 0
    for row in range(plan.num_rows):
        batch = data.batch(row, 1)
        for (source, number), (a, b) in zip(plan.row(row), spans(batch, 0), strict=False):
            ids, own = batch["input_ids"][0, a:b].tolist(), plan.dataset(source)[number].tolist()
            able += own[0] == OPEN and own[-1] == CLOSE and 2 + 3 * 7 <= len(own) <= 60
            if ids == own:
                continue
            rearranged += 1
            assert len(ids) == len(own) + 4 and own[0] == OPEN
            marks = [i for i, token in enumerate(ids) if token in (OPEN, CLOSE)]
            assert [ids[i] for i in marks] == [OPEN, CLOSE] * 3
            prefix, suffix, middle = (ids[marks[i] + 1 : marks[i + 1]] for i in (0, 2, 4))
            assert [OPEN, *prefix, *middle, *suffix, CLOSE] == own
            assert all(part and len(part) % 7 == 0 for part in (prefix, suffix, middle))
    assert 0.2 < rearranged / able < 0.8 and able > 20
    row = plain.batch(0, 1)["input_ids"][0].tolist()
    joined = [token for source, number in plan.row(0) for token in plan.dataset(source)[number].tolist()]
    assert row[: len(joined)] == joined
    with pytest.raises(ValueError, match=r"fim_rate is 0\.9, but the plan was drawn with 0\.5"):
        MixtureData(plan, fim_rate=0.9)


def test_held_out_rows_are_the_dev_documents_of_a_source(plan):
    data = MixtureData(plan)
    for source in plan.sources:
        batch = data.dev_batch(source, 0, 100)
        assert len(batch["input_ids"]) == data.num_dev_rows(source) > 0
        found = sorted(
            batch["input_ids"][row, a:b].tolist()
            for row in range(len(batch["input_ids"]))
            for a, b in spans(batch, row)
            if batch["input_ids"][row, a] != PAD
        )
        dataset = plan.packed.datasets[source]
        assert found == sorted(dataset[int(number)].tolist() for number in plan.dev[source])
    with pytest.raises(ValueError, match="the plan has no source 'unused'"):
        data.dev_batch("unused", 0, 1)


# -- the check --------------------------------------------------------------------------------------------------------


def spoiled(plan, **arrays):
    kept = {name: np.array(plan.array(name)) for name in ("rows", "documents", "dev", "withheld")}
    return MixturePlan(config=plan.config, sources=plan.about, phases=plan.phases, arrays={**kept, **arrays})


def test_the_check_finds_every_fault(plan):
    check_plan(spoiled(plan))
    drawn, dev, withheld = (np.array(plan.array(name)) for name in ("documents", "dev", "withheld"))

    twice = drawn.copy()
    twice[-1] = twice[0]
    with pytest.raises(ValueError, match=r"stands in row 0 \(phase bulk\) and in row \d+ \(phase end\)"):
        check_plan(spoiled(plan, documents=twice))

    held = drawn.copy()
    held[0] = dev[0]
    with pytest.raises(ValueError, match=r"document \d+ of anna is drawn, and held out too"):
        check_plan(spoiled(plan, documents=held))

    # A document that is neither drawn nor listed, but shares its text with a held-out one.
    related = withheld[withheld[:, 2] == 2]
    held[0] = related[0, :2]
    with pytest.raises(ValueError, match="texts are trained on and held out"):
        check_plan(spoiled(plan, documents=held, withheld=withheld[withheld[:, 2] != 2]))

    test = withheld[withheld[:, 2] == 3]
    held[0] = test[0, :2]
    with pytest.raises(ValueError, match="documents of split 'heldout' are trained on"):
        check_plan(spoiled(plan, documents=held, withheld=withheld[withheld[:, 2] != 3]))

    rows = np.array(plan.array("rows"))
    rows[3] += 1
    with pytest.raises(ValueError, match=r"row 2 has \d+ ids, a row takes 64"):
        check_plan(spoiled(plan, rows=rows))

    beyond = drawn.copy()
    beyond[5, 1] = 10_000
    with pytest.raises(ValueError, match=r"documents\.npy names documents of \w+ beyond the \d+ there are"):
        check_plan(spoiled(plan, documents=beyond))


def test_damaged_plans_and_other_documents_are_refused(plan, packed, tmp_path):
    def copy(name):
        shutil.copytree(plan.folder, tmp_path / name)
        return tmp_path / name

    with pytest.raises(ValueError, match=r"no mixture\.json; `aoede mix MIXTURE"):
        MixturePlan.load(tmp_path)
    folder = copy("a")
    (folder / "documents.npy").write_bytes((folder / "documents.npy").read_bytes()[:-5])
    with pytest.raises(ValueError, match=r"documents\.npy: damaged or cut short"):
        MixturePlan.load(folder, packed=packed)
    folder = copy("b")
    data = bytearray((folder / "documents.npy").read_bytes())
    data[-4] ^= 1
    (folder / "documents.npy").write_bytes(data)
    with pytest.raises(ValueError, match=r"documents\.npy: not what was written"):
        check_plan(MixturePlan.load(folder, packed=packed))
    folder = copy("c")
    (folder / "mixture.json").write_text("{}")
    with pytest.raises(ValueError, match=r"mixture\.json: damaged"):
        MixturePlan.load(folder)
    folder = copy("far/away/d")
    with pytest.raises(ValueError, match="its documents cannot be opened"):
        MixtureData(MixturePlan.load(folder))  # it was moved, the documents were not
    shutil.copytree(packed, tmp_path / "packed")
    info = json.loads((tmp_path / "packed/anna.json").read_text())
    info["sha256"][".bin"] = "0" * 64
    (tmp_path / "packed/anna.json").write_text(json.dumps(info))
    with pytest.raises(ValueError, match="was drawn from other documents of source anna"):
        MixtureData(MixturePlan.load(folder, packed=tmp_path / "packed"))


# -- the file and the words -------------------------------------------------------------------------------------------

FILE = {
    "packed": "packed",
    "row_tokens": 64,
    "phases": [{"name": "one", "tokens": 100, "shares": {"books": 1.0}}],
}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"row_token": 3}, r"unknown key 'row_token'; did you mean row_tokens\?"),
        ({"phases": [{"name": "one", "tokens": 100, "shares": {"books": 0.9}}]}, r"add up to 0\.9; they must add up"),
        ({"phases": [{"name": "one", "tokens": 100, "shares": {"books": 0.0}}]}, "gives books the share 0"),
        ({"phases": [{"name": "one", "tokens": 0, "shares": {"books": 1}}]}, "phase one has 0 tokens"),
        ({"phases": FILE["phases"] * 2}, "two phases are called one"),
        ({"phases": []}, "a mixture without phases"),
        ({"fim_rate": 1.5}, r"fim_rate is 1\.5; it lies in 0\.\.1"),
        ({"dev": {"max_share": 1}}, "max_share is 1; it lies between 0 and 1"),
        ({"train_splits": ["train", "dev"]}, "split 'dev' stands in train_splits and in dev.splits"),
        ({"row_tokens": 1}, "row_tokens is 1"),
    ],
)
def test_a_mixture_file_is_read_strictly(tmp_path, changes, words):
    path = tmp_path / "mixture.yaml"
    path.write_text(yaml.safe_dump({**FILE, **changes}))
    with pytest.raises(ValueError, match=words) as caught:
        load_mixture_config(path)
    assert str(path) in str(caught.value)


def test_paths_of_a_mixture_start_beside_the_file(tmp_path):
    (tmp_path / "mixture.yaml").write_text(yaml.safe_dump(FILE))
    assert load_mixture_config(tmp_path / "mixture.yaml").packed == str(tmp_path / "packed")


def test_the_table_tells_what_was_asked_and_what_came_of_it(plan, tmp_path):
    words = describe_plan(plan)
    for line in ("held out first, in tokens", "  books        30.0%", "  kind:studio  70.0%", "    anna"):
        assert line in words, words
    assert f"{plan.num_rows} rows of 64, {plan.utilisation:.2%} of them documents" in words
    plot_plan(plan, tmp_path / "mixture.png")
    assert (tmp_path / "mixture.png").read_bytes().startswith(b"\x89PNG")
