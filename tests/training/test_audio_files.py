"""Training audio read where it lies: only lengths are kept, damage is told at the start or named when met."""

import numpy as np
import pytest

from aoede.data import AudioError, Clip, save_audio
from aoede.training.audio_files import AudioFiles
from aoede.training.audio_pool import AudioPool

RATE = 8000


@pytest.fixture
def clips(tmp_path):
    found = []
    for number, samples in enumerate((300, 1000, 2700)):
        path = tmp_path / f"{number}.wav"
        save_audio(path, np.full(samples, 0.1 * (number + 1), dtype=np.float32), RATE)
        found.append(Clip(audio=str(path), id=path.name))
    return found


def test_the_same_crops_as_from_a_cache(clips, tmp_path):
    files, pool = AudioFiles.build(clips, RATE), AudioPool.build(clips, RATE, tmp_path / "cache")
    assert files.num_samples == pool.num_samples == 4000
    draws = [source.plan(50, 400, np.random.default_rng(0)) for source in (files, pool)]
    assert draws[0] == draws[1]
    assert (files.read(draws[0], 400) - pool.read(draws[0], 400)).abs().max() < 1e-4
    assert (files.heads(200, "middle") - pool.heads(200, "middle")).abs().max() < 1e-4


def test_lengths_are_counted_at_the_codec_s_rate(clips):
    assert AudioFiles.build(clips, 3 * RATE).lengths.tolist() == [900, 3000, 8100]


def test_damaged_headers_are_left_out_and_told(clips, tmp_path, capsys):
    (tmp_path / "text.wav").write_text("no sound")
    short = tmp_path / "short.wav"
    short.write_bytes((tmp_path / "2.wav").read_bytes()[:1000])
    more = [Clip(audio=str(tmp_path / name), id=name) for name in ("text.wav", "short.wav", "gone.wav")]
    files = AudioFiles.build([*clips, *more], RATE)
    assert files.num_samples == 4000 and len(files.left_out) == 3
    told = capsys.readouterr().err
    assert "3 of 6 clips cannot be used:" in told and all(clip.id in told for clip in more)


def test_damage_met_later_stops_with_the_file_s_name(clips):
    files = AudioFiles.build(clips, RATE)
    with open(clips[1].audio, "wb") as out:
        out.write(b"gone")
    with pytest.raises(AudioError, match=r"1\.wav: samples 0 to 10"):
        files.piece(1, 0, 10)


def test_clips_in_tables_and_nothing_at_all_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"row: data\.read=seek reads sound files, .* use data\.read=cache"):
        AudioFiles.build([Clip(audio=b"RIFF", id="row")], RATE)
    with pytest.raises(ValueError, match="none of the 1 clips could be read"):
        AudioFiles.build([Clip(audio=str(tmp_path / "gone.wav"), id="g")], RATE)
