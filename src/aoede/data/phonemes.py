"""Phonemes: text in any of espeak-ng's languages to one string of phoneme symbols.

Owns the binding to espeak-ng (library and data of the wheel `espeakng-loader`, through ctypes, loaded at first use) and
the alphabet that comes out of it. Knows nothing of numbers, abbreviations, speakers or tokens: `text.py` calls it last.

The output is NFC text in which every character is one unit: a phoneme, a stress mark (ˈ ˌ), a length mark (ː), a
diacritic that has no composed form, a space between words, or one of the marks of `PUNCTUATION`, which espeak would
swallow and which are therefore kept by hand. Diphthongs and affricates are folded to one character (`FOLDED`).
"""

from __future__ import annotations

import atexit
import ctypes
import difflib
import os
import re
import shutil
import sys
import tempfile
import threading
import unicodedata
from functools import lru_cache
from pathlib import Path

PUNCTUATION = ",.!?;:—…"
"""Marks that survive phonemisation; others must be turned into these (or nothing) before."""

FOLDED = {
    "a͡ɪ": "I", "e͡ɪ": "A", "o͡ʊ": "O", "ə͡ʊ": "Q", "a͡ʊ": "W", "ɔ͡ɪ": "Y",
    "d͡ʒ": "ʤ", "t͡ʃ": "ʧ", "t͡s": "ʦ", "d͡z": "ʣ", "t͡ɕ": "ʨ", "d͡ʑ": "ʥ", "l͡j": "ʎ",
}  # fmt: skip
"""What espeak writes as one tied phoneme and we as one character. Capitals are the English diphthongs:
A (d*ay*), I (m*y*), O (American g*o*), Q (British g*o*), W (n*ow*), Y (b*oy*)."""

SYMBOLS = (
    " "
    + PUNCTUATION
    + "ˈˌːˑ"
    + "abcdefhijklmnopqrstuvwxyz"
    + "AIOQWY"
    + "ʤʧʦʣʨʥ"
    + "ɐɑɒæɓʙβɔɕçɗɖðəɘɚɛɜɝɞɟɠɡɢʛɦɧħɥʜɨɪɫɬɭɮʟɯɰɱɲŋɳɴøɵɸœɶʘɹɺɾɻʀʁɽʂʃʈθʉʊʋʌⱱʍʝɣɤχʎʏʑʐʒʔʡʕʢǀǁǂǃᵻᵊʲʷʰˠˤʼ"
    + "ãẽĩõũëäöüïṣẓṭḍŕ"
    + "˞ʱ\u0303\u0329\u032a\u0325\u030a\u0308\u0306\u031d\u031e\u0324\u0330\u0320\u0318\u0319\u032f\u0323\u033a"
    + "↑↓→↗↘0123456789"
)
"""The output alphabet: what a character-level tokenizer should know. English, Russian and the other languages of the
corpus stay inside it (a test holds that); a rarer language may bring a character that is not here."""

_IPA_TIED = 0x02 | 0x80 | (0x0361 << 8)
_UTF8 = 1
_DO_NOT_EXIT = 0x8000
_RETRIEVAL = 2
_LONGEST_DATA_PATH = 120
"""espeak-ng keeps the path of its data in 160 bytes; a longer one is replaced by a path of its build machine."""

_MARK = r"(?:[!?;—…]|[.:](?=[\s,.!?;:—…]|$)|,(?!\d)|(?<!\d),)"
_PIECES = re.compile(rf"({_MARK}(?:\s*{_MARK})*)")
"""A dot or colon counts at the end of a word only, a comma not between digits ("3,14" is a number to many)."""
_LANGUAGE_FLAG = re.compile(r"\([a-zA-Z0-9-]+\)")
_FOLD = re.compile("|".join(sorted(map(re.escape, FOLDED), key=len, reverse=True)))
_WIDE = str.maketrans(
    {
        "，": ", ",
        "、": ", ",
        "。": ". ",
        "！": "! ",
        "？": "? ",
        "；": "; ",
        "：": ": ",
        "–": "—",
        "।": ". ",
        "؟": "? ",
        "،": ", ",
    }
)


_LETTER_A = re.compile(r"(?<=\w )A(?= (?:[a-z]|[A-Z]\b))|\bA(?= (?!I\b)[A-Z]\b)")
"""The letter and not the article: plan A is, F A Q, A B C. Title Case Has A Capital Article, which stays one."""


class PhonemeError(ValueError):
    """espeak-ng is missing, or does not know a voice."""


class _VoiceRecord(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_void_p),
        ("identifier", ctypes.c_char_p),
        ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte),
        ("variant", ctypes.c_ubyte),
        ("unused", ctypes.c_ubyte),
        ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    ]


class _Espeak:
    """The loaded library. It holds one current voice, so all use goes through one lock."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.voice = ""
        self.library = _load_library()
        self.voices = self._list_voices()

    def _list_voices(self) -> dict[str, bytes]:
        """Language code or voice name (lower case) to espeak's identifier; of several the best-ranked comes first."""
        self.library.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(_VoiceRecord))
        records = self.library.espeak_ListVoices(None)
        ranked: list[tuple[int, str, bytes]] = []
        index = 0
        while records[index]:
            record = records[index][0]
            index += 1
            ranked += [(rank, code, record.identifier) for rank, code in _language_codes(record.languages)]
        voices: dict[str, bytes] = {}
        for _rank, code, identifier in sorted(ranked, key=lambda item: item[0]):
            voices.setdefault(code.lower(), identifier)
        return voices

    def phonemise(self, piece: str, voice: str) -> str:
        """One piece without punctuation, as espeak writes it (tied IPA)."""
        with self.lock:
            if voice != self.voice:
                self._select(voice)
            # The buffer must outlive the calls: espeak hands back pointers into it.
            buffer = ctypes.create_string_buffer(piece.encode("utf-8"))
            pointer = ctypes.c_void_p(ctypes.addressof(buffer))
            written: list[str] = []
            while pointer.value is not None and ctypes.string_at(pointer.value, 1) != b"\0":
                clause = self.library.espeak_TextToPhonemes(ctypes.byref(pointer), _UTF8, _IPA_TIED)
                written.append((clause or b"").decode("utf-8"))
            return " ".join(written)

    def _select(self, voice: str) -> None:
        identifier = self.voices.get(voice.lower())
        if identifier is None:
            near = difflib.get_close_matches(voice.lower(), self.voices, n=5, cutoff=0.4)
            raise PhonemeError(
                f"espeak-ng has no voice {voice!r}; near it: {', '.join(near) or 'none'} (e.g. en-us, ru)"
            )
        status = self.library.espeak_SetVoiceByName(identifier)
        if status != 0:
            raise PhonemeError(f"espeak-ng refused voice {voice!r} ({identifier.decode()}): status {status}")
        self.voice = voice


def phonemise(text: str, voice: str = "en-us") -> str:
    """Text to phoneme symbols.

    Args:
        text: what to say, in the language of `voice`; digits and symbols are read by espeak's own rules.
        voice: espeak-ng voice or language code, e.g. "en-us", "en-gb", "ru".
    Returns:
        NFC string over `SYMBOLS`: words joined by one space, marks of `PUNCTUATION` attached to the word before them.
        Empty when the text holds nothing that espeak can say. A pure function of its arguments.
    Raises:
        PhonemeError: unknown voice, or espeak-ng cannot be loaded (names the package to install).
    """
    espeak = _espeak()
    if voice.lower().startswith("en"):
        text = _LETTER_A.sub("eigh", text)
    out = ""
    for index, piece in enumerate(_PIECES.split(" ".join(text.translate(_WIDE).replace("...", "…").split()))):
        if index % 2:
            marks = dict.fromkeys(mark for mark in piece if mark in PUNCTUATION)
            out = out.rstrip() + "".join(marks) + " "
        elif piece.strip():
            spoken = _fold(espeak.phonemise(piece, voice))
            out += spoken + " " if spoken else ""
    return out.strip()


def espeak_voices() -> tuple[str, ...]:
    """Every language code and voice name that `phonemise` takes, sorted."""
    return tuple(sorted(_espeak().voices))


@lru_cache(maxsize=1)
def _espeak() -> _Espeak:
    return _Espeak()


def _fold(written: str) -> str:
    written = _FOLD.sub(lambda match: FOLDED[match.group()], written)
    written = _LANGUAGE_FLAG.sub("", written.replace("\u0361", ""))
    # Two of Russian's phonemes have no IPA name in espeak-ng 1.52 and come out as its own ASCII names.
    written = written.replace('u"', "ʉ").replace("ɪ^", "ʲ")
    # A dot here is espeak's mark of a retroflex (Mandarin "s."), which would read as the end of a sentence.
    written = written.replace(".", "\u0323").replace("-", "").replace("_", "").replace("\u200d", "")
    return unicodedata.normalize("NFC", " ".join(written.split()))


def _language_codes(address: int) -> list[tuple[int, str]]:
    """espeak's list of (rank byte, zero-terminated code) pairs, closed by a zero rank; lower ranks are better."""
    codes: list[tuple[int, str]] = []
    while (rank := ctypes.string_at(address, 1)[0]) != 0:
        code = ctypes.string_at(address + 1)
        codes.append((rank, code.decode("utf-8")))
        address += len(code) + 2
    return codes


def _load_library() -> ctypes.CDLL:
    try:
        import espeakng_loader  # type: ignore[import-untyped]
    except ImportError as error:
        raise PhonemeError("phonemes need the package espeakng-loader: pip install espeakng-loader") from error
    library_path, data = (
        Path(espeakng_loader.get_library_path()),
        Path(espeakng_loader.__file__).parent / "espeak-ng-data",
    )
    if not library_path.exists() or not data.exists():
        raise PhonemeError(
            f"espeakng-loader is installed without {library_path.name} or espeak-ng-data in {data.parent} "
            f"(platform {sys.platform}): pip install --force-reinstall espeakng-loader"
        )
    try:
        library = ctypes.CDLL(str(library_path))
    except OSError as error:
        raise PhonemeError(f"cannot load {library_path} of the package espeakng-loader: {error}") from error
    library.espeak_TextToPhonemes.restype = ctypes.c_char_p
    library.espeak_TextToPhonemes.argtypes = [ctypes.POINTER(ctypes.c_void_p), ctypes.c_int, ctypes.c_int]
    library.espeak_SetVoiceByName.argtypes = [ctypes.c_char_p]
    rate = library.espeak_Initialize(_RETRIEVAL, 0, os.fsencode(_short_path(data)), _DO_NOT_EXIT)
    if rate <= 0:
        raise PhonemeError(f"espeak-ng of the package espeakng-loader did not start with the data in {data}")
    return library


def _short_path(data: Path) -> Path:
    """The data folder itself, or a link to it short enough for espeak; the link lives as long as the process."""
    if len(os.fsencode(data)) <= _LONGEST_DATA_PATH:
        return data
    folder = Path(tempfile.mkdtemp(prefix="aoede-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / "espeak-ng-data").symlink_to(data, target_is_directory=True)
    return folder / "espeak-ng-data"
