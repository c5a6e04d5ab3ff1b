"""`aoede export`: the folder of the public model cards, and the plain one that serving engines know."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM, NemotronHForCausalLM

from aoede.cli.main import main
from aoede.models import CodecCausalLM
from aoede.models.adapters import AdapterConfig, adapt, merge_adapter, save_adapter
from aoede.models.export import export_folder
from tests.models.test_extend_folder import byte_tokenizer

FRESH = """
import json, sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "aoede":
            raise ImportError("aoede is blocked here")
sys.meta_path.insert(0, Block())
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
folder = sys.argv[1]
model = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True).eval()
tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=True)
ids = torch.tensor([[3, 4, 5, 257, 259, 268], [6, 7, 8, 9, 10, 257]])
whole = model(ids).logits
# The state is carried: call by call, the same as at once.
cache, parts = None, []
for part in ids.split([2, 3, 1], dim=1):
    out = model(part, past_key_values=cache, use_cache=True)
    cache = out.past_key_values
    parts.append(out.logits)
carried = torch.allclose(torch.cat(parts, 1).nan_to_num(neginf=0), whole.nan_to_num(neginf=0), atol=1e-3)
same_mask = torch.equal(torch.cat(parts, 1).isneginf(), whole.isneginf())
# Rows are independent: each alone gives what it gave beside the other.
apart = all(torch.allclose(model(ids[r:r+1]).logits.nan_to_num(neginf=0), whole[r:r+1].nan_to_num(neginf=0), atol=1e-4)
            for r in (0, 1))
legal = whole[:, -1].isfinite().sum(-1).tolist()
# Left-padded rows in different places of the grammar.
prompt = torch.tensor([[0, 0, 5, 257], [3, 4, 5, 6]])
mask = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1]])
made = model.generate(prompt, attention_mask=mask, max_new_tokens=20, do_sample=True)
for row, start in ((0, 2), (1, 0)):
    ids_row = made[row, start:].tolist()
    ends = [i for i in range(4 - start, len(ids_row)) if ids_row[i] in (258, 256)]
    model.router.advance(torch.tensor([ids_row[: ends[0] + 1] if ends else ids_row]))
assert "aoede" not in sys.modules
print(json.dumps([carried, same_mask, apart, legal, len(tokenizer), tokenizer.convert_ids_to_tokens([257, 259]),
                  model.generation_config.eos_token_id]))
"""


@pytest.fixture
def source(base, tmp_path):
    """source(kind) -> folder of an extended tiny model of 257 text rows, without a tokenizer for its codes."""
    from aoede.models import extend
    from aoede.tokens import CodecVocabulary, FrameLayout

    def build(kind="llama", **options):
        torch.manual_seed(0)
        small = base(kind)
        config = small.config
        config.vocab_size, config.eos_token_id = 257, 256
        model = extend(
            type(small)(config).eval(), CodecVocabulary.extend(257, FrameLayout("CMFFMFF"), (8, 8, 8)), **options
        )
        model.save_pretrained(tmp_path / "source")
        byte_tokenizer().save_pretrained(tmp_path / "source")
        return tmp_path / "source"

    return build


@pytest.mark.parametrize("kind", ["llama", "nemotron_h"])
def test_the_folder_works_in_a_process_without_aoede(source, tmp_path, kind):
    folder = export_folder(source(kind), tmp_path / "out")
    wanted = {
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "augmented.yaml",
        "tokenizer.json",
        "README.md",
    }
    assert wanted <= {path.name for path in folder.iterdir()}
    assert (folder / "packing.py").exists() and (folder / "causal_lm.py").exists()
    environment = {**os.environ, "HF_MODULES_CACHE": str(tmp_path / "modules"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-I", "-c", FRESH, str(folder)], capture_output=True, text=True, env=environment, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    carried, same_mask, apart, legal, tokens, names, ends = json.loads(done.stdout.splitlines()[-1])
    assert carried and same_mask and apart
    assert legal == [8, 9]  # slot 2 takes a range of 8; after the marker, 8 codes or the closing marker
    assert tokens == 283 and names == ["<audio_start>", "<snac_l1_0>"] and ends == [258, 256]


@pytest.mark.parametrize(("kind", "architecture"), [("llama", LlamaForCausalLM), ("nemotron_h", NemotronHForCausalLM)])
def test_a_plain_folder_is_the_text_model_over_all_rows(source, tmp_path, kind, architecture):
    origin = source(kind)
    folder = export_folder(origin, tmp_path / "out", plain=True)
    config = json.loads((folder / "config.json").read_text())
    assert config["architectures"] == [architecture.__name__] and config["vocab_size"] == 283
    assert "auto_map" not in config and not list(folder.glob("*.py"))
    assert json.loads((folder / "generation_config.json").read_text())["eos_token_id"] == [258, 256]
    plain, model = AutoModelForCausalLM.from_pretrained(folder), CodecCausalLM.from_pretrained(origin)
    assert type(plain) is architecture
    ids = torch.tensor([[3, 4, 257, 259]])
    masked, raw = model(ids).logits, plain(ids).logits
    torch.testing.assert_close(raw.masked_fill(masked.isneginf(), -torch.inf), masked)
    assert len(AutoTokenizer.from_pretrained(folder)) == 283 and (folder / "augmented.yaml").exists()


def test_an_adapter_is_merged_and_the_precision_chosen(source, tmp_path):
    origin = source()
    adapted = adapt(CodecCausalLM.from_pretrained(origin), AdapterConfig(rank=2))
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if parameter.requires_grad:
                parameter += torch.randn(parameter.shape, generator=torch.Generator().manual_seed(len(name))) * 0.1
    save_adapter(adapted, tmp_path / "adapter")
    folder = export_folder(origin, tmp_path / "out", adapter=tmp_path / "adapter")
    ids = torch.tensor([[3, 4, 257, 259]])
    torch.testing.assert_close(CodecCausalLM.from_pretrained(folder)(ids).logits, merge_adapter(adapted)(ids).logits)
    narrow = export_folder(origin, tmp_path / "narrow", dtype="bfloat16")
    assert CodecCausalLM.from_pretrained(narrow, dtype="auto").dtype == torch.bfloat16


def test_the_card_says_what_the_ids_are(source, tmp_path):
    card = (export_folder(source(), tmp_path / "out") / "README.md").read_text()
    for line in ("| text | 0 .. 256 |", "| `<audio_start>` | 257 |", "| C | 259 .. 266 |", "| F | 275 .. 282 |"):
        assert line in card
    assert "trust_remote_code=True" in card


def test_what_cannot_be_exported_is_refused(source, tmp_path, base):
    origin = source(text_stride=2.0)
    with pytest.raises(ValueError, match=r"has parallel positions \(text_stride 2\)"):
        export_folder(origin, tmp_path / "out", plain=True)
    with pytest.raises(ValueError, match=r"is no model folder: it has no config\.json"):
        export_folder(tmp_path / "nowhere", tmp_path / "out")
    base().save_pretrained(tmp_path / "text")
    with pytest.raises(ValueError, match="is no codec language model"):
        export_folder(tmp_path / "text", tmp_path / "out")
    with pytest.raises(ValueError, match="exists already"):
        export_folder(origin, tmp_path / "text")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (origin / name).unlink()
    with pytest.raises(ValueError, match="no tokenizer can be loaded from"):
        export_folder(origin, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_command_lists_what_it_wrote(source, tmp_path, capsys):
    assert main(["export", str(source()), "--out", str(tmp_path / "out"), "--plain", "--dtype", "bfloat16"]) == 0
    assert "model.safetensors" in capsys.readouterr().out
    assert main(["export", str(tmp_path), "--out", str(tmp_path / "again")]) == 2
    assert "is no model folder" in capsys.readouterr().err
