"""`aoede extend`: a text model's folder becomes a codec language model's, whole or not at all."""

from __future__ import annotations

import pytest
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from aoede.cli.main import main
from aoede.models import CodecCausalLM
from aoede.models.extend_folder import extend_folder
from aoede.models.speaking_tokenizer import speaking_tokenizer
from aoede.tokens import CodecVocabulary, FrameLayout

CODEC = {"layout": FrameLayout("CMFFMFF"), "codebook_sizes": (8, 8, 8)}


def byte_tokenizer(reserved: int = 0) -> PreTrainedTokenizerFast:
    """Bytes, <end>, and reserved tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    inner = Tokenizer(models.BPE({token: i for i, token in enumerate(alphabet)}, []))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    words = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<end>")
    words.add_tokens([AddedToken(f"<SPECIAL_{i}>", special=True) for i in range(reserved)], special_tokens=True)
    return words


def write_base(folder, rows=257, reserved=0, dtype=torch.float32, tied=True):
    """A tiny Llama with a byte tokenizer, as a hub has it."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=rows, hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=2,
        tie_word_embeddings=tied, bos_token_id=None, eos_token_id=256,
    )  # fmt: skip
    LlamaForCausalLM(config).to(dtype).save_pretrained(folder)
    byte_tokenizer(reserved).save_pretrained(folder)
    return folder


def test_the_folder_has_weights_vocabulary_tokenizer_and_generation_settings(tmp_path):
    base = write_base(tmp_path / "base", dtype=torch.bfloat16)
    found = extend_folder(base, tmp_path / "out", "extend", seed=3, **CODEC)
    assert (found.text_rows, found.is_tied, found.dtype) == (257, True, "bfloat16")
    assert found.vocabulary == CodecVocabulary.extend(257, CODEC["layout"], (8, 8, 8))
    model = CodecCausalLM.from_pretrained(tmp_path / "out", dtype="auto")
    assert model.dtype == torch.bfloat16 and model.config.vocab_size == 257 + 2 + 24
    assert model.generation_config.eos_token_id == [258, 256] and model.generation_config.pad_token_id == 256
    old = AutoModelForCausalLM.from_pretrained(base, dtype="auto")
    assert torch.equal(model.get_input_embeddings().weight[:257], old.get_input_embeddings().weight)
    words = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert len(words) == 283
    ids = words("hi<audio_start><snac_l1_0><snac_l3_7><audio_end>")["input_ids"]
    assert ids[-4:] == [257, 259, 282, 258] and words.decode(ids, skip_special_tokens=True) == "hi"
    assert words("plain text")["input_ids"] == byte_tokenizer()("plain text")["input_ids"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base", "out"]
    assert "257 rows -> 283" in str(found) and "codes 259 .. 282" in str(found)


def test_the_seed_decides_the_new_rows(tmp_path):
    base = write_base(tmp_path / "base")
    weights = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        extend_folder(base, tmp_path / name, seed=seed, **CODEC)
        weights.append(CodecCausalLM.from_pretrained(tmp_path / name).lm_head.weight)
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


def test_rows_without_a_token_are_text_that_nobody_writes(tmp_path):
    base = write_base(tmp_path / "base", rows=264)
    found = extend_folder(base, tmp_path / "out", **CODEC)
    words = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert found.vocabulary.text_size == 264 and words.convert_ids_to_tokens(263) == "<unused_263>"
    assert words.convert_tokens_to_ids("<audio_start>") == 264


def test_tokens_without_a_row_get_one(tmp_path):
    base = write_base(tmp_path / "base", reserved=5)
    found = extend_folder(base, tmp_path / "out", **CODEC)
    assert found.text_rows == 257 and found.vocabulary.text_size == 262
    assert CodecCausalLM.from_pretrained(tmp_path / "out").config.vocab_size == 262 + 26


def test_a_vocabulary_from_a_file_and_a_public_ones_order_on_any_model(tmp_path):
    base = write_base(tmp_path / "base")
    path = CodecVocabulary.extend(260, FrameLayout("CMMFFFF"), (4, 4, 4)).save(tmp_path / "augmented.yaml")
    assert extend_folder(base, tmp_path / "file", path).vocabulary.layout == FrameLayout("CMMFFFF")
    found = extend_folder(base, tmp_path / "calliope", "calliope").vocabulary
    assert (found.open_id, found.open_token, found.size) == (257, "[SNAC]", 257 + 2 + 3 * 4096)
    words = AutoTokenizer.from_pretrained(tmp_path / "calliope")
    assert words.convert_tokens_to_ids(["[SNAC]", "[/SNAC]", "<snac_l2_0>"]) == [257, 258, 259 + 4096]


def test_a_marker_on_a_reserved_id_gives_it_its_name():
    vocabulary = CodecVocabulary(
        text_size=260, size=260 + 24, layout=FrameLayout("CMFFMFF"), codebook_sizes=(8, 8, 8), open_id=257,
        close_id=258, starts=(260, 268, 276), open_token="[SNAC]", close_token="[/SNAC]",
    )  # fmt: skip
    words = byte_tokenizer(reserved=3)
    grown = speaking_tokenizer(words, vocabulary)
    assert grown("a[SNAC][/SNAC]<SPECIAL_2>")["input_ids"][1:] == [257, 258, 259]
    assert "<SPECIAL_0>" not in grown.get_vocab() and "[SNAC]" not in words.get_vocab()
    assert speaking_tokenizer(grown, vocabulary) is grown
    plain = byte_tokenizer()
    plain.add_tokens(["hello"])
    with pytest.raises(ValueError, match=r"the marker \[SNAC\] would take id 257, which is 'hello' in"):
        speaking_tokenizer(plain, vocabulary)


def test_what_does_not_fit_is_refused_and_leaves_nothing(tmp_path):
    base = write_base(tmp_path / "base")
    small = CodecVocabulary.extend(250, FrameLayout("CMFFMFF"), (8, 8, 8)).save(tmp_path / "small.yaml")
    with pytest.raises(ValueError, match="the tokenizer has 257 tokens, but the vocabulary's codec ids begin at 250"):
        extend_folder(base, tmp_path / "out", small)
    padded = CodecVocabulary.extend(257, FrameLayout("CMFFMFF"), (8, 8, 8)).save(tmp_path / "padded.yaml")
    with pytest.raises(ValueError, match="the text model has 264 rows, but the vocabulary's codec ids begin at 257"):
        extend_folder(write_base(tmp_path / "wide", rows=264), tmp_path / "out", padded)
    with pytest.raises(ValueError, match="there is no vocabulary 'snak': write calliope, orpheus, guide, extend"):
        extend_folder(base, tmp_path / "out", "snak")
    with pytest.raises(ValueError, match=r"no text model can be loaded from .*nowhere"):
        extend_folder(tmp_path / "nowhere", tmp_path / "out", **CODEC)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"no text model can be loaded from .*empty"):
        extend_folder(tmp_path / "empty", tmp_path / "out", **CODEC)
    extend_folder(base, tmp_path / "done", **CODEC)
    with pytest.raises(ValueError, match="is a codec language model already"):
        extend_folder(tmp_path / "done", tmp_path / "out", **CODEC)
    with pytest.raises(ValueError, match="done exists already; give a new folder"):
        extend_folder(base, tmp_path / "done", **CODEC)
    (tmp_path / "words").mkdir()
    with pytest.raises(ValueError, match=r"no tokenizer can be loaded from .*words"):
        extend_folder(base, tmp_path / "out", tokenizer=tmp_path / "words", **CODEC)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"base", "wide", "empty", "done", "words", "small.yaml", "padded.yaml"}


def test_the_command_says_what_it_wrote_and_what_is_wrong(tmp_path, capsys):
    base = write_base(tmp_path / "base")
    path = CodecVocabulary.extend(257, FrameLayout("CMFFMFF"), (8, 8, 8)).save(tmp_path / "augmented.yaml")
    assert main(["extend", str(base), "--vocabulary", str(path), "--out", str(tmp_path / "out"), "--seed", "1"]) == 0
    assert "257 rows -> 283" in capsys.readouterr().out
    assert main(["extend", str(tmp_path / "no"), "--out", str(tmp_path / "out2")]) == 2
    assert "no text model can be loaded from" in capsys.readouterr().err
    assert main(["extend", str(base), "--vocabulary", str(path), "--codec", "x", "--out", str(tmp_path / "out2")]) == 2
    assert "--codec goes with --vocabulary extend" in capsys.readouterr().err
    assert main(["extend", str(base), "--out", str(tmp_path / "bundled")]) == 0
    vocabulary = CodecVocabulary.load(tmp_path / "bundled")
    assert vocabulary.text_size == 257 and vocabulary.num_slots == 7
