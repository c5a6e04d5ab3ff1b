#!/usr/bin/env bash
# The bundled codec is fine-tuned on a language it has never heard (Czech), and what that gave is printed.
#
#   runs/codec_finetune.sh [CORPUS] [OUT] [KEY=VALUE ...]
#
# CORPUS  folder with recordings/ (default ../shared/corpus); OUT everything it makes (default out/finetune); further words
# change the recipe: decoder_only=true bypass=0 keeps every code valid, objective=l1_stft takes the light loss.
# CODEC   the codec to start from (default: the bundled one); FINETUNE_MINUTES stops after a time, the same call goes on.
# It prints validation figures before the first step and after the best one (recipes/codec_finetune_cpu.yaml has sizes and
# expected time). Then evaluate on held-out files: the last lines say how.
set -euo pipefail
cd "$(dirname "$0")/.."
corpus=${1:-../shared/corpus}
out=${2:-out/finetune}
shift $(($# < 2 ? $# : 2))
aoede=${AOEDE:-.venv/bin/aoede}
codec=${CODEC:-src/aoede/voices/aoede-small/codec}
mkdir -p "$out"

"$aoede" train codec recipes/codec_finetune_cpu.yaml --out "$out" "init=$codec" \
    "data.train=[{manifest: $corpus/recordings/manifest.jsonl, sources: [fillets_cs]}]" \
    "loop.max_minutes=${FINETUNE_MINUTES:-null}" "$@"
[ -d "$out/export" ] || { echo "not finished: call this again"; exit 0; }

echo "figures: $out/metrics.jsonl (phases eval and change), curves: $out/curves.png"
echo "on files that nothing was chosen by, both codecs side by side:"
echo "  $aoede evaluate codec before=$codec after=$out/export $corpus/recordings/manifest.jsonl \\"
echo "      --source fillets_cs --split heldout --out $out/report"
