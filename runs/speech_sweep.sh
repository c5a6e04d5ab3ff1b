#!/usr/bin/env bash
# What matters to a flat voice: text units, positions, size, dropout, each changed alone in a small model that is trained for
# as many steps on the same clips in the same order; then the losses of all, side by side.
#
#   runs/speech_sweep.sh [OUT] [KEY=VALUE ...]
#
# OUT  everything it makes (default out/speech-sweep); further words change the recipe of all. Called again, it goes on where it
# was stopped. The table is printed, and kept in OUT/table.md. From the environment:
#   CANDIDATES  names out of the table below, the first is the base    (base characters subwords positions dropout noise deep wide)
#   STEPS       updates of each (600); the learning rate falls over the last third
#   RECIPE      (recipes/speech_bundled.yaml)     BATCH  ids of an update (3072)
#   AOEDE, PYTHON  what trains (.venv/bin/aoede), and the Python that has Aoede
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-out/speech-sweep}
shift $(($# < 1 ? $# : 1))
aoede=${AOEDE:-.venv/bin/aoede}
python=${PYTHON:-.venv/bin/python}
recipe=${RECIPE:-recipes/speech_bundled.yaml}
steps=${STEPS:-600}
read -ra candidates <<<"${CANDIDATES:-base characters subwords positions dropout noise deep wide}"

body() { echo "model={scratch: {family: qwen3, hidden: $1, layers: $2, heads: $3, intermediate: $4${5:-}}}"; }

# The changes that a name stands for, a line each.
changes() {
    case $1 in
    base) body 192 4 3 512 ;;                                             # phonemes, parallel positions, 2.8 M parameters
    characters) body 192 4 3 512 && echo "data.text.phonemes=null" && echo "data.text.dialects={}" ;;
    subwords) echo "model={base: $out/subwords-base}" && echo "data.text.phonemes=null" && echo "data.text.dialects={}" ;;
    positions) body 192 4 3 512 && echo "text_stride=null" ;;             # text first, then audio, on one count
    dropout) body 192 4 3 512 ", attention_dropout: 0.1" ;;
    noise) body 192 4 3 512 && echo "code_noise=0" ;;                     # the base has 0.05
    deep) body 192 8 3 512 ;;
    wide) body 320 4 5 896 ;;
    *)
        echo "$0: no candidate is called $1; there are base, characters, subwords, positions, dropout, noise, deep, wide" >&2
        return 2
        ;;
    esac
}

for name in "${candidates[@]}"; do changes "$name" >/dev/null; done
mkdir -p "$out"
out=$(realpath "$out")

# A model of the base's size without any training, whose tokenizer has 512 sub-words of the texts that are trained on.
subwords_base() {
    $python - "$recipe" "$1" "${@:2}" <<'PYTHON'
import sys
import torch
from pathlib import Path
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from aoede.data.codes import load_codes
from aoede.folders import replacing_folder
from aoede.training.recipe import load_recipe
from aoede.training.scratch import ScratchConfig, architecture
from aoede.training.speech import SpeechRecipe

recipe = load_recipe(sys.argv[1], SpeechRecipe, [word for word in sys.argv[3:] if word.startswith("data.")])
texts = [clip.text for clip in load_codes(recipe.data.shards, split=recipe.data.train_split) if clip.text]
inner = Tokenizer(models.BPE(unk_token=None))
inner.pre_tokenizer, inner.decoder = pre_tokenizers.ByteLevel(add_prefix_space=True), decoders.ByteLevel()
inner.train_from_iterator(texts, trainers.BpeTrainer(
    vocab_size=512, special_tokens=["<pad>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
torch.manual_seed(0)
size = ScratchConfig(family="qwen3", hidden=192, layers=4, heads=3, intermediate=512)
with replacing_folder(Path(sys.argv[2])) as folder:
    PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="<pad>").save_pretrained(folder)
    AutoModelForCausalLM.from_config(architecture(size, inner.get_vocab_size(), pad_id=0, eos_id=None)).save_pretrained(folder)
PYTHON
}

for name in "${candidates[@]}"; do
    [ -d "$out/$name/export" ] && continue
    if [ "$name" = subwords ] && [ ! -d "$out/subwords-base" ]; then subwords_base "$out/subwords-base" "$@"; fi
    mapfile -t words < <(changes "$name")
    $aoede train speech "$recipe" --out "$out/$name" "tokens_per_batch=${BATCH:-3072}" "loop.steps=$steps" \
        "schedule.decay_steps=$((steps / 3))" "loop.eval_every=$steps" "loop.checkpoint_every=$steps" loop.keep=1 "${words[@]}" "$@"
    [ -d "$out/$name/export" ] || { echo "$name is not finished: call this again"; exit 0; }
done

$python - "$out" "${candidates[@]}" <<'PYTHON' | tee "$out/table.md"
import json, sys
from pathlib import Path

from safetensors import safe_open

print("| changed | parameters | loss | C | M | F | end | label shift -1 / 0 / +1 |")
print("|---|---|---|---|---|---|---|---|")
for name in sys.argv[2:]:
    run = Path(sys.argv[1]) / name
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    last = [row for row in rows if row["phase"] == "eval"][-1]
    count = 0
    for path in sorted((run / "export/model").glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            count += sum(file.get_slice(key).get_shape()[0] * (file.get_slice(key).get_shape() + [1])[1] for key in file.keys())
    shifts = " / ".join(f"{last[f'alignment/{shift}']:.2f}" for shift in ("-1", "+0", "+1"))
    losses = " | ".join(f"{last[f'loss/{part}']:.3f}" for part in "CMF")
    print(f"| {name} | {count / 1e6:.1f} M | {last['loss']:.3f} | {losses} | {last['loss/close']:.3f} | {shifts} |")
PYTHON
