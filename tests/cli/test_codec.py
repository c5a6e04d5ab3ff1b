"""`aoede codec` as a user meets it: what it prints, what it writes, what it refuses."""

import io
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from aoede.cli.main import main
from aoede.codec import Snac, SnacConfig
from aoede.data import CodeFile, CodesInfo, describe, load_audio, save_audio

CLIP = Path(__file__).parents[1] / "data/clips/asterisk_es_a3c1d866e09e.ogg"


@pytest.fixture(scope="module")
def codec():
    torch.manual_seed(7)
    config = SnacConfig(encoder_dim=4, encoder_rates=(4, 8), decoder_dim=8, decoder_rates=(8, 4), codebook_size=256)
    return Snac(config).eval()


@pytest.fixture(scope="module")
def folder(codec, tmp_path_factory):
    path = tmp_path_factory.mktemp("codec")
    codec.save_pretrained(path)
    return str(path)


@pytest.fixture
def aoede(capsys):
    def run(*words):
        code = main([str(word) for word in words])
        out, err = capsys.readouterr()
        return code, out, err

    return run


def test_encode_then_decode_gives_what_the_codec_gives_and_the_same_length(aoede, codec, folder, tmp_path):
    code, out, err = aoede("codec", "encode", CLIP, tmp_path / "a.snac", "--codec", folder)
    assert (code, err) == (0, "")
    assert out.startswith("asterisk_es_a3c1d866e09e.ogg  4.2 s, 16 kHz mono -> 24 kHz mono\n5,495 codes, 5.5 kB (")
    assert out.endswith(f"written {tmp_path / 'a.snac'}\n")
    code, out, err = aoede("codec", "decode", tmp_path / "a.snac", tmp_path / "a.wav", "--codec", folder, "--seed", 3)
    assert (code, err) == (0, "")
    samples, _ = load_audio(CLIP, 24000)
    codes = codec.encode(torch.from_numpy(samples)[None, None])
    assert [level.tolist() for level in CodeFile.load(tmp_path / "a.snac").codes] == [c[0].tolist() for c in codes]
    expected = codec.decode(codes, len(samples), seed=3)[0, 0].numpy()
    assert np.abs(load_audio(tmp_path / "a.wav")[0] - expected).max() <= 1 / 32768 + 1e-6


def test_roundtrip_prints_the_figures_and_writes_beside_the_input(aoede, folder, tmp_path):
    shutil.copy(CLIP, tmp_path / "interview.ogg")
    code, out, err = aoede("codec", "roundtrip", tmp_path / "interview.ogg", "--codec", folder)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "interview.ogg  4.2 s, 16 kHz mono -> 24 kHz mono"
    assert re.fullmatch(r"5,495 codes, 5\.5 kB \(10,500 bit/s\), \d\.\d\d s of compute a second", lines[1])
    written = tmp_path / "interview.roundtrip.wav"
    assert re.fullmatch(rf"mel distance \d+\.\d\d   written {re.escape(str(written))}", lines[2])
    assert describe(written).num_samples == len(load_audio(CLIP, 24000)[0])


def test_roundtrip_says_what_is_odd_about_a_file_and_that_opus_has_its_own_rates(aoede, tmp_path):
    torch.manual_seed(0)
    config = SnacConfig(sample_rate=32000, encoder_dim=4, encoder_rates=(4,), decoder_dim=8, decoder_rates=(4,))
    Snac(config).save_pretrained(tmp_path / "codec")
    save_audio(tmp_path / "quiet.wav", np.zeros((2, 48000), np.float32), 48000)
    code, out, _ = aoede(
        "codec", "roundtrip", tmp_path / "quiet.wav", "-o", tmp_path / "o.opus", "--codec", tmp_path / "codec"
    )
    assert code == 0
    assert "quiet.wav  1.0 s, 48 kHz stereo -> 32 kHz mono" in out and "note: silent: the peak is 0" in out
    assert f"written {tmp_path / 'o.opus'} (at 48000 Hz: this format does not take 32000)" in out
    assert soundfile.info(tmp_path / "o.opus").frames == 48000


def test_a_long_file_shows_progress_and_joins_exactly(aoede, codec, folder, tmp_path):
    samples = (0.1 * np.random.default_rng(0).standard_normal(24000 * 45)).astype(np.float32)
    save_audio(tmp_path / "long.flac", samples, 24000)
    code, _, err = aoede("codec", "encode", tmp_path / "long.flac", tmp_path / "a.snac", "--codec", folder)
    assert code == 0 and "encoding 100%" in err and "45/45 s of sound" in err
    whole = codec.encode(torch.from_numpy(load_audio(tmp_path / "long.flac")[0])[None, None])
    assert [level.tolist() for level in CodeFile.load(tmp_path / "a.snac").codes] == [c[0].tolist() for c in whole]


def test_a_file_cut_short_is_refused_and_used_on_request(aoede, folder, tmp_path):
    save_audio(tmp_path / "a.wav", np.full(24000, 0.1, np.float32), 24000)
    content = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "a.wav").write_bytes(content[:24044])
    code, out, err = aoede("codec", "encode", tmp_path / "a.wav", tmp_path / "a.snac", "--codec", folder)
    assert (code, out) == (2, "") and "cut short" in err and "--keep-truncated" in err and err.count("\n") == 1
    assert not (tmp_path / "a.snac").exists()
    code, out, _ = aoede(
        "codec", "encode", tmp_path / "a.wav", tmp_path / "a.snac", "--codec", folder, "--keep-truncated"
    )
    assert code == 0 and "note: cut short" in out
    assert CodeFile.load(tmp_path / "a.snac").num_samples == 12000


def test_info_describes_codecs_code_files_and_sounds(aoede, codec, folder, tmp_path):
    code, out, _ = aoede("codec", "info", folder)
    assert code == 0
    rows = {line[2:15].strip(): line[15:] for line in out.splitlines()[1:]}
    assert rows["sample rate"] == "24 kHz mono" and rows["hop"] == "32 samples a latent"
    assert rows["codebooks"] == "3 levels (strides 4, 2, 1) of 256 entries x 8 dimensions"
    assert rows["rate"] == "1312.5 codes a second, 10,500 bit/s"
    aoede("codec", "encode", CLIP, tmp_path / "a.snac", "--codec", folder)
    assert "5,495 codes, 5.5 kB (10,500 bit/s), 785 frames" in aoede("codec", "info", tmp_path / "a.snac")[1]
    assert aoede("codec", "info", CLIP)[1] == "asterisk_es_a3c1d866e09e.ogg  4.2 s, 16 kHz mono, OGG VORBIS\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("encode", "nope.wav", "a.snac"), "nope.wav: no such file"),
        (("encode", __file__, "a.snac"), "not audio that can be read"),
        (("encode", CLIP, "no/folder/a.snac"), "the folder no/folder does not exist"),
        (("decode", CLIP, "a.wav"), "not a .snac file"),
        (("roundtrip", CLIP, "-o", "a.txt"), "cannot write '.txt'"),
        (("info", "nope"), "nope: no such file"),
        (("info", "."), "neither a codec"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(aoede, folder, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    options = [] if words[0] == "info" else ["--codec", folder]
    code, out, err = aoede("codec", *words, *options)
    assert (code, out) == (2, "") and err.startswith("aoede: error: ") and message in err and err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_codes_of_another_codec_are_refused(aoede, codec, folder, tmp_path):
    aoede("codec", "encode", CLIP, tmp_path / "a.snac", "--codec", folder)
    torch.manual_seed(9)
    Snac(codec.config).save_pretrained(tmp_path / "other")
    code, _, err = aoede("codec", "decode", tmp_path / "a.snac", tmp_path / "a.wav", "--codec", tmp_path / "other")
    assert code == 2 and "made by codec" in err and not (tmp_path / "a.wav").exists()


@pytest.fixture
def pipe(monkeypatch, capsysbinary):
    """Runs a verb with bytes on standard input; returns exit code, the bytes of standard output, standard error."""

    def run(content, *words):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
        code = main([str(word) for word in words])
        out, err = capsysbinary.readouterr()
        return code, out, err.decode()

    return run


def test_pipes_carry_what_files_hold(pipe, folder, tmp_path):
    samples = (0.1 * np.random.default_rng(0).standard_normal(30_000)).astype(np.float32)
    save_audio(tmp_path / "a.wav", samples, 24000)
    content = (tmp_path / "a.wav").read_bytes()
    code, coded, err = pipe(content, "codec", "encode", "-", "-", "--codec", folder)
    assert code == 0 and err.startswith("standard input  1.2 s, 24 kHz mono -> 24 kHz mono\n")
    assert err.endswith("written standard output\n")
    assert main(["codec", "encode", str(tmp_path / "a.wav"), str(tmp_path / "a.snac"), "--codec", folder]) == 0
    assert main(["codec", "decode", str(tmp_path / "a.snac"), str(tmp_path / "b.wav"), "--codec", folder]) == 0
    piped, filed = CodeFile.from_bytes(coded), CodeFile.load(tmp_path / "a.snac")
    assert [level.tolist() for level in piped.codes] == [level.tolist() for level in filed.codes]
    assert (piped.num_samples, piped.info) == (filed.num_samples, filed.info)
    pipe(b"", "codec", "info")  # empties what was printed so far
    code, sound, _ = pipe(coded, "codec", "decode", "-", "-", "--codec", folder, "--raw", "f32le")
    heard = np.frombuffer(sound, "<f4")
    assert code == 0 and len(heard) == 30_000
    assert np.abs(heard - load_audio(tmp_path / "b.wav")[0]).max() <= 1 / 32768 + 1e-5
    raw = (samples * 32768).astype("<i2").tobytes()
    code, coded, _ = pipe(raw, "codec", "encode", "-", "-", "--codec", folder, "--raw", "s16le")
    assert code == 0 and CodeFile.from_bytes(coded).num_samples == 30_000


def test_damage_in_a_pipe_is_told_at_its_end(pipe, codec, folder):
    codes = [level[0].numpy().astype(np.uint16) for level in codec.encode(torch.randn(1, 1, 20_000) * 0.1)]
    content = bytearray(CodeFile(info=CodesInfo.of(codec), num_samples=20_000, codes=codes).to_bytes())
    content[-20] ^= 4
    code, sound, err = pipe(bytes(content), "codec", "decode", "-", "-", "--codec", folder)
    assert code == 2 and "standard input: damaged or cut short" in err and len(sound) > 44
    content[18] ^= 1
    code, sound, err = pipe(bytes(content), "codec", "decode", "-", "-", "--codec", folder)
    assert code == 2 and "standard input: damaged: it says" in err and sound == b""


def test_a_folder_is_encoded_and_decoded_and_the_exit_code_tells_of_the_bad_file(aoede, folder, tmp_path):
    (tmp_path / "in").mkdir()
    shutil.copy(CLIP, tmp_path / "in" / "a.ogg")
    (tmp_path / "in" / "b.wav").write_bytes(b"x")
    words = ("codec", "encode", tmp_path / "in", tmp_path / "out", "--codec", folder, "--workers", 1)
    code, out, err = aoede(*words)
    assert code == 3 and "2 files: 1 encoded, 1 failed" in out and "encoding: 100%" in err
    assert out.splitlines()[-1].startswith("failed: b.wav: ")
    (tmp_path / "in" / "b.wav").unlink()
    code, out, _ = aoede(*words)
    assert code == 0 and "1 files: 0 encoded, 1 finished before" in out
    code, out, _ = aoede(
        "codec", "decode", tmp_path / "out", tmp_path / "back", "--codec", folder, "--workers", 1, "--format", "flac"
    )
    assert code == 0 and describe(tmp_path / "back" / "a.flac").num_samples == len(load_audio(CLIP, 24000)[0])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("encode", ".", "-"), "a folder; it goes to a folder, not through a pipe"),
        (("encode", CLIP, "a.snac", "--workers", "2"), "--workers 2 is for folders"),
        (("encode", CLIP, "a.snac", "--rate", "8000"), "say --raw s16le"),
        (("encode", CLIP, "a.snac", "--raw", "s16le"), "raw samples come through standard input"),
        (("decode", "a.snac", "a.wav", "--format", "flac"), "is for folders"),
        (("encode", CLIP, "a.snac", "--codec", "mp3:x"), "no codec is called 'mp3'"),
    ],
)
def test_options_that_do_not_belong_together_are_told(aoede, folder, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    options = [] if "--codec" in words else ["--codec", folder]
    code, out, err = aoede("codec", *words, *options)
    assert (code, out) == (2, "") and message in err and list(tmp_path.iterdir()) == []


def test_another_codec_goes_through_the_same_verbs(aoede, tmp_path):
    from transformers import DacConfig, DacModel

    torch.manual_seed(0)
    config = DacConfig(
        encoder_hidden_size=4, downsampling_ratios=[4, 4], decoder_hidden_size=8, upsampling_ratios=[4, 4],
        n_codebooks=2, codebook_size=64, codebook_dim=4, sampling_rate=16000,
    )  # fmt: skip
    DacModel(config).save_pretrained(tmp_path / "dac")
    name = f"dac:{tmp_path / 'dac'}"
    code, out, _ = aoede("codec", "info", name)
    assert code == 0 and "2 levels of 64 entries" in out and "2000.0 codes a second, 12,000 bit/s" in out
    assert aoede("codec", "encode", CLIP, tmp_path / "a.snac", "--codec", name)[0] == 0
    assert aoede("codec", "decode", tmp_path / "a.snac", tmp_path / "a.wav", "--codec", name)[0] == 0
    assert describe(tmp_path / "a.wav").num_samples == CodeFile.load(tmp_path / "a.snac").num_samples
    code, out, _ = aoede("codec", "roundtrip", CLIP, "-o", tmp_path / "b.wav", "--codec", name)
    assert code == 0 and "(12,001 bit/s)" in out and "mel distance" in out
    code, _, err = aoede("codec", "info", tmp_path / "dac")
    assert code == 2 and f"name it dac:{tmp_path / 'dac'}" in err
