#!/usr/bin/env bash
# Makes a trained voice the bundled one, and the documents true again: weights, samples, figures, pictures.
#
#     runs/bundle_voice.sh EXPORT [CORPUS]
#
# EXPORT  voice folder of `aoede train speech`; CORPUS  folder with synthetic/ (default ../shared/corpus).
# RECOGNISER  folder of a whisper model; without it the figures are left as they are, and their test fails until
#             `aoede evaluate speech bundled ...` and docs/results/bundled_voice.py have run
# LIMIT       evaluate at most so many held-out sentences (default: all); OUT  folder of the report (out/report-bundled)
# HEARD       manifests of what the language model learnt from, for `aoede voices` (default: the corpus)
# PYTHON      (.venv/bin/python); JUDGE  another Python with faster-whisper, resemblyzer, distillmos for the evaluation
set -euo pipefail
export_=$(realpath "${1:?runs/bundle_voice.sh EXPORT [CORPUS]: name the voice folder that training wrote}")
cd "$(dirname "$0")/.."
corpus=${2:-../shared/corpus}
python=${PYTHON:-.venv/bin/python}
judge=${JUDGE:-$python}
out=${OUT:-out/report-bundled}
aoede="$python -m aoede.cli.main"

# The modelling files of the export are copies of src/aoede: the package needs none, and no auto_map that names them.
$python - "$export_" <<'PYTHON'
import json, shutil, sys
from pathlib import Path

from aoede.folders import replacing_folder
from aoede.generation import VoiceSettings

source = Path(sys.argv[1])
try:
    target = Path("src/aoede/voices") / VoiceSettings.load(source).name
except ValueError as error:
    sys.exit(str(error))
with replacing_folder(target) as new:
    if target.is_dir():  # the card, what is told of the speakers, the samples
        shutil.copytree(target, new, dirs_exist_ok=True, ignore=lambda *_: ["codec", "model", "voice.json"])
    shutil.copytree(source / "codec", new / "codec")
    shutil.copytree(source / "model", new / "model", ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    shutil.copyfile(source / "voice.json", new / "voice.json")
    config = json.loads((new / "model/config.json").read_text())
    config.pop("auto_map", None)
    (new / "model/config.json").write_text(json.dumps(config, indent=2) + "\n")
    for path in new.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
print(f"bundled {target}")
PYTHON

name=$($python -c 'import sys; from aoede.generation import VoiceSettings; from pathlib import Path
print(VoiceSettings.load(Path(sys.argv[1])).name)' "$export_")
$aoede voices "$name" --samples "src/aoede/voices/$name/samples" --format opus
$python docs/samples/make.py --voice "$name" --corpus "$corpus/synthetic"

[ -n "${RECOGNISER:-}" ] || { echo "bundled, with samples; no RECOGNISER: the figures are still those of before"; exit 0; }
$judge -m aoede.cli.main evaluate speech bundled "$corpus/synthetic/manifest.jsonl" --recogniser "$RECOGNISER" \
    ${LIMIT:+--limit "$LIMIT"} --out "$out"
# shellcheck disable=SC2086 # HEARD may be several
$python docs/results/bundled_voice.py "$out/report.json" --heard ${HEARD:-$corpus/synthetic/manifest.jsonl}
echo "done: read README.md, the card and docs/results/bundled_voice.md outside the marks, and commit"
