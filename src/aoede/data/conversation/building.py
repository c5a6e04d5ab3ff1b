"""Conversations from single utterances: of each speaker, with earlier utterances of the same speaker as context.

Owns which utterances stand together and in which order: a pure function of their ids and a seed, so that adding a
speaker or a clip leaves the others' order alone. Splits never mix. Opens no sound.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..codes import load_codes
from ..collate import LeftOut
from ..manifest import load_manifest
from ..saving import check_target, replacing
from .messages import Conversation, Message, Sound
from .reading import lines_of

Order = Literal["shuffled", "manifest"]
Train = Literal["last", "all"]
Roles = Literal["name", "number"]


@dataclass(frozen=True, kw_only=True)
class Built:
    """What `build_conversations` made; `str()` is for a person."""

    conversations: list[Conversation]
    left_out: LeftOut
    speakers: dict[str, int]
    """Split -> speakers in it."""

    def __str__(self) -> str:
        turns = [len(one.messages) for one in self.conversations]
        trained = sum(sum(one.training_mask) for one in self.conversations)
        context = sum(turns) - trained
        lines = [
            f"{len(turns):,} conversations, {sum(turns):,} turns: {trained:,} trained, {context:,} context; "
            f"{turns.count(1):,} of one turn"
        ]
        width = max(len(split or "(no split)") for split in self.speakers)
        for split, speakers in self.speakers.items():
            count = sum(one.split == split for one in self.conversations)
            words = f"{_count(count, 'conversation')}, {_count(speakers, 'speaker')}"
            lines.append(f"  {split or '(no split)':<{width}}  {words}")
        if self.left_out.count:
            lines.append(str(self.left_out))
        return "\n".join(lines)


@dataclass(frozen=True, kw_only=True)
class _Utterance:
    id: str
    text: str
    speaker: str
    language: str
    source: str
    split: str
    sound: Sound | None


def build_conversations(
    source: str | os.PathLike[str],
    *,
    context: int,
    seed: int = 0,
    order: Order = "shuffled",
    train: Train = "last",
    roles: Roles = "name",
    splits: Sequence[str] | None = None,
    speakers: Sequence[str] | None = None,
) -> Built:
    """Make conversations of a manifest's utterances, or of a prepared folder's.

    Each speaker's utterances of a split stand in one order. With `train="last"` there is a conversation for each
    utterance: it is trained, and the `context` before it (fewer for the first) are not. With `train="all"` the order is
    cut into pieces of `context + 1`, all trained: every utterance once, and no sound is read twice.

    Args:
        source: a manifest (`load_manifest`), or a folder that `aoede prepare` made of one.
        context: earlier turns, 0 or more.
        seed: of the order.
        order: drawn anew from the seed, or as they are listed.
        roles: the speaker's name, or "0" for each (a conversation here has one speaker).
        splits, speakers: keep only these.
    Returns:
        The conversations in the order of their last utterances' listing, and what was left out: utterances without
        text, speaker or sound file.
    Raises:
        ValueError: nothing to build from, or a setting that is none.
    """
    if context < 0:
        raise ValueError(f"context is {context}; 0 or more earlier turns can stand before an utterance")
    for name, value, known in (
        ("order", order, ("shuffled", "manifest")),
        ("train", train, ("last", "all")),
        ("roles", roles, ("name", "number")),
    ):
        if value not in known:
            raise ValueError(f"{name} is {value!r}; it may be {', '.join(known)}")
    left_out = LeftOut()
    groups: dict[tuple[str, str], list[tuple[int, _Utterance]]] = {}
    for place, utterance in enumerate(_utterances(source, splits, speakers)):
        lacking = [name for name in ("text", "speaker") if not getattr(utterance, name).strip()]
        if lacking:
            left_out.add(f"without {' and '.join(lacking)}", utterance.id)
        elif utterance.sound is None:
            left_out.add("whose sound is no file of its own", utterance.id)
        elif utterance.sound.path is not None and not os.path.isfile(utterance.sound.path):
            left_out.add("whose sound file is missing", utterance.id)
        else:
            groups.setdefault((utterance.split, utterance.speaker), []).append((place, utterance))
    if not groups:
        raise ValueError(f"{os.fspath(source)}: no utterance can be used; {left_out}")
    made: list[tuple[int, Conversation]] = []
    for group in groups.values():
        if order == "shuffled":
            group.sort(key=lambda entry: (_draw(seed, entry[1].id), entry[0]))
        for piece in _pieces(group, context, train):
            made.append((piece[-1][0], _conversation([entry for _, entry in piece], train, roles)))
    counts = {split: len({name for s, name in groups if s == split}) for split, _ in groups}
    ordered = [conversation for _, conversation in sorted(made, key=lambda entry: entry[0])]
    return Built(conversations=ordered, left_out=left_out, speakers=counts)


def check_new(path: str | os.PathLike[str], overwrite: bool) -> None:
    """Raises ValueError where a file of conversations cannot be written, before anything is read for it."""
    target = check_target(path)
    if target.suffix.lower() != ".jsonl":
        raise ValueError(f"{target}: a file of conversations is called NAME.jsonl")
    if target.exists() and not overwrite:
        raise ValueError(f"{target}: is there already; --overwrite replaces it")


def save_conversations(path: str | os.PathLike[str], conversations: Sequence[Conversation]) -> None:
    """Write a file of conversations, atomically; paths are relative to it."""
    folder = Path(os.path.abspath(path)).parent
    with replacing(path) as temporary:
        temporary.write_text("".join(lines_of(conversations, folder)), encoding="utf-8")


def _pieces(group: list[tuple[int, _Utterance]], context: int, train: Train) -> Iterator[list[tuple[int, _Utterance]]]:
    if train == "all":
        for start in range(0, len(group), context + 1):
            yield group[start : start + context + 1]
    else:
        for index in range(len(group)):
            yield group[max(0, index - context) : index + 1]


def _conversation(utterances: Sequence[_Utterance], train: Train, roles: Roles) -> Conversation:
    last = utterances[-1]
    role: Callable[[_Utterance], str] = (lambda one: one.speaker) if roles == "name" else (lambda _: "0")
    return Conversation(
        messages=tuple(Message(role=role(one), text=one.text, sound=one.sound) for one in utterances),
        training_mask=tuple(train == "all" or one is last for one in utterances),
        id=last.id,
        split=last.split,
        source=last.source,
        language=last.language,
    )


def _utterances(
    source: str | os.PathLike[str], splits: Sequence[str] | None, speakers: Sequence[str] | None
) -> list[_Utterance]:
    fields = ("id", "text", "speaker", "language", "source", "split")
    path = Path(source)
    if path.is_dir() and (path / "report.json").is_file():
        folder = os.path.abspath(path)
        return [
            _Utterance(**{name: getattr(clip, name) for name in fields}, sound=Sound(prepared=folder, id=clip.id))
            for clip in load_codes(path, split=splits, speakers=speakers)
        ]
    return [
        _Utterance(
            **{name: getattr(clip, name) for name in fields},
            sound=Sound(path=clip.audio) if isinstance(clip.audio, str) else None,
        )
        for clip in load_manifest(source, splits=splits, speakers=speakers)
    ]


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _draw(seed: int, name: str) -> bytes:
    return hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=8).digest()
