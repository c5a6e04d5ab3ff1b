"""More clips out of the same recordings: the same words, spoken by a voice that is a little higher or lower.

Owns which variants there are and what they are called. The sound is made when a clip is encoded (`batches.py`), so no
file is written; originals stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from .manifest import Clip

SLOWEST, FASTEST = 0.5, 2.0


def at_speeds(clips: Sequence[Clip], speeds: Sequence[float], *, splits: Sequence[str] = ("train", "")) -> list[Clip]:
    """The clips, and after them each clip once more at every speed.

    Speed changes pitch and formants too, so a variant is another voice: id and speaker both get `@speed` (`af_heart`
    at 0.9 is `af_heart@0.9`), and a model that is told the speaker keeps them apart. Source: Ko et al. 2015, "Audio
    augmentation for speech recognition".

    Args:
        splits: only clips of these get variants: what is evaluated stays as it was recorded.
    Raises:
        ValueError: a speed outside 0.5..2, equal to 1, or given twice.
    """
    for speed in speeds:
        if not SLOWEST <= speed <= FASTEST or speed == 1.0:
            raise ValueError(f"speed {speed:g}: must lie in {SLOWEST:g}..{FASTEST:g} and differ from 1, the original")
    if len(set(speeds)) != len(speeds):
        raise ValueError(f"speeds {', '.join(f'{speed:g}' for speed in speeds)}: give each only once")
    variants = [_variant(clip, speed) for speed in speeds for clip in clips if clip.split in splits]
    return [*clips, *variants]


def _variant(clip: Clip, speed: float) -> Clip:
    name = f"@{speed:g}"
    return replace(
        clip,
        id=clip.id + name,
        speaker=clip.speaker + name if clip.speaker else "",
        seconds=None if clip.seconds is None else clip.seconds / speed,
        speed=speed * clip.speed,
    )
