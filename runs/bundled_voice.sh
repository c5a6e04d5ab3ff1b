#!/usr/bin/env bash
# The bundled voice, end to end: codec, codes, language model, report. Reads the corpus that its licence notes describe.
#
#   runs/bundled_voice.sh [CORPUS] [OUT]
#
# CORPUS  folder with synthetic/ and recordings/ (default ../shared/corpus); OUT everything it makes (default out).
# Every stage goes on where an earlier call stopped, so the whole may be called again until it is done. It runs on two
# CPU cores in a few hours (figures: docs/results/bundled_voice.md) and uses a GPU where there is one.
# Stop a stage after a time with CODEC_MINUTES, SPEECH_MINUTES; evaluate with RECOGNISER=folder of a whisper model.
# MORE=manifest of further clips of the same speakers, each with "split": "train" (../shared/tools/synthesise.py speaks corpora/aoede-small/everyday.tsv):
# the language model learns from them too. To train the language model alone, on the codes that come with the repository:
# aoede train speech recipes/speech_bundled.yaml --out out/speech
set -euo pipefail
cd "$(dirname "$0")/.."
corpus=${1:-../shared/corpus}
out=${2:-out}
aoede=${AOEDE:-.venv/bin/aoede}
mkdir -p "$out"

"$aoede" train codec recipes/codec_small_24khz.yaml --out "$out/codec" \
    "data.train=[{manifest: $corpus/synthetic/manifest.jsonl}, {manifest: $corpus/recordings/manifest.jsonl, sources: [festvox_ru, asterisk_es, asterisk_fr, asterisk_ru]}]" \
    "loop.max_minutes=${CODEC_MINUTES:-null}"
[ -d "$out/codec/export" ] || { echo "the codec is not finished: call this again"; exit 0; }

# Every clip of every speaker, and each once slower and once faster: the same words by 52 more voices.
"$aoede" prepare "$corpus/synthetic/manifest.jsonl" "$out/codes" --codec "$out/codec/export" \
    --split train --split dev --speed 0.9 --speed 1.1

shards=$out/codes
if [ -n "${MORE:-}" ]; then
    "$aoede" prepare "$MORE" "$out/codes-more" --codec "$out/codec/export" --split train --speed 0.9 --speed 1.1
    shards=$shards,$out/codes-more
fi

"$aoede" train speech recipes/speech_bundled.yaml --out "$out/speech" \
    "data.shards=[$shards]" "data.codec=$out/codec/export" "loop.max_minutes=${SPEECH_MINUTES:-null}"
[ -d "$out/speech/export" ] || { echo "the language model is not finished: call this again"; exit 0; }

if [ -n "${RECOGNISER:-}" ]; then
    "$aoede" evaluate codec "$out/codec/export" "$corpus/synthetic/manifest.jsonl" --recogniser "$RECOGNISER" --out "$out/report-codec"
    "$aoede" evaluate speech "$out/speech/export" "$corpus/synthetic/manifest.jsonl" --recogniser "$RECOGNISER" --out "$out/report-speech"
fi
echo "done: aoede speak 'Hello there.' --voice $out/speech/export -o hello.wav"
