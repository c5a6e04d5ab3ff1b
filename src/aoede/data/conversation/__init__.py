"""Conversations: turns of several speakers, some to be learnt and some as context, from JSONL to frames.

`messages` what they are, `reading` and `parsing` files and their mistakes, `preparing` codes ahead of training,
`processor` frames, labels and prompts, `encoded` batches and packed rows, `dataset` items for a trainer, `building`
conversations from single utterances, `show` (`showing`, `page`) for a person.
"""

from .building import Built, build_conversations, save_conversations
from .dataset import ConversationDataset
from .encoded import ConversationBatch, EncodedConversation, fill_rows, packed, padded
from .messages import Conversation, Message, Sound, cloning_prompt
from .parsing import ConversationError, parse_conversation
from .preparing import ConversationSummary, prepare_conversations
from .processor import ConversationProcessor, FrameConfig, SaysStop
from .reading import (
    ConversationScan,
    conversation_file,
    is_conversation_file,
    load_conversations,
    scan_conversations,
    usable,
)
from .sounds import SoundCodes
from .turns import TurnText

__all__ = [
    "Built",
    "Conversation",
    "ConversationBatch",
    "ConversationDataset",
    "ConversationError",
    "ConversationProcessor",
    "ConversationScan",
    "ConversationSummary",
    "EncodedConversation",
    "FrameConfig",
    "Message",
    "SaysStop",
    "Sound",
    "SoundCodes",
    "TurnText",
    "build_conversations",
    "cloning_prompt",
    "conversation_file",
    "fill_rows",
    "is_conversation_file",
    "load_conversations",
    "packed",
    "padded",
    "parse_conversation",
    "prepare_conversations",
    "save_conversations",
    "scan_conversations",
    "usable",
]
