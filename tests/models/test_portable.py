"""A saved folder loads where Aoede is not installed, gives equal logits, stays routed, and writes itself again."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM

from aoede.models import CodecCausalLM

FRESH = """
import json, sys, warnings
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "aoede":
            raise ImportError("aoede is blocked here")
sys.meta_path.insert(0, Block())
import torch
from transformers import AutoModelForCausalLM
folder, again = sys.argv[1:]
model = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True)
ids = torch.tensor([[3, 4, 5, 20, 22, 31]])
torch.save(model(ids).logits, again + "/logits.pt")
made = model.generate(torch.tensor([[3, 4, 20]]), attention_mask=torch.ones(1, 3).long(), max_new_tokens=15,
                      do_sample=True, pad_token_id=0)
state = model.router.advance(made)[1]
model.save_pretrained(again)
assert "aoede" not in sys.modules
print(json.dumps([type(model).__module__, model.config.text_stride, made.shape[1], int(state)]))
"""


@pytest.mark.parametrize("kind", ["llama", "gemma3", "qwen3", "nemotron_h"])
@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
def test_a_folder_gives_the_same_model_back(make, rows, tmp_path, kind, tied):
    stride = None if kind == "nemotron_h" else 2.5
    model = make(kind, tied, stride)
    model.save_pretrained(tmp_path)
    for again in (CodecCausalLM.from_pretrained(tmp_path), AutoModelForCausalLM.from_pretrained(tmp_path)):
        assert type(again) is CodecCausalLM and again.vocabulary == model.vocabulary
        assert again.config.text_stride == stride and again.generation_config.eos_token_id == [21, 2]
        assert again.model.config._attn_implementation == model.model.config._attn_implementation
        assert torch.equal(again(rows()).logits, model(rows()).logits)
        assert (again.lm_head.weight is again.get_input_embeddings().weight) == model.config.tie_word_embeddings


def test_the_folder_holds_the_text_models_keys_and_the_vocabulary(make, tmp_path):
    make("llama", tied=True).save_pretrained(tmp_path)
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        keys = set(file.keys())
    assert "model.embed_tokens.weight" in keys and "lm_head.weight" not in keys
    assert "model.layers.1.self_attn.q_proj.weight" in keys
    assert (tmp_path / "augmented.yaml").exists()
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["auto_map"] == {
        "AutoConfig": "config.CodecLMConfig", "AutoModelForCausalLM": "causal_lm.CodecCausalLM",
    }  # fmt: skip
    assert not [name for name in os.listdir(tmp_path) if "partial" in name]


def test_a_fresh_process_without_aoede_loads_it_routed(make, tmp_path):
    model, folder, again = make(text_stride=2.5), tmp_path / "model", tmp_path / "again"
    model.save_pretrained(folder)
    again.mkdir()
    environment = {**os.environ, "HF_MODULES_CACHE": str(tmp_path / "modules"), "HF_HUB_OFFLINE": "1"}
    for source, target in ((folder, again), (again, tmp_path / "third")):
        target.mkdir(exist_ok=True)
        done = subprocess.run(
            [sys.executable, "-I", "-c", FRESH, str(source), str(target)],
            capture_output=True, text=True, env=environment, cwd=tmp_path,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        module, stride, length, _ = json.loads(done.stdout)
        assert module.startswith("transformers_modules") and stride == 2.5 and length > 3
        ids = torch.tensor([[3, 4, 5, 20, 22, 31]])
        assert torch.equal(torch.load(target / "logits.pt", weights_only=True), model(ids).logits)
    assert (again / "router.py").read_text() == (folder / "router.py").read_text()
