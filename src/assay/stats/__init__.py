"""Scores and their intervals, in pure numpy."""

from assay.stats.auroc import Aurocs, auroc, auroc_estimate, auroc_estimates, folded
from assay.stats.bootstrap import (
    DocumentIndex,
    Estimate,
    Interval,
    document_index,
    document_sums,
    document_weights,
    independent_difference,
    interval,
)
from assay.stats.calibrate import Calibration, Steps, calibrate, calibrate_monotone
from assay.stats.concentration import documents_with_half_the_variance
from assay.stats.context import correlate_in_context, remove_token_means, token_means
from assay.stats.correlation import correlate, moment_sums, pearson
from assay.stats.divergence import jensen_shannon, ratio_score
from assay.stats.firing import auprc, average_precision, best_threshold, bin_borders, f1, f1_score
from assay.stats.literature import (
    Confusion,
    auc,
    confusion,
    cosine,
    detection_accuracy,
    mean_activation_difference,
    spearman,
    top_and_random_r,
)
from assay.stats.multiple import benjamini_hochberg
from assay.stats.proportion import clopper_pearson, wilson
from assay.stats.recall import RecallAt, recall_at, recall_estimate, threshold_at
from assay.stats.score import Scores, checked_arrays, score
from assay.stats.strata import (
    Difference,
    TokenShares,
    TokenSums,
    paired_difference,
    token_shares,
    token_sums,
    trained_minus_twin,
)
from assay.stats.undecided import reasons_undecided, too_few_documents

__all__ = [
    "Aurocs",
    "Calibration",
    "Confusion",
    "Difference",
    "DocumentIndex",
    "Estimate",
    "Interval",
    "RecallAt",
    "Scores",
    "Steps",
    "TokenShares",
    "TokenSums",
    "auc",
    "auprc",
    "auroc",
    "auroc_estimate",
    "auroc_estimates",
    "average_precision",
    "benjamini_hochberg",
    "best_threshold",
    "bin_borders",
    "calibrate",
    "calibrate_monotone",
    "checked_arrays",
    "clopper_pearson",
    "confusion",
    "correlate",
    "correlate_in_context",
    "cosine",
    "detection_accuracy",
    "document_index",
    "document_sums",
    "document_weights",
    "documents_with_half_the_variance",
    "f1",
    "f1_score",
    "folded",
    "independent_difference",
    "interval",
    "jensen_shannon",
    "mean_activation_difference",
    "moment_sums",
    "paired_difference",
    "pearson",
    "ratio_score",
    "reasons_undecided",
    "recall_at",
    "recall_estimate",
    "remove_token_means",
    "score",
    "spearman",
    "threshold_at",
    "token_means",
    "token_shares",
    "token_sums",
    "too_few_documents",
    "top_and_random_r",
    "trained_minus_twin",
    "wilson",
]
