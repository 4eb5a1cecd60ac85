"""Numbers without physics: counts, draws, fits, ratios, hypotheses, limits, intervals."""

from .hypotheses import (
    asimov_fixed,
    bounded_ratio,
    cls_asymptotic,
    cls_toys,
    global_p_value,
    importance_p_value,
    likelihood_ratio,
    p_value,
    profile_ratio,
    scan_maximum,
    significance,
    tail_p_value,
    toy_p_value,
    upcrossings,
    wilks_p_value,
)
from .intervals import feldman_cousins
from .limits import find_limit

__all__ = [
    "asimov_fixed",
    "bounded_ratio",
    "cls_asymptotic",
    "cls_toys",
    "feldman_cousins",
    "find_limit",
    "global_p_value",
    "importance_p_value",
    "likelihood_ratio",
    "p_value",
    "profile_ratio",
    "scan_maximum",
    "significance",
    "tail_p_value",
    "toy_p_value",
    "upcrossings",
    "wilks_p_value",
]
