"""Conversations ahead of training: every sound encoded once, the codes and the turns in one folder.

Owns what lies in the folder and how a run goes on after an interruption. Encoding itself is `aoede.data.prepare`'s: the
distinct sound files are its clips, so a killed run loses a shard at most. Knows nothing of models.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..codefile import is_code_file
from ..codes import REPORT, CodesInfo, clip_seconds
from ..encode import prepare
from ..holding import clear_leftovers, hold_to_plan, holding
from ..manifest import Clip
from ..saving import replacing, write_json
from .given import copy_given
from .messages import Conversation, Sound
from .parsing import ConversationError
from .reading import lines_of, scan_conversations, usable

if TYPE_CHECKING:
    from aoede.codec import Codec

PLAN = "prepare.json"
ENCODED = "codes"
GIVEN = "given"
SHARD_CLIPS = 512

Place = tuple[str, str]
"""Folder of codes, and the id of the clip in it."""


@dataclass(frozen=True, kw_only=True)
class ConversationSummary:
    """What a folder of prepared conversations holds; `str()` is for a person."""

    folder: str
    conversations: int
    turns: int
    trained_turns: int
    sounds: int
    """Distinct ones; a sound that many conversations share is encoded once."""

    seconds: float
    """Of all turns with audio; a sound counts as often as it is heard."""

    rejected: tuple[str, ...]
    """What was left out, and why: bad lines, and conversations with a sound that cannot be used."""

    work_seconds: float

    @property
    def exit_code(self) -> int:
        return 3 if self.rejected else 0

    def __str__(self) -> str:
        context = self.turns - self.trained_turns
        lines = [
            f"{self.folder}  {self.conversations:,} conversations, {self.turns:,} turns "
            f"({self.trained_turns:,} trained, {context:,} context)",
            f"{self.seconds / 3600:.2f} hours from {self.sounds:,} sounds, in {self.work_seconds:.1f} s",
        ]
        if self.rejected:
            lines.append(f"{len(self.rejected):,} left out ({self.folder}/{REPORT}):")
            lines += [f"  {reason}" for reason in self.rejected[:20]]
            lines += [f"  ... and {len(self.rejected) - 20:,} more"] if len(self.rejected) > 20 else []
        return "\n".join(lines)


def prepare_conversations(
    path: str | os.PathLike[str],
    codec: Codec,
    out: str | os.PathLike[str],
    *,
    skip_bad: bool = False,
    shard_clips: int = SHARD_CLIPS,
    batch_seconds: float = 10.0,
    workers: int | None = None,
    progress: bool = False,
) -> ConversationSummary:
    """Encode the sounds of a file of conversations into `out`; the same call goes on after an interruption.

    Codes that are there already (inline, in prepared folders, in `.snac` files) are copied; all but inline ones say
    whose they are, and must be this codec's. A conversation with a sound that cannot be used is left out and listed.

    Args:
        path: a `.jsonl` file; see `load_conversations`.
        skip_bad: list bad lines and go on without them.
        shard_clips, batch_seconds, workers, progress: see `aoede.data.prepare`.
    Raises:
        ValueError: bad lines; a folder begun with other conversations or another codec; nothing left.
    """
    started = time.perf_counter()
    scan = scan_conversations(path)
    conversations = usable(scan, skip_bad)
    folder, info = Path(out), CodesInfo.of(codec)
    folder.mkdir(parents=True, exist_ok=True)
    base = Path(os.path.abspath(path)).parent
    with holding(folder, "aoede prepare"):
        _hold_to_plan(folder, conversations, scan.mistakes, info, base)
        clear_leftovers(folder)
        uses = list(_uses(conversations, base))
        faults: dict[Place, str] = {}
        seconds: dict[Place, float] = {}
        clips = list({use.place: use.clip() for use in uses if use.place[0] == ENCODED}.values())
        if clips:
            options: dict[str, Any] = {"shard_clips": shard_clips, "batch_seconds": batch_seconds, "workers": workers}
            prepare(clips, codec, folder / ENCODED, progress=progress, **options)
            report = json.loads((folder / ENCODED / REPORT).read_text(encoding="utf-8"))
            faults |= {(ENCODED, row["id"]): row["reason"] for row in report["rejected"]}
            seconds |= {(ENCODED, name): length for name, length in clip_seconds(folder / ENCODED).items()}
        given = {use.place: use for use in uses if use.place[0] == GIVEN}
        if given:
            sounds = {place[1]: (use.sound, use.clip()) for place, use in given.items()}
            wrong = copy_given(sounds, codec, folder / GIVEN, shard_clips)
            faults |= {(GIVEN, name): reason for name, reason in wrong.items()}
            seconds |= {(GIVEN, name): length for name, length in clip_seconds(folder / GIVEN).items()}
        kept: list[Conversation] = []
        rejected = [_row(mistake.where, "", str(mistake)) for mistake in scan.mistakes]
        places: dict[int, dict[int, Place]] = {}
        for use in uses:
            places.setdefault(use.number, {})[use.turn] = use.place
        for number, conversation in enumerate(conversations):
            own = places.get(number, {})
            fault = next((f"messages[{turn}]: {faults[p]}" for turn, p in own.items() if p in faults), "")
            if fault:
                rejected.append(_row(conversation.where, conversation.id, f"{conversation.name}: {fault}"))
            else:
                kept.append(_moved(conversation, own, folder.absolute()))
        if not kept:
            raise ValueError(f"{os.fspath(path)}: no conversation can be used; the first: {rejected[0]['reason']}")
        with replacing(folder / "conversations.jsonl") as temporary:
            temporary.write_text("".join(lines_of(kept, folder.absolute())), encoding="utf-8")
        heard = [_place(message.sound) for one in kept for message in one.messages if message.sound is not None]
        values: dict[str, Any] = {
            "conversations": len(kept),
            "turns": sum(len(one.messages) for one in kept),
            "trained_turns": sum(sum(one.training_mask) for one in kept),
            "sounds": len(set(heard)),
            "seconds": sum(seconds[place] for place in heard),
        }
        write_json(folder / REPORT, {"format": 1, **values, "rejected": rejected})
    reasons = tuple(row["reason"] for row in rejected)
    return ConversationSummary(
        folder=os.fspath(out), rejected=reasons, work_seconds=time.perf_counter() - started, **values
    )


def _hold_to_plan(
    folder: Path,
    conversations: Sequence[Conversation],
    mistakes: Sequence[ConversationError],
    info: CodesInfo,
    base: Path,
) -> None:
    digest = hashlib.sha256()
    for line in lines_of(conversations, base):
        digest.update(line.encode())
    for mistake in mistakes:
        digest.update(f"{mistake.field}: {mistake.reason}".encode())
    plan = {
        "format": 1,
        "kind": "conversations",
        "codec_fingerprint": info.codec_fingerprint,
        "num_conversations": len(conversations),
        "conversations": digest.hexdigest()[:16],
    }
    words = {
        "kind": "something else than conversations",
        "codec_fingerprint": "another codec",
        "num_conversations": "another number of conversations",
        "conversations": "other conversations",
    }
    is_other = any(not entry.match(".*.tmp") for entry in folder.iterdir())
    hold_to_plan(folder / PLAN, plan, words, "something that this command did not make" if is_other else "")


@dataclass(frozen=True, kw_only=True)
class _Use:
    """A turn with audio, and where its codes will be."""

    number: int
    conversation: Conversation
    turn: int
    sound: Sound
    place: Place

    def clip(self) -> Clip:
        message = self.conversation.messages[self.turn]
        return Clip(
            audio=self.sound.path or "",
            id=self.place[1],
            text=message.text,
            speaker=message.role,
            language=self.conversation.language,
            source=self.conversation.source,
            split=self.conversation.split,
        )


def _uses(conversations: Sequence[Conversation], base: Path) -> Iterator[_Use]:
    taken: dict[Place, tuple[object, ...]] = {}
    for number, conversation in enumerate(conversations):
        for turn, message in enumerate(conversation.messages):
            sound = message.sound
            if sound is None:
                continue
            kind, key = GIVEN, (sound.path, sound.prepared, sound.id, sound.codes is None or (number, turn))
            if sound.path is not None:
                name = os.path.relpath(sound.path, base)
                kind = GIVEN if is_code_file(sound.path) else ENCODED
            elif sound.prepared is not None:
                name = f"{os.path.relpath(sound.prepared, base)}/{sound.id}"
            else:
                name = f"{number}.{turn}"  # inline codes have no name; each is a sound of its own
            while taken.setdefault((kind, name), key) != key:
                name += "~"  # two sounds of one name: clip `b.snac` of folder `a`, and the file `a/b.snac`
            yield _Use(number=number, conversation=conversation, turn=turn, sound=sound, place=(kind, name))


def _moved(conversation: Conversation, places: dict[int, Place], folder: Path) -> Conversation:
    """The conversation with the codes of its turns in `folder`."""
    messages = list(conversation.messages)
    for turn, (kind, name) in places.items():
        messages[turn] = replace(messages[turn], sound=Sound(prepared=str(folder / kind), id=name))
    return replace(conversation, messages=tuple(messages))


def _place(sound: Sound) -> Place:
    return Path(sound.prepared or "").name, sound.id or ""


def _row(where: str, name: str, reason: str) -> dict[str, str]:
    return {"where": where, "id": name, "reason": reason}
