"""From conversations to frames: every id by hand, prompts, truncation, padding."""

import pickle

import numpy as np
import pytest
import torch

from aoede.data import CodeFile, CodesInfo, TextFrontEnd
from aoede.data.conversation import (
    Conversation,
    ConversationProcessor,
    Message,
    SaysStop,
    Sound,
    TurnText,
    cloning_prompt,
    parse_conversation,
)
from aoede.models import TwoStageConfig

from .talks import character_tokenizer, frames_of, tone, turn

NONE, SKIP = -1, -100


def processor(**options):
    """Slots CMF: a frame is one code of level 0, two of level 1, and so on; here as C M F with strides of 1."""
    return ConversationProcessor(
        character_tokenizer(), "CMF", [60, 60, 60], **{"text": TurnText(template="{text}"), **options}
    )


def spoken(*columns):
    """Codes of one level a slot."""
    return [list(level) for level in zip(*columns, strict=True)]


def test_a_turn_is_text_frames_then_code_frames_then_the_stop_frame():
    rows = [turn("ann", "ab", codes=spoken((1, 2, 3), (4, 5, 6))), turn("bob", "c", codes=spoken((7, 8, 9)))]
    batch = processor()([{"messages": rows, "training_mask": [False, True]}])
    a, b, c = 4, 5, 6
    assert batch["input_ids"].tolist() == [
        [
            [NONE, NONE, NONE, a],
            [NONE, NONE, NONE, b],
            [1, 2, 3, NONE],
            [4, 5, 6, NONE],
            [0, 0, 0, NONE],
            [NONE, NONE, NONE, c],
            [7, 8, 9, NONE],
            [0, 0, 0, NONE],
        ]
    ]
    text, audio = [0, 0, 0, 1], [1, 1, 1, 0]
    assert batch["attention_mask"].tolist() == [[text, text, audio, audio, audio, text, audio, audio]]
    context = [[SKIP] * 3] * 6
    assert batch["labels"].tolist() == [[*context, [7, 8, 9], [0, 0, 0]]]
    assert batch["input_ids"].dtype == batch["labels"].dtype == torch.int64


def test_codes_of_a_hierarchical_codec_are_laid_out_in_the_order_of_the_layout():
    one = ConversationProcessor(character_tokenizer(), "CMFFMFF", [60] * 7)
    codes = [[10], [20, 21], [30, 31, 32, 33]]
    frames = one.encode({"messages": [turn("ann", "a", codes=codes)]}).frames
    assert frames[-2].tolist() == [10, 20, 30, 31, 21, 32, 33, NONE]


def test_the_stop_of_a_model_with_a_row_of_its_own_is_trained_in_slot_0_alone():
    batch = processor(stop_frame=[60, NONE, NONE])([[turn("ann", "a", codes=spoken((0, 0, 0)))]])
    assert batch["input_ids"][0, 1:].tolist() == [[0, 0, 0, NONE], [60, NONE, NONE, NONE]]
    assert batch["attention_mask"][0, 2].tolist() == [1, 0, 0, 0]
    assert batch["labels"][0, 1:].tolist() == [[0, 0, 0], [60, SKIP, SKIP]]


def test_the_default_template_writes_a_turn_as_the_public_model_reads_it():
    one = ConversationProcessor(character_tokenizer(), "CMF", [60] * 3)
    for role in ("3", "speaker_3"):
        ids = one.encode({"messages": [{"role": role, "content": "hi"}]}).frames[:, -1].tolist()
        assert one.tokenizer.decode(ids) in ("<s> [ 3 ] h i </s>", "<s>[3]hi</s>")


def test_a_voice_s_front_end_writes_the_turn_with_its_speaker_token():
    tokenizer = character_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": ["<ann>"]})
    one = ConversationProcessor(tokenizer, "CMF", [60] * 3, text=TurnText(front_end=TextFrontEnd()))
    ids = one.encode({"messages": [{"role": "ann", "content": "ab."}]}).frames[:, -1].tolist()
    assert ids == tokenizer("<ann>ab.")["input_ids"]
    assert ids[0] == tokenizer.convert_tokens_to_ids("<ann>")


def test_the_tokenizer_s_chat_template_writes_the_turn_where_asked():
    tokenizer = character_tokenizer()
    tokenizer.chat_template = (
        "{% for m in messages %}{{ bos_token }}{{ m.role }}.{{ m.content[0].text }}{{ eos_token }}{% endfor %}"
    )
    one = ConversationProcessor(tokenizer, "CMF", [60] * 3, text=TurnText(chat=True))
    ids = one.encode({"messages": [{"role": "a", "content": "b"}]}).frames[:, -1].tolist()
    assert ids == [2, 4, tokenizer.convert_tokens_to_ids("."), 5, 3]
    tokenizer.chat_template = None
    with pytest.raises(ValueError, match=r"messages\[0\]: the tokenizer has no chat template; give a template"):
        one.encode({"messages": [{"role": "a", "content": "b"}]})


def test_how_turns_are_written_survives_as_plain_values():
    text = TurnText(template="{text}!", front_end=None)
    assert TurnText.from_dict(text.to_dict()) == text
    with_front_end = TurnText(front_end=TextFrontEnd(language="de"))
    assert TurnText.from_dict(with_front_end.to_dict()) == with_front_end


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"template": "hello"}, "has no {text}"),
        ({"template": "{text}{speaker}"}, r"has \{speaker\}; it may have"),
        ({"chat": True, "front_end": TextFrontEnd()}, "chat and front_end are both given"),
    ],
)
def test_a_turn_that_cannot_be_written_is_refused(options, words):
    with pytest.raises(ValueError, match=words):
        TurnText(**options)


def test_special_tokens_and_unknown_characters_in_a_text_are_refused():
    with pytest.raises(ValueError, match=r"conversation: messages\[0\]: the text holds '</s>', a special token"):
        processor().encode({"messages": [turn("ann", "a</s>b")]})
    with pytest.raises(ValueError, match="the tokenizer does not know a part of 'aß'"):
        processor().encode({"messages": [turn("ann", "aß")]})
    with pytest.raises(ValueError, match="text id 5, but the model has 5"):
        processor(text_size=5).encode({"messages": [turn("ann", "ab")]})


def test_a_function_from_text_to_ids_is_a_tokenizer_too():
    one = ConversationProcessor(lambda text: [ord(c) for c in text], "CMF", [60] * 3, text=TurnText(template="{text}"))
    assert one.encode({"messages": [turn("ann", "ab")]}).frames[:, -1].tolist() == [97, 98]


def test_left_padding_ends_every_row_with_its_last_frame_and_counts_for_nothing():
    short, long = turn("ann", "a", codes=spoken((1, 2, 3))), turn("ann", "abc", codes=spoken((1, 2, 3)))
    batch = processor()([[short], [long]])
    assert batch["input_ids"].shape == (2, 5, 4)
    assert batch["input_ids"][0, :2].tolist() == [[NONE] * 4] * 2
    assert batch["attention_mask"][0].sum(-1).tolist() == [0, 0, 1, 3, 3]
    assert batch["labels"][0, :3].tolist() == [[SKIP] * 3] * 3
    right = processor(padding_side="right")([[short], [long]])
    assert torch.equal(right["input_ids"][0, :3], batch["input_ids"][0, 2:])
    assert right["attention_mask"][0, 3:].sum() == 0


def test_a_prompt_ends_with_the_text_to_be_spoken_and_has_no_labels():
    messages = [turn("ann", "ab", codes=spoken((1, 2, 3))), turn("bob", "c")]
    batch = processor()(messages, generation_prompt=True)
    assert set(batch) == {"input_ids", "attention_mask"}
    assert batch["input_ids"][0, -2:].tolist() == [[0, 0, 0, NONE], [NONE, NONE, NONE, 6]]
    with pytest.raises(ValueError, match="conversation 0: the last turn has audio already"):
        processor()(messages[:1], generation_prompt=True)


def test_a_cloning_prompt_is_the_recording_with_its_text_and_then_the_text_to_speak():
    reference = [np.array([1, 4], np.uint16), np.array([2, 5], np.uint16), np.array([3, 6], np.uint16)]
    prompt = cloning_prompt(reference, "ab", "c", role="1")
    batch = processor()([prompt], generation_prompt=True)
    assert batch["input_ids"][0].tolist() == [
        [NONE, NONE, NONE, 4],
        [NONE, NONE, NONE, 5],
        [1, 2, 3, NONE],
        [4, 5, 6, NONE],
        [0, 0, 0, NONE],
        [NONE, NONE, NONE, 6],
    ]
    as_tensors = cloning_prompt([torch.tensor([[1, 4]]), torch.tensor([[2, 5]]), torch.tensor([[3, 6]])], "ab", "c")
    assert torch.equal(processor()([as_tensors], generation_prompt=True)["input_ids"], batch["input_ids"])
    with pytest.raises(ValueError, match="reference_text is empty"):
        cloning_prompt(reference, " ", "c")


def test_a_recording_is_encoded_where_a_codec_is_given_and_refused_where_not(codec, tmp_path):
    tone(tmp_path / "a.wav", seconds=0.02)  # 480 samples: 5 frames of 96
    prompt = cloning_prompt(tmp_path / "a.wav", "ab", "c")
    sizes = [codec.config.codebook_size] * 7
    with_codec = ConversationProcessor(character_tokenizer(), "CMFFMFF", sizes, codec=codec)
    made = with_codec.encode(prompt)
    assert made.turns == ((7, 6), (6, 0))  # <s>[0]ab</s>, 5 frames and the stop
    with pytest.raises(ValueError, match=r"a.wav is not encoded; run `aoede prepare CONVERSATIONS.jsonl OUT` ahead"):
        ConversationProcessor(character_tokenizer(), "CMFFMFF", sizes).encode(prompt)


def test_samples_and_codes_fill_the_audios_without_a_source_in_order(codec):
    sizes = [codec.config.codebook_size] * 7
    one = ConversationProcessor(character_tokenizer(), "CMFFMFF", sizes, codec=codec)
    messages = [
        {"role": "0", "content": [{"type": "text", "text": "a"}, {"type": "audio"}]},
        {"role": "1", "content": [{"type": "text", "text": "b"}]},
    ]
    samples = 0.3 * np.sin(np.arange(300) / 9).astype(np.float32)
    by_audio = one(messages, audios=[samples], generation_prompt=True)
    codes = [level[0].numpy() for level in codec.encode(torch.from_numpy(samples)[None, None])]
    assert torch.equal(by_audio["input_ids"], one(messages, [codes], generation_prompt=True)["input_ids"])
    with pytest.raises(ValueError, match=r"messages\[0\]: an audio without a source"):
        one.encode({"messages": messages})
    with pytest.raises(ValueError, match="fewer codes or audios were given than there are audios without a source"):
        one(messages, [], generation_prompt=True)
    with pytest.raises(ValueError, match="1 more codes or audios were given than conversations have placeholders"):
        one(messages, [codes, codes], generation_prompt=True)
    with pytest.raises(ValueError, match="codes and audios are both given"):
        one(messages, [codes], audios=[samples])


def test_codes_that_do_not_fit_are_refused_with_their_place():
    with pytest.raises(ValueError, match=r"messages\[0\]: code 60 in frame 1, slot 2: there are 60"):
        processor().encode({"messages": [turn("ann", "a", codes=spoken((1, 2, 3), (1, 2, 60)))]})
    with pytest.raises(ValueError, match=r"messages\[0\]: layout CMF has 3 levels, but 2 tensors of codes"):
        processor().encode({"messages": [turn("ann", "a", codes=[[1], [2]])]})
    with pytest.raises(ValueError, match="all levels must cover the same time"):
        processor().encode({"messages": [turn("ann", "a", codes=[[1, 1], [2], [2]])]})


def test_a_frame_of_zeros_inside_a_turn_would_say_stop_and_is_refused():
    with pytest.raises(SaysStop, match=r'frame 1 is all zeros, which says stop in this model; .*stop="row"'):
        processor().encode({"messages": [turn("ann", "a", codes=spoken((1, 2, 3), (0, 0, 0)))]})


def test_code_files_are_read_and_those_of_another_codec_refused(codec, tmp_path):
    info = CodesInfo.of(codec)
    codes = [np.array(level, np.uint16) for level in frames_of(2)]
    CodeFile(info=info, num_samples=150, codes=codes).save(tmp_path / "a.snac")
    sound = Sound(path=str(tmp_path / "a.snac"))
    one = Conversation(messages=(Message(role="0", text="a", sound=sound),), training_mask=(True,), id="x")
    layout = "CMFFMFF"
    right = ConversationProcessor(character_tokenizer(), layout, [300] * 7, codec_fingerprint=info.codec_fingerprint)
    assert right.encode(one).turns == ((6, 3),)  # <s>[0]a</s>, 2 frames and the stop
    wrong = ConversationProcessor(character_tokenizer(), layout, [300] * 7, codec_fingerprint="0123456789abcdef")
    with pytest.raises(
        ValueError, match=rf"x: messages\[0\]: .*a.snac: codes of codec {info.codec_fingerprint}, but 01"
    ):
        wrong.encode(one)


def turns(*lengths):
    """Turns of these many frames each: one of text, the stop frame, codes."""
    return [turn("ann", "a", codes=spoken(*[(1, 2, 3)] * (length - 2))) for length in lengths]


def test_too_long_a_conversation_loses_its_oldest_turns_whole_and_says_so():
    given = {"id": "x", "messages": turns(5, 6, 7), "training_mask": [True, False, True]}
    whole = processor()([given])
    assert whole.dropped_turns == [0] and whole.notes == []
    for limit, kept, dropped in ((18, 18, 0), (17, 13, 1), (13, 13, 1), (12, 7, 2), (7, 7, 2)):
        batch = processor(max_frames=limit)([given])
        assert batch["input_ids"].shape[1] == kept
        assert batch.dropped_turns == [dropped]
        assert torch.equal(batch["input_ids"], whole["input_ids"][:, 18 - kept :])
        assert torch.equal(batch["labels"], whole["labels"][:, 18 - kept :])
    one = processor(max_frames=12).encode(parse_conversation(given, "t.jsonl line 4"))
    assert one.note == (
        "t.jsonl line 4: the oldest 2 of 3 turns (11 frames) are dropped to fit 12 frames; 1 of them trained"
    )
    assert (one.dropped_turns, one.dropped_trained, one.turns) == (2, 1, ((1, 6),))


def test_a_last_turn_that_does_not_fit_is_an_error_and_never_cut():
    with pytest.raises(ValueError, match="the last turn alone takes 7 frames, max_frames is 6; turns are not cut"):
        processor()([turns(3, 7)], max_frames=6)


def test_the_processor_of_a_model_takes_slots_stop_and_codec_from_its_configuration():
    stage = {"model_type": "llama", "hidden_size": 8, "intermediate_size": 8, "num_attention_heads": 2}
    config = TwoStageConfig(
        backbone=stage, depth_decoder=stage, slot_sizes=[9, 8, 7], text_vocab_size=99, stop="row", codec_fingerprint="f"
    )
    one = ConversationProcessor.for_model(config, character_tokenizer(), max_frames=50)
    assert (one.num_slots, one.text_size, one.max_frames) == (3, 99, 50)
    assert one.stop_frame.tolist() == [9, NONE, NONE]
    assert one.sounds.codec_fingerprint == "f"
    assert one.encode([turn("0", "a", codes=[[8], [7], [6]])]).frames[-2].tolist() == [8, 7, 6, NONE]


def test_a_batch_survives_what_trainers_do_to_it():
    """HF's Trainer rebuilds mappings by their type, accelerate asks them to move, worker processes pickle them."""
    batch = processor()([turns(5, 6)])
    rebuilt = type(batch)({name: tensor for name, tensor in batch.items()})
    moved = batch.to("cpu", non_blocking=True)
    sent = pickle.loads(pickle.dumps(batch))
    for other in (rebuilt, moved, sent):
        assert set(other) == set(batch) and all(torch.equal(other[name], batch[name]) for name in batch)
    assert moved.dropped_turns == sent.dropped_turns == [0]


def test_what_is_no_conversation_is_refused():
    with pytest.raises(ValueError, match="conversations are a list of conversations"):
        processor()([])
    with pytest.raises(ValueError, match=r"conversation 1: messages\[0\].content: an empty turn"):
        processor()([[turn("ann", "a")], [turn("ann")]])
    with pytest.raises(ValueError, match="messages are given where conversations are expected"):
        processor()([Message(role="a", text="b")])
