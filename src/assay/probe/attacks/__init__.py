"""Attacks: readers of several kinds that look for a concept where it is said to be gone, each against its null."""

from assay.probe.attacks.insample import InSample, in_sample
from assay.probe.attacks.run import ATTACKS, Attacked, run_attacks

__all__ = ["ATTACKS", "Attacked", "InSample", "in_sample", "run_attacks"]
