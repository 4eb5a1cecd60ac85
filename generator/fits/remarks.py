"""What a fit takes from elsewhere than its events, or leaves out, said in one line each."""

from __future__ import annotations

import warnings

from ...physics.channels import get_channel
from ..files.writers import Events
from ..lab.efficiency_files import digest
from ..lab.settings import EfficiencySettings
from ..run.card import RunCard
from .card import FitCard


def remark(file: Events, run: RunCard, card: FitCard) -> None:
    """Warn of what the density of a fit leaves out, or takes from elsewhere than the events."""
    if "q2_reco" in file.schema and card.resolution is None:
        warnings.warn(
            "resolution: it is not in the density of this fit, which takes q2 of the decay; take resolution = file for "
            "one in q2_reco",
            RuntimeWarning,
            stacklevel=4,
        )
    settings = card.efficiency or run.stages.get("efficiency")
    made_with = file.provenance.get("stages", {}).get("efficiency", {}).get("sha256", {})
    if not isinstance(settings, EfficiencySettings) or not made_with:
        return
    for source in dict.fromkeys(settings.source(get_channel(str(one["name"]))) for one in file.channels().values()):
        if digest(source) not in made_with.values():
            warnings.warn(
                f"efficiency = {source!r}: not a map that these events were made with, which had the SHA-256 "
                f"{' or '.join(text[:12] for text in made_with.values())}; errors and values are those with this one",
                RuntimeWarning,
                stacklevel=4,
            )
