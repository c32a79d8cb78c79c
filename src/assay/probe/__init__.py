"""Lab: is it represented here? And is it gone? Names are imported when they are first used: methods need no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assay.core.doors import lazy_door

if TYPE_CHECKING:
    from assay.fit.probes.base import LinearProbe as LinearProbe
    from assay.fit.probes.ccs import CCS as CCS
    from assay.fit.probes.ccs import folded_accuracy as folded_accuracy
    from assay.fit.probes.ccs_recursive import RecursiveCCS as RecursiveCCS
    from assay.fit.probes.lat import LAT as LAT
    from assay.fit.probes.lda import LDA as LDA
    from assay.fit.probes.logistic import Logistic as Logistic
    from assay.fit.probes.mean_diff import MeanDifference as MeanDifference
    from assay.fit.probes.random_probe import RandomDirection as RandomDirection
    from assay.fit.probes.random_probe import orthogonal_random as orthogonal_random
    from assay.fit.probes.registry import METHODS as METHODS
    from assay.fit.probes.registry import make_probe as make_probe
    from assay.fit.probes.sign_vectors import SignVectors as SignVectors
    from assay.fit.probes.sign_vectors import sign_vectors as sign_vectors
    from assay.probe.attacks.insample import in_sample as in_sample
    from assay.probe.attacks.run import ATTACKS as ATTACKS
    from assay.probe.attacks.run import Attacked as Attacked
    from assay.probe.attacks.run import run_attacks as run_attacks
    from assay.probe.erasers.eraser import Eraser as Eraser
    from assay.probe.erasers.inlp import InlpFitter as InlpFitter
    from assay.probe.erasers.leace import LeaceFitter as LeaceFitter
    from assay.probe.erasers.mean import MeanFitter as MeanFitter
    from assay.probe.erasers.registry import ERASERS as ERASERS
    from assay.probe.erasers.registry import make_fitter as make_fitter
    from assay.probe.erasers.rlace import RlaceFitter as RlaceFitter
    from assay.probe.erasers.tukey import TukeyFitter as TukeyFitter

_PLACES = {
    "ATTACKS": "attacks.run",
    "Attacked": "attacks.run",
    "CCS": "assay.fit.probes.ccs",
    "ERASERS": "erasers.registry",
    "Eraser": "erasers.eraser",
    "InlpFitter": "erasers.inlp",
    "LAT": "assay.fit.probes.lat",
    "LDA": "assay.fit.probes.lda",
    "LeaceFitter": "erasers.leace",
    "LinearProbe": "assay.fit.probes.base",
    "Logistic": "assay.fit.probes.logistic",
    "METHODS": "assay.fit.probes.registry",
    "MeanDifference": "assay.fit.probes.mean_diff",
    "MeanFitter": "erasers.mean",
    "RandomDirection": "assay.fit.probes.random_probe",
    "RecursiveCCS": "assay.fit.probes.ccs_recursive",
    "RlaceFitter": "erasers.rlace",
    "SignVectors": "assay.fit.probes.sign_vectors",
    "TukeyFitter": "erasers.tukey",
    "folded_accuracy": "assay.fit.probes.ccs",
    "in_sample": "attacks.insample",
    "make_fitter": "erasers.registry",
    "make_probe": "assay.fit.probes.registry",
    "orthogonal_random": "assay.fit.probes.random_probe",
    "run_attacks": "attacks.run",
    "sign_vectors": "assay.fit.probes.sign_vectors",
}

__all__ = [
    "ATTACKS",
    "CCS",
    "ERASERS",
    "LAT",
    "LDA",
    "METHODS",
    "Attacked",
    "Eraser",
    "InlpFitter",
    "LeaceFitter",
    "LinearProbe",
    "Logistic",
    "MeanDifference",
    "MeanFitter",
    "RandomDirection",
    "RecursiveCCS",
    "RlaceFitter",
    "SignVectors",
    "TukeyFitter",
    "folded_accuracy",
    "in_sample",
    "make_fitter",
    "make_probe",
    "orthogonal_random",
    "run_attacks",
    "sign_vectors",
]
__getattr__ = lazy_door(__name__, _PLACES)
