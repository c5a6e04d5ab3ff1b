"""What speech training reads: coded clips become examples, a tokenizer, a vocabulary, and a report.

Owns prompts (phonemised once, cached in the run's folder), the character tokenizer, special tokens found in the data
and the list of what is left out. Knows nothing of models: `speech.py` trains on what this returns.
"""

import dataclasses
import hashlib
import json
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import AddedToken, Regex, Tokenizer
from tokenizers import models as tokenizer_models
from tokenizers.pre_tokenizers import Split
from tqdm import tqdm
from transformers import AutoConfig, AutoTokenizer, PreTrainedTokenizerFast

from aoede.codec import Snac
from aoede.data.codes import CodedClip, load_codes
from aoede.data.collate import LeftOut, SpeechExample, speech_examples
from aoede.data.phonemes import SYMBOLS
from aoede.data.text import TextFrontEnd, find_events
from aoede.tokens import CodecVocabulary, FrameLayout
from aoede.training.from_voice import StartingVoice


@dataclass(frozen=True, kw_only=True)
class SpeechDataConfig:
    """Which clips, and how their texts are read."""

    shards: tuple[str, ...]
    """Folders that `aoede prepare` wrote."""

    codec: str | None = None
    """Folder of the codec that made the codes; it goes into the voice. None: the codec of the voice that training
    begins from (`model.init`)."""

    train_split: str = "train"
    dev_split: str = "dev"
    speakers: tuple[str, ...] | None = None
    """Keep these only; the first is the voice's default speaker. None: all, sorted by name."""

    languages: tuple[str, ...] | None = None
    sources: tuple[str, ...] | None = None
    max_ids: int | None = None
    """Longer examples (prompt, markers and codes together) are left out, and reported."""

    dev_clips: int | None = None
    """Evaluate on so many clips of the evaluation split, the same ones every time; None, or more than there are: all.
    A large model on a CPU spends minutes on a whole split."""

    layout: str | None = None
    """Order of the slots, such as CMMFFFF; None: that of `model.init`'s voice, else depth first, for the codec's
    strides."""

    text: TextFrontEnd | None = None
    """How texts are read; events are found in them and need not be listed. None: as `model.init`'s voice reads, else
    English as it is written."""

    def __post_init__(self) -> None:
        if not self.shards:
            raise ValueError("shards is empty; name at least one folder that `aoede prepare` wrote")
        if self.train_split == self.dev_split:
            raise ValueError(f"train_split and dev_split are both {self.train_split!r}; evaluation needs other clips")
        if self.dev_clips is not None and self.dev_clips < 1:
            raise ValueError(f"dev_clips is {self.dev_clips}, but must be 1 or more (null takes the whole split)")


@dataclass(frozen=True, kw_only=True)
class SpeechData:
    """All that training and the voice folder need of the data."""

    train: list[SpeechExample]
    dev: list[SpeechExample]
    tokenizer: Any
    vocabulary: CodecVocabulary
    front_end: TextFrontEnd
    speakers: tuple[str, ...]
    codes_per_second: float
    report: list[str]
    """Lines for a person."""

    @property
    def pad_id(self) -> int:
        return self.tokenizer.pad_token_id or 0

    @property
    def speaker_ids(self) -> dict[str, int]:
        """Speaker -> id of the token that names it in the prompt."""
        return {s: self.tokenizer.convert_tokens_to_ids(speaker_token(self.front_end, s)) for s in self.speakers}

    @property
    def hours(self) -> float:
        """Of the training clips."""
        return sum(example.seconds for example in self.train) / 3600

    @property
    def mean_text_stride(self) -> float:
        """Codes a text id, over all training clips."""
        return sum(e.num_codes for e in self.train) / sum(e.num_text for e in self.train)

    @property
    def pace(self) -> dict[str, tuple[float, float]]:
        """Speaker -> (audio seconds a text id, seconds besides), of the training clips."""
        found: dict[str, tuple[float, float]] = {}
        for speaker in self.speakers:
            own = [example for example in self.train if example.speaker == speaker]
            if not own:
                continue
            units = [example.num_text for example in own]
            found[speaker] = fit_pace(units, [example.num_codes / self.codes_per_second for example in own])
        return found


def pick(examples: Sequence[SpeechExample], count: int) -> list[SpeechExample]:
    """So many examples in their order, drawn by a fixed seed: of one list always the same, a smaller pick within a
    larger one. Drawn rather than spaced evenly, since speakers may take turns in the list."""
    order = np.random.default_rng(0).permutation(len(examples))
    return [examples[i] for i in sorted(order[:count].tolist())]


def fit_pace(num_text: Sequence[int], audio_seconds: Sequence[float]) -> tuple[float, float]:
    """Audio seconds a text id, and seconds besides: the least-squares line through clips.

    Where the line would fall or start below zero (few clips, all of one length), the mean pace and no offset.
    """
    units, seconds = np.array(num_text, dtype=np.float64), np.array(audio_seconds, dtype=np.float64)
    if units.var() > 0:
        slope = float(np.cov(units, seconds, bias=True)[0, 1] / units.var())
        start = float(seconds.mean() - slope * units.mean())
        if slope > 0 and start > 0:
            return slope, start
    return float(seconds.sum() / units.sum()), 0.0


def speaker_token(front_end: TextFrontEnd, speaker: str) -> str:
    """How a speaker stands in a prompt."""
    return front_end.speaker_token.format(speaker=speaker)


def load_speech_data(
    config: SpeechDataConfig, codec: Snac, base: str | None, out_dir: Path, start: StartingVoice | None = None
) -> SpeechData:
    """Read shards, make prompts, tokenizer, vocabulary and examples.

    Args:
        base: folder of a pretrained model whose tokenizer is extended; None makes a character tokenizer.
        out_dir: the run's folder; keeps `prompts.json` (phonemised once), `tokenizer/` (of the first start: ids must
            not move under a run that is resumed) and `left_out.json`.
    Raises:
        ValueError: nothing to train or evaluate on, a clip in both splits, codes of another codec.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    chosen = {"speakers": config.speakers, "languages": config.languages, "sources": config.sources}
    clips = {
        name: load_codes(config.shards, split=split, codec=codec, **chosen)
        for name, split in (("train", config.train_split), ("dev", config.dev_split))
    }
    _check_splits(clips["train"], clips["dev"])
    found = find_events(clip.text for clip in [*clips["train"], *clips["dev"]])
    text = config.text or (TextFrontEnd() if start is None else start.settings.text)
    front_end = dataclasses.replace(text, events=tuple(dict.fromkeys([*text.events, *sorted(found)])))
    speakers = config.speakers or tuple(sorted({clip.speaker for clip in clips["train"]}))
    left_out = {name: LeftOut() for name in clips}
    prompts = _Prompts(out_dir / "prompts.json", front_end)
    paired = {name: list(prompts.of(clips[name], left_out[name])) for name in clips}
    prompts.save()

    specials = [*(speaker_token(front_end, speaker) for speaker in speakers), *front_end.events]
    symbols = SYMBOLS if front_end.phonemes else ""
    tokenizer = load_or_make_tokenizer(
        out_dir / "tokenizer",
        base if start is None else start.model_folder,
        specials,
        (prompt for _, prompt in paired["train"]),
        symbols,
        grow=start is not None,
    )
    if config.layout is None and start is not None:
        layout = start.vocabulary.layout
    else:
        layout = FrameLayout(config.layout) if config.layout else FrameLayout.depth_first(codec.config.vq_strides)
    if layout.codes_per_frame != codec.config.codes_per_frame:
        raise ValueError(
            f"layout {layout} has {layout.codes_per_frame} codes a frame, the codec {codec.config.codes_per_frame}"
        )
    text_size = len(tokenizer)
    if start is not None:
        text_size = max(text_size, start.vocabulary.text_size)
    elif base is not None:
        text_size = max(text_size, AutoConfig.from_pretrained(base).get_text_config().vocab_size)
    vocabulary = CodecVocabulary.extend(text_size, layout, [codec.config.codebook_size] * layout.num_levels)

    def tokenize(prompt: str) -> list[int]:
        ids: list[int] = tokenizer(prompt)["input_ids"]
        return ids

    examples = {
        name: speech_examples(pairs, tokenize, vocabulary, left_out[name], max_ids=config.max_ids)
        for name, pairs in paired.items()
    }
    report = [] if start is None else [start.describe(tokenizer.get_vocab())]
    for name, kept in examples.items():
        if not kept:
            raise ValueError(f"no clip of split {name!r} can be used; {left_out[name]}")
        minutes = sum(example.seconds for example in kept) / 60
        heard = len({example.speaker for example in kept})
        report.append(f"{name}: {len(kept):,} clips, {minutes:.1f} min, {heard} speakers; {left_out[name]}")
    if config.dev_clips is not None and config.dev_clips < len(examples["dev"]):
        report.append(f"dev: {config.dev_clips:,} of these clips are evaluated (dev_clips)")
        examples["dev"] = pick(examples["dev"], config.dev_clips)
    shared = {clip.text for clip in clips["train"]} & {clip.text for clip in clips["dev"] if clip.text.strip()}
    if shared:
        report.append(f"dev: {len(shared):,} texts also stand in the training split: its loss looks better than it is")
    unknown = _count_unknown(examples["dev"], tokenizer)
    if unknown:
        report.append(f"dev: {unknown:,} text ids are unknown to the tokenizer ({tokenizer.unk_token})")
    _write_json(out_dir / "left_out.json", {name: notes.reasons for name, notes in left_out.items()})
    return SpeechData(
        train=examples["train"],
        dev=examples["dev"],
        tokenizer=tokenizer,
        vocabulary=vocabulary,
        front_end=front_end,
        speakers=tuple(speakers),
        codes_per_second=codec.config.codes_per_second,
        report=report,
    )


def character_tokenizer(
    prompts: Iterable[str], specials: Sequence[str], symbols: str = "", first: Sequence[str] = ()
) -> PreTrainedTokenizerFast:
    """A tokenizer of single characters: <pad>, <unk>, the special tokens, `symbols` and whatever else prompts hold.

    `first` are the tokens of an older one, which keep their ids; others follow in that order."""
    seen = set(symbols)
    for prompt in prompts:
        for special in specials:
            prompt = prompt.replace(special, "")
        seen.update(prompt)
    tokens = list(dict.fromkeys([*first, "<pad>", "<unk>", *specials, *sorted(seen)]))
    specials = [token for token in tokens if len(token) > 1 and token not in ("<pad>", "<unk>")]
    inner = Tokenizer(tokenizer_models.WordLevel({token: i for i, token in enumerate(tokens)}, unk_token="<unk>"))
    inner.pre_tokenizer = Split(Regex(r"[\s\S]"), "isolated")
    inner.add_special_tokens([AddedToken(s, special=True, normalized=False) for s in ("<pad>", "<unk>", *specials)])
    return PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="<pad>", unk_token="<unk>")


def load_or_make_tokenizer(
    folder: Path,
    base: str | None,
    specials: Sequence[str],
    prompts: Iterable[str],
    symbols: str = "",
    *,
    grow: bool = False,
) -> Any:
    """The tokenizer a run began with; at its first start the base's with the special tokens, or one of characters.

    `grow`: a base's tokenizer of characters gets those of `prompts` and `symbols` too."""
    if folder.is_dir():
        tokenizer = AutoTokenizer.from_pretrained(folder)
        missing = [token for token in specials if token not in tokenizer.get_vocab()]
        if missing:
            raise ValueError(
                f"{missing[0]} is in the data, but not in the tokenizer this run began with ({folder}); "
                "a run keeps its tokens: start another one with another --out"
            )
        return tokenizer
    if base is None:
        tokenizer = character_tokenizer(prompts, specials, symbols)
    else:
        tokenizer = AutoTokenizer.from_pretrained(base)
        if grow and isinstance(tokenizer.backend_tokenizer.model, tokenizer_models.WordLevel):
            known: dict[str, int] = tokenizer.get_vocab()
            tokenizer = character_tokenizer(prompts, specials, symbols, sorted(known, key=known.__getitem__))
        else:
            tokenizer.add_tokens([AddedToken(s, special=True, normalized=False) for s in specials], special_tokens=True)
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}")
    tokenizer.save_pretrained(temporary)
    os.rename(temporary, folder)
    # Read back, so that the first start and a resumed one use the very same object.
    return AutoTokenizer.from_pretrained(folder)


class _Prompts:
    """Prompts by speaker and text, kept in a file for the next start."""

    def __init__(self, path: Path, front_end: TextFrontEnd) -> None:
        self.path, self.front_end = path, front_end
        self.key = hashlib.sha256(json.dumps(front_end.to_dict(), sort_keys=True).encode()).hexdigest()[:16]
        self.known: dict[str, list[str]] = {}
        self.is_new = True
        if path.is_file():
            stored = json.loads(path.read_text(encoding="utf-8"))
            if stored["key"] == self.key:
                self.known, self.is_new = stored["prompts"], False

    def of(self, clips: Sequence[CodedClip], left_out: LeftOut) -> Iterable[tuple[CodedClip, str]]:
        """Each clip with its prompt; a clip whose text cannot be read is noted and skipped."""
        for clip in tqdm(clips, desc="texts", unit="clip", leave=False, disable=None, file=sys.stderr):
            if not clip.text.strip():
                left_out.add("without text", clip.id)
                continue
            name = f"{clip.speaker}\t{clip.text}"
            if name not in self.known:
                self.is_new = True
                self.known[name] = self._read(clip)
            status, result = self.known[name]
            if status == "ok":
                yield clip, result
            else:
                left_out.add(f"refused: {result}", clip.id)

    def _read(self, clip: CodedClip) -> list[str]:
        try:
            return ["ok", self.front_end.prompt(clip.text, clip.speaker)]
        except ValueError as error:
            return ["refused", str(error)]

    def save(self) -> None:
        if self.is_new:
            _write_json(self.path, {"key": self.key, "prompts": self.known})


def _check_splits(train: Sequence[CodedClip], dev: Sequence[CodedClip]) -> None:
    shared = {(clip.source, clip.id) for clip in train} & {(clip.source, clip.id) for clip in dev}
    if shared:
        raise ValueError(f"clip {sorted(shared)[0][1]} is in the training and the evaluation split ({len(shared)} are)")


def _count_unknown(examples: Sequence[SpeechExample], tokenizer: Any) -> int:
    if tokenizer.unk_token_id is None:
        return 0
    return sum(int((e.ids[: e.num_text] == tokenizer.unk_token_id).sum()) for e in examples)


def _write_json(path: Path, value: Any) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(value, ensure_ascii=False, indent=1), encoding="utf-8")
    os.replace(temporary, path)
