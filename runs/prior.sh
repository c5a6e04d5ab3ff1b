#!/usr/bin/env bash
# A small prior over eight languages of real recordings and text, end to end: corpus, packing, mixture, training, likelihood.
#
#   runs/prior.sh [CORPUS] [OUT] [KEY=VALUE ...]
#
# CORPUS  folder with recordings/ and texts/ (default ../shared/corpus); OUT everything it makes (default out/prior); further
# words change recipes/prior_small.yaml. Every step goes on where it was when the script is started again, also after
# kill -9. On one core of an AMD EPYC: corpus 6 minutes, packing and mixture seconds, training a quarter of an hour.
set -euo pipefail
cd "$(dirname "$0")/.."
corpus=$(realpath "${1:-../shared/corpus}")
out=${2:-out/prior}
shift $(($# < 2 ? $# : 2))
aoede=${AOEDE:-.venv/bin/aoede}
mkdir -p "$out"
out=$(realpath "$out")

sed "s#path: recordings/#path: $corpus/recordings/#; s#path: texts/#path: $corpus/texts/#" runs/prior/corpus.yaml >"$out/corpus.yaml"
cp runs/prior/mixture.yaml "$out/mixture.yaml"

$aoede prepare "$out/corpus.yaml" "$out/corpus" ${WORKERS:+--workers "$WORKERS"}
$aoede pack "$out/corpus" --tokenizer bytes --vocabulary extend --max-tokens 1024 --out "$out/packed"
[ -e "$out/plan/mixture.json" ] || $aoede mix "$out/mixture.yaml" --out "$out/plan"
$aoede mix --check "$out/plan"
$aoede train prior recipes/prior_small.yaml --out "$out/run" "plan=$out/plan" rows_per_step=2 "$@"
[ -d "$out/run/export" ] || { echo "not finished: call this again"; exit 0; }
$aoede evaluate likelihood "$out/run/export" "$out/plan" --out "$out/likelihood"
