"""A voice from minutes of audio: a few trained columns in front of every conversation, the model untouched.

In: recordings of one voice with their texts. Predicted: every code of them, each recording a row of its own behind the
columns. Averaged over the codes of a batch; the columns that were best on recordings held back are kept. Owns the
steps; the columns are `aoede.models.two_stage.prompts`'s, the file `aoede.generation.voice_prompt`'s.
"""

import copy
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm
from transformers import AutoTokenizer

from aoede.codec import Snac
from aoede.data.batches import encode_shard
from aoede.data.codes import REPORT, CodedClip, load_codes
from aoede.data.collate import IGNORED, LeftOut
from aoede.data.conversation import Conversation, ConversationProcessor, EncodedConversation, Message, Sound, TurnText
from aoede.data.manifest import load_manifest
from aoede.generation.voice_folder import VoiceSettings, find_voice
from aoede.generation.voice_prompt import VoicePrompt, voice_as_named
from aoede.models import TwoStageModel
from aoede.models.two_stage.prompts import VoicePrefix
from aoede.training.schedule import ScheduleConfig, factor
from aoede.training.two_stage_data import RowBatches, collate

_JITTER = 0.1


@dataclass(frozen=True, kw_only=True)
class VoicePromptConfig:
    """How a voice is learnt."""

    kind: Literal["prefix", "prompt"] = "prefix"
    """`prefix`: keys and values of every layer; `prompt`: vectors as long as a frame's, fewer numbers."""

    length: int = 16
    """Columns."""

    steps: int = 200
    lr: float = 1e-2
    """Peak rate of Adam: warmed up over a tenth of the steps, then falling like a cosine to a tenth."""

    frames_per_batch: int = 1024
    """Rows times the longest row."""

    held_back: float = 0.15
    """Share of the recordings on which the columns are judged (one at least), where there are three or more."""

    eval_every: int = 20
    speaker: str | None = None
    """A name of the voice's to write turns with; None: no name, as a voice that is none of them."""

    name: str | None = None
    """Of the new voice; None: the file's."""

    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("length", "steps", "frames_per_batch", "eval_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, but must be 1 or more")
        if not self.lr > 0.0:
            raise ValueError(f"lr is {self.lr}, but must be above 0")
        if not 0.0 <= self.held_back < 1.0:
            raise ValueError(f"held_back is {self.held_back}, but must lie in [0, 1): it is a share")


@dataclass(frozen=True, kw_only=True)
class LearntVoice:
    """What `learn` found; `str()` is for a person."""

    prefix: VoicePrefix
    before: float
    """Mean loss of a code of the judged recordings without the columns."""

    after: float
    best_step: int
    is_held_back: bool
    """Whether they were held back from training."""

    def __str__(self) -> str:
        judged = "recordings held back" if self.is_held_back else "the recordings themselves (too few to hold any back)"
        return (
            f"loss of a code on {judged}: {self.before:.3f} without, {self.after:.3f} with the {self.prefix.kind} "
            f"(step {self.best_step:,}; {self.prefix.num_parameters:,} numbers)"
        )


def train(voice: str | Path, recordings: str | Path, out: str | Path, config: VoicePromptConfig) -> Path:
    """Learn a voice and write its file.

    Args:
        voice: a two-stage voice: its folder, bundled name or hub repository.
        recordings: a manifest of the voice's recordings with texts (minutes of them), or a folder that `aoede prepare`
            made of one with the voice's codec.
        out: the file, `.safetensors` by custom.
    Returns:
        `out`.
    Raises:
        ValueError: no two-stage voice, no recording that can be used, codes of another codec, an unknown speaker.
    """
    folder, out = find_voice(voice), Path(out)
    settings = VoiceSettings.load(folder)
    if settings.kind != "two-stage":
        raise ValueError(f"{folder} is a flat voice; voice prompts are for two-stage voices (aoede train two-stage)")
    if config.speaker is not None and config.speaker not in settings.speakers:
        raise ValueError(f"{folder} has no speaker {config.speaker!r}; it has {', '.join(settings.speakers)}")
    codec = Snac.from_pretrained(folder / "codec")
    model = TwoStageModel.from_pretrained(folder / "model", dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    turn = settings.turn or TurnText(front_end=settings.text)
    processor = ConversationProcessor.for_model(model.config, tokenizer, text=turn, codec=codec)
    left_out = LeftOut()
    clips = coded_recordings(recordings, codec, left_out)
    rows = [_row(processor, clip, config.speaker) for clip in clips]
    minutes = sum(clip.seconds for clip in clips) / 60
    print(f"{len(rows)} recordings, {minutes:.1f} min; {left_out}", file=sys.stderr)
    learnt = learn(model, rows, config)
    print(learnt, file=sys.stderr)
    inputs: dict[str, Any] = learnt.prefix.inputs()
    named = voice_as_named(voice, out)
    made = VoicePrompt.of(model, name=config.name or out.stem, speaker=config.speaker, voice=named, **inputs)
    return made.save(out)


def coded_recordings(recordings: str | Path, codec: Snac, left_out: LeftOut) -> list[CodedClip]:
    """The recordings as codes; those without text, or that cannot be read, are noted.

    Raises:
        ValueError: none is left.
    """
    path = Path(recordings)
    if path.is_dir() and (path / REPORT).is_file():
        clips = load_codes(path, codec=codec)
    else:
        listed = load_manifest(recordings)
        with tqdm(total=len(listed), desc="codes", unit="clip", leave=False, disable=None, file=sys.stderr) as bar:
            shard = encode_shard(listed, codec, batch_seconds=30.0, workers=1, done=bar.update)
        clips = shard.coded
        for entry in shard.rejected:
            left_out.add(entry["reason"], entry["id"])
    for clip in clips:
        if not clip.text.strip():
            left_out.add("without text", clip.id)
    usable = [clip for clip in clips if clip.text.strip() and len(clip.codes[0])]
    if not usable:
        raise ValueError(f"{recordings}: no recording can be used; {left_out}")
    return usable


def learn(model: TwoStageModel, rows: Sequence[EncodedConversation], config: VoicePromptConfig) -> LearntVoice:
    """Train columns on rows of one voice. The model stands still: it is put into eval mode, and its weights need no
    gradient afterwards."""
    model.train(False).requires_grad_(False)
    order = np.random.default_rng(config.seed).permutation(len(rows)).tolist()
    count = max(1, round(config.held_back * len(rows))) if config.held_back > 0.0 and len(rows) >= 3 else 0
    judged = [rows[i] for i in order[:count]] or list(rows)
    trained = [rows[i] for i in order[count:]]
    longest = max(trained, key=lambda row: row.num_frames)
    prefix = VoicePrefix.from_frames(model, longest.frames, config.kind, config.length)
    budget = max(config.frames_per_batch, longest.num_frames)
    batches = RowBatches(_Fixed(trained), budget, seed=config.seed)
    optimizer = torch.optim.Adam(prefix.parameters(), lr=config.lr)
    schedule = ScheduleConfig(kind="cosine", warmup_steps=max(1, config.steps // 10), final=0.1)
    before = _loss(model, judged, None, config)
    best, best_step, kept = math.inf, 0, copy.deepcopy(prefix.state_dict())
    with tqdm(total=config.steps, desc=config.kind, unit="step", leave=False, disable=None, file=sys.stderr) as bar:
        for step in range(config.steps + 1):
            if step % config.eval_every == 0 or step == config.steps:
                value = _loss(model, judged, prefix, config)
                bar.set_postfix({"loss": f"{value:.3f}"})
                if value < best:
                    best, best_step, kept = value, step, copy.deepcopy(prefix.state_dict())
            if step == config.steps:
                break
            generator = np.random.default_rng((config.seed, 1, step))
            batch = _batch(model, [trained[i] for i in batches.batch(step)[1]], generator)
            loss = model(**batch, **prefix.inputs(), return_logits=False).loss
            if not bool(torch.isfinite(loss)):
                raise ValueError(f"the loss is {float(loss)} at step {step}: lower lr ({config.lr})")
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(prefix.parameters(), 1.0)
            for group in optimizer.param_groups:
                group["lr"] = config.lr * factor(schedule, step, config.steps)
            optimizer.step()
            bar.update()
    prefix.load_state_dict(kept)
    return LearntVoice(prefix=prefix, before=before, after=best, best_step=best_step, is_held_back=count > 0)


class _Fixed:
    """Rows that are the same in every epoch."""

    def __init__(self, rows: Sequence[EncodedConversation]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def lengths(self, epoch: int) -> list[int]:
        return [row.num_frames for row in self.rows]

    def row(self, epoch: int, index: int) -> EncodedConversation:
        return self.rows[index]


def _row(processor: ConversationProcessor, clip: CodedClip, speaker: str | None) -> EncodedConversation:
    message = Message(role=speaker or "", text=clip.text, sound=Sound(codes=tuple(clip.codes)))
    return processor.encode(Conversation(messages=(message,), training_mask=(True,), id=clip.id))


def _batch(
    model: TwoStageModel, rows: Sequence[EncodedConversation], generator: np.random.Generator | None
) -> dict[str, Tensor]:
    paces = model.config.text_stride is not None
    return collate(rows, has_paces=paces, jitter=_JITTER, generator=generator)


@torch.no_grad()
def _loss(
    model: TwoStageModel, rows: Sequence[EncodedConversation], prefix: VoicePrefix | None, config: VoicePromptConfig
) -> float:
    """Mean loss of a code over rows."""
    budget = max(config.frames_per_batch, max(row.num_frames for row in rows))
    total = count = 0.0
    for items in RowBatches(_Fixed(rows), budget, spread=0.0).epoch(0):
        batch = _batch(model, [rows[i] for i in items.tolist()], None)
        trained = batch["labels"] != IGNORED
        inputs: dict[str, Any] = {} if prefix is None else prefix.inputs()
        inputs |= {"frames": trained[..., 0], "text_stride": batch.get("text_stride")}
        found = model.log_probs(batch["input_ids"], **inputs)
        total -= float(found[trained].sum())
        count += int(trained.sum())
    return total / count
