"""Behaviours to steer to: contrast pairs, neutral prompts, scored words. No torch."""

from assay.text.behaviours.behaviour import CHAT, REPLIES, REQUESTS, TEXT, Behaviour, stems
from assay.text.behaviours.load import behaviour_names, load_behaviour, read_behaviour

__all__ = [
    "CHAT",
    "REPLIES",
    "REQUESTS",
    "TEXT",
    "Behaviour",
    "behaviour_names",
    "load_behaviour",
    "read_behaviour",
    "stems",
]
