#!/usr/bin/env bash
# The bundled voice on a GPU that is lent for minutes, takes and gives back files of limited size, and reaches no registry.
# "Here" is the machine with the corpus and the environment, "there" the one with the GPU; docs/results/bundled_voice_plan.md
# tells the order, the minutes and the megabytes. With a GPU of one's own: run codec, encode, run speech, report, and no more.
#
#   runs/bundled_voice_gpu.sh pack STAGE          here: what a stage needs there, as lots $WORK/in/STAGE-00, -01, ... to carry
#   runs/bundled_voice_gpu.sh take LOT            there: keep a lot that was carried
#   runs/bundled_voice_gpu.sh check               there: GPU, versions, every import that the stages make
#   runs/bundled_voice_gpu.sh probe STAGE         there: 30 full updates on the clock, nothing kept: compare with the plan
#   runs/bundled_voice_gpu.sh run STAGE [K=V ..]  either: train a piece, or to the end; leaves the parts of the first lot in $OUT
#   runs/bundled_voice_gpu.sh give STAGE N        there: the parts of lot N (1, 2, ...) into $OUT, where they are more than one lot
#   runs/bundled_voice_gpu.sh join STAGE LOT ..   here: checks the parts that came back, puts them together as $WORK/runs/STAGE
#   runs/bundled_voice_gpu.sh encode [MANIFEST ..] here, no GPU: codes by the new codec, of train and dev of the corpus and of others
#   runs/bundled_voice_gpu.sh report [STAGE]      here, no GPU: held-out figures of a finished voice (RECOGNISER: a whisper folder)
#
# STAGE is codec, speech or two-stage. A piece that is not finished comes back as its newest checkpoint: join it, pack again,
# and the next lease goes on from there. From the environment (default):
#   WORK (out/gpu)            all that is made       CORPUS (../shared/corpus)   with synthetic/ and recordings/, here
#   PIECE_MINUTES (8)         of a piece             PIECE_STEPS                 updates of a piece, instead
#   CARRY_BYTES (28000000)    of a lot that goes     PART_BYTES (15000000), LOT_PARTS (4)  of the files that come back, and of a lot
#   CODEC_RECIPE, SPEECH_RECIPE, TWO_STAGE_RECIPE (recipes/*_bundled_gpu.yaml)
#   CODEC                     a codec folder, to keep instead of training one        RECORDINGS (festvox_ru, ...) sources to learn from
#   WHEELS                    folder of wheels for packages that are missing there   OUT  where there takes what comes back
#   AOEDE, PYTHON (of .venv; there: this checkout with python3)
set -euo pipefail
cd "$(dirname "$0")/.."
work=${WORK:-out/gpu}
corpus=${CORPUS:-../shared/corpus}
sources=${RECORDINGS-festvox_ru, asterisk_es, asterisk_fr, asterisk_ru}
mkdir -p "$work"
work=$(realpath "$work")

fail() { echo "runs/bundled_voice_gpu.sh: $*" >&2; exit 2; }

stage_of() {
    case ${1:-} in codec | speech | two-stage) ;; *) fail "the stage is ${1:-not given}: codec, speech or two-stage" ;; esac
}

aoede() {
    if [ -n "${AOEDE:-}" ]; then $AOEDE "$@"
    elif [ -x .venv/bin/aoede ]; then .venv/bin/aoede "$@"
    else PYTHONPATH="src:$work/site${PYTHONPATH:+:$PYTHONPATH}" python3 -m aoede.cli.main "$@"; fi
}

python() {
    if [ -n "${PYTHON:-}" ]; then "$PYTHON" "$@"
    elif [ -x .venv/bin/python ]; then .venv/bin/python "$@"
    else PYTHONPATH="src:$work/site${PYTHONPATH:+:$PYTHONPATH}" python3 "$@"; fi
}

# bundle NAME BYTES FOLDER PATH.. : FOLDER/NAME.tar.000 ... of paths under $work, none larger than BYTES, and NAME.sums beside them.
bundle() {
    local name=$1 bytes=$2 folder=$3
    shift 3
    mkdir -p "$folder"
    rm -f "$folder/$name".tar.* "$folder/$name.sums"
    tar -C "$work" -cf - "$@" | split -b "$bytes" -d -a 3 - "$folder/$name.tar."
    (cd "$folder" && sha256sum "$name".tar.*) >"$folder/$name.sums"
}

# unbundle FOLDER: into $work, everything of which all parts are in FOLDER and whole; names what is not.
unbundle() {
    local sums name
    for sums in "$1"/*.sums; do
        [ -e "$sums" ] || continue
        name=$(basename "$sums" .sums)
        if ! (cd "$1" && sha256sum --quiet -c "$name.sums") >&2; then
            fail "$name is not whole: $(wc -l <"$sums") parts belong to it (named above are those missing or damaged); bring them"
        fi
        # The run that is there goes before its newer self is unpacked, so that checkpoints of two pieces never mix.
        [[ $name == run-* ]] && rm -rf "${work:?}/runs/${name#run-}/checkpoints"
        # Only what the list names: parts of an older, longer bundle may lie beside them.
        (cd "$1" && sed 's/^[^ ]*  //' "$name.sums" | xargs cat) | tar -C "$work" -xf -
        rm "$1/$name".tar.* "$sums"
    done
}

# lots NAME: the files of $work/in/NAME into folders NAME-00, NAME-01 ..., none above CARRY_BYTES.
lots() {
    local limit=${CARRY_BYTES:-28000000} number=0 filled=0 file size lot
    rm -rf "$work/in/$1"-[0-9][0-9]
    for file in "$work/in/$1"/*; do
        size=$(stat -c %s "$file")
        [ "$size" -le "$limit" ] || fail "$file has $size bytes, a lot takes $limit: raise CARRY_BYTES"
        if [ $((filled + size)) -gt "$limit" ]; then number=$((number + 1)) filled=0; fi
        lot=$(printf '%s/in/%s-%02d' "$work" "$1" "$number")
        mkdir -p "$lot"
        mv "$file" "$lot/"
        filled=$((filled + size))
    done
    rmdir "$work/in/$1"
    du -sb "$work/in/$1"-[0-9][0-9] | awk '{printf "%s  %.1f MB\n", $2, $1 / 1e6}'
}

# The corpus without its held-out clips, with manifests of its own, as links below $work/corpus.
collect_corpus() {
    python - "$corpus" "$work/corpus" "$sources" <<'PYTHON'
import json, os, shutil, sys
corpus, out, sources = sys.argv[1], sys.argv[2], [word.strip() for word in sys.argv[3].split(",") if word.strip()]
shutil.rmtree(out, ignore_errors=True)
for part in ("synthetic", "recordings"):
    os.makedirs(f"{out}/{part}")
    lines = []
    if os.path.exists(f"{corpus}/{part}/manifest.jsonl"):
        for line in open(f"{corpus}/{part}/manifest.jsonl", encoding="utf-8"):
            clip = json.loads(line)
            if clip["split"] in ("train", "dev") and (part == "synthetic" or clip["source"] in sources):
                target = f"{out}/{part}/{clip['audio']}"
                os.makedirs(os.path.dirname(target), exist_ok=True)
                os.symlink(os.path.realpath(f"{corpus}/{part}/{clip['audio']}"), target)
                lines.append(line)
    open(f"{out}/{part}/manifest.jsonl", "w", encoding="utf-8").writelines(lines)
PYTHON
}

pack() {
    local stage=$1 part=$((${CARRY_BYTES:-28000000} / 2)) folder
    folder=$work/in/$stage
    rm -rf "$folder"
    mkdir -p "$folder"
    if [ -n "${WHEELS:-}" ]; then
        mkdir -p "$work/wheels"
        cp "$WHEELS"/*.whl "$work/wheels/"
        bundle wheels "$part" "$folder" wheels
    fi
    if [ "$stage" = codec ]; then
        collect_corpus
        # -h: the sound itself, where $work/corpus has links.
        bundle corpus "$part" "$folder" -h corpus
    else
        [ -d "$work/codes" ] || fail "no codes in $work/codes: encode first"
        bundle codes "$part" "$folder" codes codec
    fi
    # A run that is not finished goes on there.
    if [ -d "$work/runs/$stage/checkpoints" ] && [ ! -d "$work/runs/$stage/export" ]; then
        bundle "run-$stage" "$part" "$folder" --exclude=cache --exclude=.lock --exclude=tensorboard "runs/$stage"
    fi
    lots "$stage"
}

install_wheels() {
    [ -d "$work/wheels" ] || return 0
    python3 -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade --target "$work/site" "$work"/wheels/*.whl
    rm -rf "$work/wheels"
}

unpack() {
    mkdir -p "$work/taken"
    unbundle "$work/taken"
    install_wheels
}

# train STAGE FOLDER [KEY=VALUE ..]
train() {
    local stage=$1 folder=$2 recipe
    shift 2
    if [ "$stage" = codec ]; then
        [ -d "$work/corpus" ] || collect_corpus
        local data="{manifest: $work/corpus/synthetic/manifest.jsonl}"
        [ -s "$work/corpus/recordings/manifest.jsonl" ] && data+=", {manifest: $work/corpus/recordings/manifest.jsonl}"
        aoede train codec "${CODEC_RECIPE:-recipes/codec_bundled_gpu.yaml}" --out "$folder" "data.train=[$data]" "$@"
        return
    fi
    recipe=${SPEECH_RECIPE:-recipes/speech_bundled_gpu.yaml}
    [ "$stage" = speech ] || recipe=${TWO_STAGE_RECIPE:-recipes/two_stage_bundled_gpu.yaml}
    [ -d "$work/codes" ] || fail "no codes in $work/codes: encode first, or take what pack $stage made"
    aoede train "$stage" "$recipe" --out "$folder" "data.shards=[$(printf '%s\n' "$work"/codes/*/ | sed 's#/$##' | paste -sd,)]" \
        "data.codec=$work/codec" "$@"
}

# What comes back of a stage: the finished thing, or the newest checkpoint; the log and the texts that were read in either case.
bring() {
    local stage=$1 run=runs/$1 kept=(checkpoints) parts
    [ -d "$work/$run/export" ] && kept=(export)
    for name in recipe.yaml metrics.jsonl curves.png tokenizer prompts.json left_out.json; do
        [ -e "$work/$run/$name" ] && kept+=("$name")
    done
    bundle "run-$stage" "${PART_BYTES:-15000000}" "$work/out" "${kept[@]/#/$run/}"
    parts=$(wc -l <"$work/out/run-$stage.sums")
    give "$stage" 0
    echo "$stage: ${kept[0]} in $parts parts, $(cat "$work/out/run-$stage".tar.* | wc -c) bytes"
    for ((lot = 1; lot * ${LOT_PARTS:-4} < parts; lot++)); do echo "  more to bring: give $stage $lot"; done
}

give() {
    local stage=$1 lot=$2 each=${LOT_PARTS:-4} parts
    [ -n "${OUT:-}" ] || return 0 # nothing is brought anywhere: the run stays where it is
    [ -e "$work/out/run-$stage.sums" ] || fail "nothing to give of $stage: run it first"
    mapfile -t parts < <(ls "$work/out/run-$stage".tar.* | tail -n +$((lot * each + 1)) | head -n "$each")
    [ ${#parts[@]} -gt 0 ] || fail "$stage has no lot $lot"
    mkdir -p "$OUT"
    cp "${parts[@]}" "$work/out/run-$stage.sums" "$OUT/"
}

verb=${1:-}
[ -n "$verb" ] && shift
case $verb in
pack)
    stage_of "$@"
    pack "$1"
    ;;
take)
    [ -d "${1:-}" ] || fail "take needs the folder of a lot, not ${1:-nothing}"
    mkdir -p "$work/taken"
    cp "$1"/* "$work/taken/"
    ls -l "$work/taken"
    ;;
check)
    unpack
    nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv,noheader || echo "no GPU"
    python - <<'PYTHON'
import importlib, sys, torch, transformers
print("python", sys.version.split()[0], " torch", torch.__version__, " cuda", torch.cuda.is_available(), " transformers", transformers.__version__)
missing = []
for name in ("soundfile", "soxr", "num2words", "espeakng_loader", "pyarrow", "yaml", "tqdm", "tokenizers", "safetensors", "tensorboard", "matplotlib"):
    try:
        importlib.import_module(name)
    except ImportError as error:
        missing.append(f"{name} ({error})")
for name in ("codec", "speech", "two_stage"):
    importlib.import_module(f"aoede.training.{name}")
print("missing:", ", ".join(missing) or "nothing")
sys.exit(bool(missing))
PYTHON
    ;;
probe)
    stage_of "$@"
    stage=$1
    shift
    unpack
    full=()
    [ "$stage" = codec ] && full=(quantize_from=0 adversarial.start=0)
    train "$stage" "$work/probe-$stage" loop.max_steps=30 loop.log_every=10 loop.eval_every=1000000 loop.tensorboard=false "${full[@]}" "$@"
    nvidia-smi --query-gpu=memory.used,utilization.gpu --format=csv,noheader || true
    python - "$work/probe-$stage" <<'PYTHON'
import json, sys
import yaml
rows = [json.loads(line) for line in open(f"{sys.argv[1]}/metrics.jsonl")]
rates = [row["steps_per_second"] for row in rows if row["phase"] == "train"]
steps = yaml.safe_load(open(f"{sys.argv[1]}/recipe.yaml"))["loop"]["steps"]
print(f"{1000 / rates[-1]:.0f} ms a step after the first {len(rates) * 10 - 10}: all {steps:,} steps take {steps / rates[-1] / 60:.1f} minutes")
PYTHON
    rm -rf "$work/probe-$stage/checkpoints"
    ;;
run)
    stage_of "$@"
    stage=$1
    shift
    unpack
    piece=("loop.max_minutes=${PIECE_MINUTES:-8}")
    [ -n "${PIECE_STEPS:-}" ] && piece=("loop.max_steps=$PIECE_STEPS")
    train "$stage" "$work/runs/$stage" "${piece[@]}" "$@"
    bring "$stage"
    ;;
give)
    stage_of "$@"
    [ -n "${OUT:-}" ] || fail "give copies into \$OUT, which is not set"
    give "$1" "${2:-0}"
    ;;
join)
    stage_of "$@"
    stage=$1
    shift
    [ $# -gt 0 ] || fail "join needs the folders that came back"
    rm -rf "$work/back"
    mkdir -p "$work/back"
    for lot in "$@"; do cp "$lot/run-$stage".* "$work/back/"; done
    chmod -R u+w "$work/back"
    unbundle "$work/back"
    if [ -d "$work/runs/$stage/export" ]; then
        rm -rf "$work/runs/$stage/checkpoints"
        echo "$stage is finished: $work/runs/$stage/export"
    else
        echo "$stage goes on from $(ls "$work/runs/$stage/checkpoints" | tail -n 1): pack $stage, carry the lots, run $stage again"
    fi
    ;;
encode)
    codec=${CODEC:-$work/runs/codec/export}
    [ -d "$codec" ] || fail "the codec is not finished: $codec is missing (CODEC names another)"
    rm -rf "$work/codec"
    cp -r "$codec" "$work/codec"
    number=0
    for manifest in "$corpus/synthetic/manifest.jsonl" "$@"; do
        # Held-out clips stay out; a further manifest names the splits of its clips as well.
        aoede prepare "$manifest" "$work/codes/$(printf '%02d' $number)" --codec "$work/codec" --split train --split dev \
            --speed 0.9 --speed 1.1
        number=$((number + 1))
    done
    du -sb "$work/codes" | awk '{printf "%s  %.1f MB\n", $2, $1 / 1e6}'
    ;;
report)
    stage=${1:-speech}
    stage_of "$stage"
    [ -d "$work/runs/$stage/export" ] || fail "$stage is not finished: $work/runs/$stage/export is missing"
    words=()
    [ -n "${RECOGNISER:-}" ] && words=(--recogniser "$RECOGNISER")
    ${EVALUATE:-aoede} evaluate codec "new=$work/codec" bundled "$corpus/synthetic/manifest.jsonl" "${words[@]}" --out "$work/report-codec"
    ${EVALUATE:-aoede} evaluate speech "$work/runs/$stage/export" "$corpus/synthetic/manifest.jsonl" "${words[@]}" --out "$work/report-$stage"
    ;;
*) sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//p}' "$0"; [ -z "$verb" ] || fail "no verb is called $verb" ;;
esac
