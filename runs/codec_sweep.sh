#!/usr/bin/env bash
# Codecs of several shapes, each trained for as many steps on the same audio in the same order, then measured side by side:
# quality against ids a second, decode time and size.
#
#   runs/codec_sweep.sh [CORPUS] [OUT] [KEY=VALUE ...]
#
# CORPUS  folder with synthetic/ and recordings/ (default ../shared/corpus); OUT everything it makes (default out/codec-sweep);
# further words change the recipe. Called again, it goes on where it was stopped. The report is OUT/report, the page
# OUT/report.results.md. From the environment:
#   CANDIDATES  names out of the table below, the first is the base          (hop768 hop512 hop384 hop768-4096)
#   STEPS       updates of each (600); the learning rate falls over the last two fifths. Nothing is quantized before step 300, or
#               before that fall: at full rate, codes that come much earlier than that make short trainings diverge
#   RECIPE      of all of them (recipes/codec_small_24khz.yaml); critics play only where CRITICS=1
#   THREADS     CPU threads of training (1)        LIMIT  clips that are measured (24)       SPLIT  of them (dev)
#   RECOGNISER  folder of a whisper model; without one no words are counted
#   SHAPES_ONLY 1: nothing is trained, only what is exact of each shape is told
#   AOEDE, EVALUATE, PYTHON   what trains, what measures (.venv/bin/aoede), and the Python that has Aoede
set -euo pipefail
cd "$(dirname "$0")/.."
corpus=${1:-../shared/corpus}
out=${2:-out/codec-sweep}
shift $(($# < 2 ? $# : 2))
aoede=${AOEDE:-.venv/bin/aoede}
evaluate=${EVALUATE:-$aoede}
python=${PYTHON:-.venv/bin/python}
steps=${STEPS:-600}
quantize_from=$((steps * 3 / 5 < 300 ? steps * 3 / 5 : 300))
read -ra candidates <<<"${CANDIDATES:-hop768 hop512 hop384 hop768-4096}"

# What a name stands for. Every hop divides 3,072 samples, so that segments of 0.512 s are as long for all.
shape() {
    local hop768="encoder_rates: [4, 4, 6, 8], decoder_rates: [8, 6, 4, 4]"
    case $1 in
    hop768) echo "{encoder_dim: 16, decoder_dim: 384, codebook_size: 2048, $hop768}" ;;
    hop768-1024) echo "{encoder_dim: 16, decoder_dim: 384, codebook_size: 1024, $hop768}" ;;
    hop768-4096) echo "{encoder_dim: 16, decoder_dim: 384, codebook_size: 4096, $hop768}" ;;
    hop768-wide) echo "{encoder_dim: 24, decoder_dim: 512, codebook_size: 2048, $hop768}" ;;
    hop512) echo "{encoder_dim: 16, decoder_dim: 384, codebook_size: 2048, encoder_rates: [4, 4, 4, 8], decoder_rates: [8, 4, 4, 4]}" ;;
    hop512-4096) echo "{encoder_dim: 16, decoder_dim: 384, codebook_size: 4096, encoder_rates: [4, 4, 4, 8], decoder_rates: [8, 4, 4, 4]}" ;;
    hop384) echo "{encoder_dim: 16, decoder_dim: 384, codebook_size: 2048, encoder_rates: [4, 4, 4, 6], decoder_rates: [6, 4, 4, 4]}" ;;
    *)
        echo "$0: no candidate is called $1; there are hop768, hop768-1024, hop768-4096, hop768-wide, hop512, hop512-4096, hop384" >&2
        return 2
        ;;
    esac
}

# What is exact without any training: rates, sizes, FLOPs of a second; and the CPU time of decoding it, in turns, one thread.
shapes() {
    local name words=()
    for name in "$@"; do words+=("$name=$(shape "$name")"); done
    $python - "${words[@]}" <<'PYTHON'
import sys, time
import torch, yaml
from torch.utils.flop_counter import FlopCounterMode
from aoede.codec import Snac, SnacConfig
from aoede.codec.inference import prepare

torch.manual_seed(0)
torch.set_num_threads(1)
codecs = {}
for word in sys.argv[1:]:
    name, _, shape = word.partition("=")
    codecs[name] = Snac(SnacConfig.from_dict(yaml.safe_load(shape))).eval()
seconds = {name: [] for name in codecs}
rows = {}
with torch.no_grad():
    for name, codec in codecs.items():
        audio = torch.randn(1, 1, 98_304) * 0.05  # 4.096 s: whole frames of every hop
        with FlopCounterMode(display=False) as encoding:
            codes = codec.encode(audio)
        with FlopCounterMode(display=False) as decoding:
            codec.decode(codes)
        rows[name] = (encoding.get_total_flops() / 4.096e9, decoding.get_total_flops() / 4.096e9, codes)
    fast = {name: prepare(codec) for name, codec in codecs.items()}
    for turn in range(6):
        for name, codec in fast.items():
            begun = time.process_time()
            codec.decode(rows[name][2])
            if turn > 0:
                seconds[name].append((time.process_time() - begun) / 4.096)
print("| codec | codebooks | frame, ms | ids a second | bit/s | parameters | bytes | encode, GFLOP | decode, GFLOP | decode, CPU s |")
print("|---|---|---|---|---|---|---|---|---|---|")
for name, codec in codecs.items():
    c, count = codec.config, sum(p.numel() for p in codec.parameters())
    print(f"| {name} | {c.num_codebooks} x {c.codebook_size:,} | {1000 / c.frame_rate:.0f} | {c.codes_per_second:.1f} | {c.bits_per_second:.0f} "
          f"| {count:,} | {4 * count:,} | {rows[name][0]:.2f} | {rows[name][1]:.2f} | {sorted(seconds[name])[len(seconds[name]) // 2]:.3f} |")
PYTHON
}

for name in "${candidates[@]}"; do shape "$name" >/dev/null; done
if [ "${SHAPES_ONLY:-0}" = 1 ]; then
    shapes "${candidates[@]}"
    exit
fi
mkdir -p "$out/cache"
out=$(realpath "$out")
critics=(adversarial=null)
[ "${CRITICS:-0}" = 1 ] && critics=()
measured=()
for name in "${candidates[@]}"; do
    mkdir -p "$out/$name"
    [ -e "$out/$name/cache" ] || ln -s "$out/cache" "$out/$name/cache" # decoded once for all
    if [ ! -d "$out/$name/export" ]; then
        $aoede train codec "${RECIPE:-recipes/codec_small_24khz.yaml}" --out "$out/$name" \
            "data.train=[{manifest: $corpus/synthetic/manifest.jsonl}, {manifest: $corpus/recordings/manifest.jsonl, sources: [festvox_ru, asterisk_es, asterisk_fr, asterisk_ru]}]" \
            preset=null "model=$(shape "$name")" "${critics[@]}" "loop.steps=$steps" "schedule.decay_steps=$((steps - steps * 3 / 5))" "quantize_from=$quantize_from" \
            "loop.threads=${THREADS:-1}" "$@"
    fi
    [ -d "$out/$name/export" ] || { echo "$name is not finished: call this again"; exit 0; }
    measured+=("$name=$out/$name/export")
done

words=()
[ -n "${RECOGNISER:-}" ] && words=(--recogniser "$RECOGNISER")
$evaluate evaluate codec "${measured[@]}" "$corpus/synthetic/manifest.jsonl" --split "${SPLIT:-dev}" --limit "${LIMIT:-24}" \
    --level-clips 0 "${words[@]}" --out "$out/report" --results "$out/report.results.md" --title "Codecs after $steps steps each"

shapes "${candidates[@]}"
