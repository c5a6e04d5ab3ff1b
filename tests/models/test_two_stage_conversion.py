"""Folders of two-stage models: three layouts, read and written, against transformers' CSM on the same weights."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    CsmConfig,
    CsmForConditionalGeneration,
    GenerationConfig,
    MimiConfig,
    MimiModel,
    PretrainedConfig,
)

from aoede.models.two_stage import TwoStageConfig, TwoStageModel

SLOTS, ROWS, TEXT = 5, 19, 50
LLAMA3 = {
    "rope_type": "llama3", "rope_theta": 500000.0, "factor": 32.0, "low_freq_factor": 0.125, "high_freq_factor": 0.5,
    "original_max_position_embeddings": 64,
}  # fmt: skip
STAGE = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 128, "rms_norm_eps": 1e-5, "rope_parameters": LLAMA3,
}  # fmt: skip
DEPTH = {**STAGE, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1}
CODEC = {
    "model_type": "mimi", "codebook_size": 16, "num_quantizers": 4, "hidden_size": 16, "num_filters": 2,
    "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2,
    "head_dim": 8, "vector_quantization_hidden_dimension": 8, "codebook_dim": 8, "upsample_groups": 16,
}  # fmt: skip


def csm_config() -> CsmConfig:
    return CsmConfig(
        **STAGE,
        num_codebooks=SLOTS, vocab_size=ROWS, text_vocab_size=TEXT, pad_token_id=3, bos_token_id=1, audio_token_id=44,
        audio_eos_token_id=45, codebook_pad_token_id=18, codec_config=CODEC,
        depth_decoder_config={
            **DEPTH, "num_codebooks": SLOTS, "vocab_size": ROWS, "backbone_hidden_size": 32,
        },
    )  # fmt: skip


@pytest.fixture(scope="module")
def csm() -> CsmForConditionalGeneration:
    torch.manual_seed(0)
    model = CsmForConditionalGeneration(csm_config()).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return model


@pytest.fixture(scope="module")
def csm_folder(csm, tmp_path_factory):
    folder = tmp_path_factory.mktemp("csm")
    csm.save_pretrained(folder)
    return folder


def own_model(**changes) -> TwoStageModel:
    torch.manual_seed(1)
    fields = {
        "backbone": {"model_type": "llama", **STAGE}, "depth_decoder": {"model_type": "llama", **DEPTH},
        "slot_sizes": [16] * SLOTS, "text_vocab_size": TEXT, "amortization_ratio": 4, "layout": "CMFFF",
        "codec_fingerprint": "abc", "sample_rate": 24000, "frame_rate": 12.5,
    }  # fmt: skip
    return TwoStageModel(TwoStageConfig(**{**fields, **changes})).eval()


def frames(codes: int = 16) -> torch.Tensor:
    """Three text frames, then six of sound, in two rows."""
    generator = torch.Generator().manual_seed(2)
    ids = torch.full((2, 9, SLOTS + 1), -1)
    ids[:, :3, SLOTS] = torch.randint(0, TEXT, (2, 3), generator=generator)
    ids[:, 3:, :SLOTS] = torch.randint(0, codes, (2, 6, SLOTS), generator=generator)
    return ids


def logits_of_ours(model: TwoStageModel, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    labels = ids[..., :SLOTS].masked_fill(ids[..., :SLOTS] < 0, -100)
    with torch.no_grad():
        output = model(input_ids=ids, labels=labels)
    return output.backbone_logits, output.depth_logits


def logits_of_csm(model: CsmForConditionalGeneration, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The same through transformers: text embedded by its table, sound by its frame embedding."""
    labels = ids[..., :SLOTS].masked_fill(ids[..., :SLOTS] < 0, -100)
    with torch.no_grad():
        text = model.embed_text_tokens(ids[:, :3, SLOTS])
        sound = model.backbone_model.embed_tokens(ids[:, 3:, :SLOTS])
        output = model(inputs_embeds=torch.cat([text, sound], 1), labels=labels)
    return output.logits, output.depth_decoder_logits


def assert_same_logits(ours: TwoStageModel, csm: CsmForConditionalGeneration) -> None:
    ids, legal = frames(), ours.config.slot_sizes[0]
    for mine, theirs in zip(logits_of_ours(ours, ids), logits_of_csm(csm, ids), strict=True):
        theirs = theirs.view(mine.shape)
        assert theirs.abs().max() > 0.1  # random weights that say something
        assert (mine[..., :legal] - theirs[..., :legal]).abs().max() < 1e-5
        assert (mine[..., legal:] == -torch.inf).all()


def said(config: PretrainedConfig, *without: str) -> dict:
    """What a configuration says of a model, not of who wrote it; in all its depth."""
    dropped = {"_name_or_path", "architectures", "transformers_version", "auto_map", "dtype", *without}

    def strip(value):
        return {k: strip(v) for k, v in value.items() if k not in dropped} if isinstance(value, dict) else value

    return strip(config.to_dict())


def state_equal(first: torch.nn.Module, second: torch.nn.Module) -> bool:
    a, b = first.state_dict(), second.state_dict()
    return set(a) == set(b) and all(a[name].equal(b[name]) and a[name].dtype == b[name].dtype for name in a)


def test_a_folder_of_transformers_gives_the_same_logits_in_both_stages(csm, csm_folder):
    ours = TwoStageModel.from_pretrained(csm_folder).eval()
    assert ours.config.slot_sizes == [16] * SLOTS and ours.config.slot_rows == [ROWS] * SLOTS
    assert (ours.config.sample_rate, ours.config.frame_rate) == (24000, 12.5)
    assert_same_logits(ours, csm)


def test_transformers_reads_what_we_write_with_the_same_logits(tmp_path):
    ours = own_model(slot_rows=[ROWS] * SLOTS)
    ours.save_pretrained(tmp_path, layout="transformers", codec=MimiModel(MimiConfig(**CODEC)))
    csm, report = CsmForConditionalGeneration.from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"] and not report["mismatched_keys"]
    assert_same_logits(ours, csm.eval())


@pytest.mark.parametrize("layout", ["aoede", "csm-1b-hf", "transformers"])
@pytest.mark.parametrize("shard", ["50GB", "8KB"])
def test_a_model_comes_back_exactly_from_every_layout(layout, shard, tmp_path):
    ours = own_model()
    ours.generation_config = GenerationConfig(do_sample=True, temperature=0.7, depth_temperature=0.6, depth_top_k=9)
    ours.save_pretrained(tmp_path, layout=layout, max_shard_size=shard)
    assert (tmp_path / "model.safetensors.index.json").exists() == (shard == "8KB")
    again = TwoStageModel.from_pretrained(tmp_path)
    assert state_equal(again, ours)
    assert said(again.config, "csm") == said(ours.config, "csm")
    settings = again.generation_config
    assert (settings.temperature, settings.depth_temperature, settings.depth_top_k) == (0.7, 0.6, 9)
    assert not list(tmp_path.glob(".partial*"))


def test_a_folder_of_transformers_comes_back_exactly_with_its_codec(csm, csm_folder, tmp_path):
    TwoStageModel.from_pretrained(csm_folder).save_pretrained(tmp_path, layout="transformers", codec=csm_folder)
    again = CsmForConditionalGeneration.from_pretrained(tmp_path)
    assert state_equal(again, csm)
    assert said(again.config, "aoede") == said(csm.config)


def test_layouts_chain_without_loss(csm_folder, tmp_path):
    """transformers -> csm-1b-hf -> ours -> transformers."""
    first = TwoStageModel.from_pretrained(csm_folder)
    first.save_pretrained(tmp_path / "a", layout="csm-1b-hf")
    TwoStageModel.from_pretrained(tmp_path / "a").save_pretrained(tmp_path / "b")
    TwoStageModel.from_pretrained(tmp_path / "b").save_pretrained(tmp_path / "c", layout="transformers")
    assert state_equal(TwoStageModel.from_pretrained(tmp_path / "c"), first)


def test_csm_1b_hf_has_the_public_names_and_fields(tmp_path):
    """Names as its modelling file defines them; the rope as older releases of transformers read it."""
    own_model().save_pretrained(tmp_path, layout="csm-1b-hf")
    shapes = {name: list(value.shape) for name, value in load_file(tmp_path / "model.safetensors").items()}
    assert shapes["codebook0_head.weight"] == [16, 32] and shapes["audio_head"] == [SLOTS - 1, 16, 16]
    assert shapes["audio_embeddings.weight"] == [SLOTS * 16, 32] and shapes["text_embeddings.weight"] == [TEXT, 32]
    assert shapes["projection.weight"] == [16, 32] and shapes["decoder.layers.0.self_attn.q_proj.weight"] == [16, 16]
    assert shapes["backbone.layers.1.mlp.down_proj.weight"] == [32, 48] and "backbone.norm.weight" in shapes
    config = json.loads((tmp_path / "config.json").read_text())
    assert (config["audio_num_codebooks"], config["audio_vocab_size"], config["max_seq_len"]) == (SLOTS, 16, 128)
    stage = config["decoder_config"]
    assert stage["rope_theta"] == 500000.0 and stage["rope_scaling"]["factor"] == 32.0 and stage["vocab_size"] == TEXT


def test_the_public_rows_leave_the_reserved_three_illegal(tmp_path):
    """As published: nothing of ours in config.json, a legacy rope, 2,051 rows a slot, buffers in the file."""
    config = {
        "model_type": "csm", "audio_num_codebooks": 2, "audio_vocab_size": 2051, "text_vocab_size": TEXT,
        "torch_dtype": "bfloat16", "backbone_config": {**STAGE, "model_type": "llama"},
        "decoder_config": {**DEPTH, "rope_parameters": None, "rope_theta": 500000, "rope_scaling": None},
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))
    ours = own_model(slot_sizes=[2048] * 2, slot_rows=[2051] * 2).bfloat16()
    ours.save_pretrained(tmp_path / "x", layout="csm-1b-hf")
    weights = load_file(tmp_path / "x" / "model.safetensors")
    save_file({**weights, "backbone.rotary_emb.inv_freq": torch.ones(4)}, tmp_path / "model.safetensors")
    again = TwoStageModel.from_pretrained(tmp_path)
    assert again.config.slot_sizes == [2048, 2048] and again.dtype == torch.bfloat16
    assert again.config.depth_decoder.rope_parameters["rope_theta"] == 500000
    assert state_equal(again, ours)
    wider = TwoStageModel.from_pretrained(tmp_path, slot_sizes=[2051, 2051], dtype=torch.float32, amortization_ratio=16)
    assert wider.config.slot_sizes == [2051, 2051] and wider.dtype == torch.float32
    assert wider.config.amortization_ratio == 16


FRESH = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "aoede":
            raise ImportError("aoede is blocked here")
sys.meta_path.insert(0, Block())
import torch
from transformers import AutoModel
folder, again = sys.argv[1:]
model = AutoModel.from_pretrained(folder, trust_remote_code=True).eval()
ids = torch.load(folder + "/ids.pt", weights_only=True)
with torch.no_grad():
    logits = model(ids).backbone_logits
torch.save({"logits": logits, "frames": model.generate(ids[:, :4], max_new_frames=3, seeds=5)}, again + "/out.pt")
model.save_pretrained(again)
assert "aoede" not in sys.modules and type(model).__module__.startswith("transformers_modules")
"""


def test_a_fresh_process_without_aoede_loads_our_own_layout_and_writes_it_again(tmp_path):
    model, folder, again = own_model(), tmp_path / "model", tmp_path / "again"
    model.save_pretrained(folder)
    torch.save(frames(), folder / "ids.pt")
    again.mkdir()
    environment = {**os.environ, "HF_MODULES_CACHE": str(tmp_path / "modules"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-I", "-c", FRESH, str(folder), str(again)],
        capture_output=True, text=True, env=environment, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    out = torch.load(again / "out.pt", weights_only=True)
    with torch.no_grad():
        assert out["logits"].equal(model(frames()).backbone_logits)
    mine = model.generate(frames()[:, :4], max_new_frames=3, seeds=5)
    assert all(a.equal(b) for a, b in zip(out["frames"], mine, strict=True))
    assert {path.name: path.read_text() for path in folder.glob("*.py")} == {
        path.name: path.read_text() for path in again.glob("*.py")
    }
    assert state_equal(TwoStageModel.from_pretrained(again), model)


def test_what_does_not_fit_a_layout_is_said(tmp_path):
    snac = own_model(slot_sizes=[64, 16, 16, 16, 16])
    with pytest.raises(ValueError, match=r"\[64, 16, 16, 16, 16\] rows.*same number.*layout='aoede'"):
        snac.save_pretrained(tmp_path, layout="transformers")
    rows = own_model(stop="row", slot_rows=[17] * SLOTS)
    with pytest.raises(ValueError, match=r"stops by 'row'.*frame of zeros alone"):
        rows.save_pretrained(tmp_path, layout="csm-1b-hf")
    parallel = own_model(text_stride=5.0)
    with pytest.raises(ValueError, match=r"parallel positions \(text_stride 5.0\)"):
        parallel.save_pretrained(tmp_path, layout="csm-1b-hf")
    qwen = own_model(depth_decoder={"model_type": "qwen2", **DEPTH, "rope_parameters": None})
    with pytest.raises(ValueError, match=r"depth decoder is 'qwen2'.*takes 'llama'"):
        qwen.save_pretrained(tmp_path, layout="transformers")
    with pytest.raises(ValueError, match="'onnx' is unknown; there are aoede, csm-1b-hf, transformers"):
        snac.save_pretrained(tmp_path, layout="onnx")
    with pytest.raises(ValueError, match="no place for a codec"):
        snac.save_pretrained(tmp_path, codec=tmp_path)
    with pytest.raises(ValueError, match="without push_to_hub"):
        own_model().save_pretrained(tmp_path, layout="csm-1b-hf", push_to_hub=True)
    assert not list(tmp_path.iterdir())


def damaged(folder, change) -> None:
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors")


@pytest.mark.parametrize(
    ("name", "shape", "words"),
    [
        ("codebook0_head.weight", None, "lacks 1 weights, such as slot0_head.weight"),
        ("decoder.layers.7.extra", (2,), "no layer of its config.json has"),
        ("adapter.weight", (2,), "1 weights have no place in the layout csm-1b-hf"),
        ("audio_head", (4, 16, 15), r"\[4, 16, 15\].*by config.json.*\[4, 16, 16\]"),
    ],
)
def test_weights_that_do_not_match_are_named(name, shape, words, tmp_path):
    own_model().save_pretrained(tmp_path, layout="csm-1b-hf")
    damaged(tmp_path, lambda w: w.pop(name) if shape is None else w.update({name: torch.ones(shape)}))
    with pytest.raises(ValueError, match=words):
        TwoStageModel.from_pretrained(tmp_path)


def test_two_tables_of_a_csm_are_read_where_equal_and_refused_where_not(csm_folder, tmp_path):
    TwoStageModel.from_pretrained(csm_folder).save_pretrained(tmp_path, layout="transformers")
    first, twin = "backbone_model.embed_tokens.embed_audio_tokens.weight", "depth_decoder.model.embed_tokens.weight"
    damaged(tmp_path, lambda w: w.update({twin: w.pop(first)}))
    assert state_equal(TwoStageModel.from_pretrained(tmp_path), TwoStageModel.from_pretrained(csm_folder))
    damaged(tmp_path, lambda w: w.update({first: w[twin] + 1}))
    with pytest.raises(ValueError, match="differs from the backbone's audio embedding"):
        TwoStageModel.from_pretrained(tmp_path)


def test_a_folder_of_another_kind_is_told_apart(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gpt2"}))
    with pytest.raises(ValueError, match=r"model_type 'gpt2'.*'aoede_two_stage'.*'csm'"):
        TwoStageModel.from_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "csm"}))
    with pytest.raises(ValueError, match=r"has no model\.safetensors and no .*pickled weights are not read"):
        TwoStageModel.from_pretrained(tmp_path)


def test_a_later_layout_replaces_an_earlier_one_in_the_same_folder(tmp_path):
    ours = own_model()
    ours.save_pretrained(tmp_path, layout="transformers", max_shard_size="8KB")
    ours.save_pretrained(tmp_path, layout="csm-1b-hf")
    assert [path.name for path in tmp_path.glob("model*")] == ["model.safetensors"]
    assert state_equal(TwoStageModel.from_pretrained(tmp_path), ours)
