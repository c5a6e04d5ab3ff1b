#!/usr/bin/env bash
# A Russian voice from real recordings (festvox_ru: one speaker, 1.6 hours), begun from the bundled English voice.
#
#   runs/russian_voice.sh [CORPUS] [OUT]
#
# CORPUS  folder with recordings/ (default ../shared/corpus); OUT everything it makes (default out).
# Every stage goes on where an earlier call stopped. Measures where RECOGNISER names a folder of a multilingual whisper
# model; SPEECH_MINUTES stops the training after a time. Figures: docs/results/russian_voice.md.
set -euo pipefail
cd "$(dirname "$0")/.."
corpus=${1:-../shared/corpus}
out=${2:-out}
aoede=${AOEDE:-.venv/bin/aoede}
mkdir -p "$out"

# Every clip once slower and once faster too: an hour and a half of one speaker is soon learnt by heart.
"$aoede" prepare "$corpus/recordings/manifest.jsonl" "$out/codes-russian" --source festvox_ru \
    --split train --split dev --speed 0.9 --speed 1.1 --batch-seconds 10

"$aoede" train speech recipes/speech_russian.yaml --out "$out/russian" \
    "data.shards=[$out/codes-russian]" "loop.max_minutes=${SPEECH_MINUTES:-null}"
[ -d "$out/russian/export" ] || { echo "the language model is not finished: call this again"; exit 0; }

if [ -n "${RECOGNISER:-}" ]; then
    "$aoede" evaluate speech "$out/russian/export" "$corpus/recordings/manifest.jsonl" --source festvox_ru \
        --language ru --recogniser "$RECOGNISER" --out "$out/report-russian"
fi
echo "done: aoede speak 'Добрый день.' --voice $out/russian/export -o day.wav"
