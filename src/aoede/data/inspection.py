"""What a path holds, in words: a codec, a code file, a prepared folder or a sound file. The work of `aoede codec info`.

Owns the finding of the bundled codec and the tables that a person reads. Changes nothing on disk.
"""

from __future__ import annotations

import json
import os
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from .audio import describe, duration_words
from .codefile import CodeFileSize, check_code_file, is_code_file
from .codes import PATTERN, REPORT, codes_info
from .filereport import size_words

if TYPE_CHECKING:
    from aoede.codec import Codec, Snac


def bundled_codec() -> Path:
    """The folder of the codec that comes with the package, that of its first voice.

    Raises:
        ValueError: this installation has none.
    """
    voices = Path(str(files("aoede"))) / "voices"
    for config in sorted(voices.glob("*/codec/config.json")):
        return config.parent
    raise ValueError("no codec comes with this installation; name the folder of one (--codec DIR)")


def open_codec(name: str | os.PathLike[str] | None = None) -> Codec:
    """The codec of this name (`aoede.codec.load_codec`: a folder, a hub repository, `mimi:DIR`), or the bundled one."""
    from aoede.codec import load_codec

    return load_codec(bundled_codec() if name is None else name)


def describe_path(path: str | os.PathLike[str] | None = None) -> str:
    """Say what a path holds; None stands for the bundled codec.

    Raises:
        ValueError: no such path, or nothing that Aoede knows.
    """
    from aoede.codec.loading import names_codec

    where = bundled_codec() if path is None else Path(path)
    if where.is_dir():
        if (where / "config.json").is_file():
            return _codec_words(open_codec(where), where)
        if (where / "corpus.json").is_file():
            return _corpus_words(where)
        if (where / "conversations.jsonl").is_file() and (where / "prepare.json").is_file():
            return _conversation_words(where)
        if (where / REPORT).is_file() or any(where.glob(PATTERN)):
            return _prepared_words(where)
        raise ValueError(f"{where}: neither a codec (config.json) nor a prepared folder ({PATTERN})")
    if where.is_file() and is_code_file(where):
        return _code_file_words(check_code_file(where), where)
    if path is not None and not where.exists() and names_codec(path):
        return _codec_words(open_codec(path), path)
    return str(describe(where))


def _codec_words(codec: Codec, place: str | os.PathLike[str]) -> str:
    from aoede.codec import Snac

    config = codec.config
    frame = config.frame_length / config.sample_rate * 1000
    counts, strides = ([str(n) for n in numbers] for numbers in (config.codes_per_frame, config.vq_strides))
    slots = f"{sum(config.codes_per_frame)} codes" + f" ({' + '.join(counts)})" * (len(set(counts)) > 1)
    levels = f"{config.num_codebooks} levels" + f" (strides {', '.join(strides)})" * (len(set(strides)) > 1)
    rows = {
        "sample rate": f"{config.sample_rate / 1000:g} kHz mono",
        "hop": f"{config.hop_length} samples a latent",
        "frame": f"{config.frame_length} samples, {frame:.1f} ms, {slots}",
        "codebooks": f"{levels} of {config.codebook_size:,} entries",
        "rate": f"{config.codes_per_second:.1f} codes a second, {config.bits_per_second:,.0f} bit/s",
    }
    if isinstance(codec, Snac):
        rows["codebooks"] += f" x {codec.config.codebook_dim} dimensions"
        rows |= _snac_rows(codec)
    else:
        rows["parameters"] = f"{sum(p.numel() for p in codec.parameters()) / 1e6:.2f} M"
    rows["fingerprint"] = codec.fingerprint()
    return _table(f"{os.fspath(place)}  codec", rows)


def _snac_rows(codec: Snac) -> dict[str, str]:
    from aoede.codec.receptive import decoder_tail, encoder_tail

    config = codec.config
    parts = [sum(p.numel() for p in part.parameters()) for part in (codec.encoder, codec.quantizer, codec.decoder)]
    encoder, quantizer, decoder = (f"{part / 1e6:.2f}" for part in parts)
    ahead, behind, frame = (
        samples / config.sample_rate * 1000
        for samples in (encoder_tail(config), decoder_tail(config), config.frame_length)
    )
    latency = f"{frame:.0f} ms a frame; the encoder hears {ahead:.0f} ms ahead, the decoder {behind:.0f} ms"
    if config.attn_window_size is not None:
        latency += f"; attention windows of {config.attn_window_size} latents"
    return {
        "parameters": f"{sum(parts) / 1e6:.2f} M: encoder {encoder}, quantizer {quantizer}, decoder {decoder}",
        "latency": latency,
        "noise": "in the decoder, seeded" if config.noise else "none",
    }


def _code_file_words(size: CodeFileSize, path: Path) -> str:
    info = size.info
    seconds = duration_words(size.num_samples / info.sample_rate)
    levels = ", ".join(f"{size.num_frames * count:,}" for count in info.codes_per_frame)
    rows = {
        "sound": f"{seconds}, {size.num_samples:,} samples at {info.sample_rate / 1000:g} kHz",
        "codes": f"{size_words(info, size.num_frames)}, {size.num_frames:,} frames",
        "levels": f"{levels} codes below {info.codebook_size:,}",
        "file": f"{path.stat().st_size:,} bytes",
        "codec": info.codec_fingerprint,
    }
    return _table(f"{path}  code file", rows)


def _prepared_words(folder: Path) -> str:
    info = codes_info(folder)
    report = json.loads((folder / REPORT).read_text(encoding="utf-8"))
    rows = {
        "clips": f"{report['coded']:,} coded, {len(report['rejected']):,} rejected, {len(report['notes']):,} notes",
        "sound": f"{report['seconds'] / 3600:.2f} hours at {info.sample_rate / 1000:g} kHz",
        "codes": f"{report['codes']:,} in {len(report['shards'])} shards, {report['bytes'] / 1e6:.2f} MB",
        "codec": info.codec_fingerprint,
    }
    return _table(f"{folder}  prepared codes", rows)


def _conversation_words(folder: Path) -> str:
    plan = json.loads((folder / "prepare.json").read_text(encoding="utf-8"))
    if not (folder / REPORT).is_file():
        raise ValueError(f"{folder}: an unfinished run; start the same `aoede prepare` again (there is no {REPORT})")
    report = json.loads((folder / REPORT).read_text(encoding="utf-8"))
    rows = {
        "conversations": f"{report['conversations']:,}, {len(report['rejected']):,} rejected",
        "turns": f"{report['turns']:,}, {report['trained_turns']:,} trained",
        "sound": f"{report['seconds'] / 3600:.2f} hours from {report['sounds']:,} sounds",
        "codec": plan["codec_fingerprint"],
    }
    return _table(f"{folder}  prepared conversations", rows)


def _corpus_words(folder: Path) -> str:
    from .corpus import CorpusFolder

    rows = {}
    for source in CorpusFolder.open(folder).sources:
        report = json.loads((source.folder / REPORT).read_text(encoding="utf-8"))
        size = f"{report['documents']:,} texts" if source.kind == "text" else f"{report['seconds'] / 3600:.2f} hours"
        rows[source.name] = ", ".join(filter(None, (source.kind, source.language, size, source.licence)))
    return _table(f"{folder}  corpus", rows)


def _table(title: str, rows: dict[str, str]) -> str:
    width = max(map(len, rows))
    return "\n".join([title, *(f"  {name:<{width}}  {value}" for name, value in rows.items())])
