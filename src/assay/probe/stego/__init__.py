"""Bits hidden in text that a model writes: exact coding, a kind that survives edits, and what an edit costs."""

from assay.probe.stego.blocks import decode_sentences, encode_sentences
from assay.probe.stego.candidates import Pact
from assay.probe.stego.coding import Coded, Decoded, decode, encode

__all__ = ["Coded", "Decoded", "Pact", "decode", "decode_sentences", "encode", "encode_sentences"]
