"""Classification of padded sequences, without computing on most of the padding."""

import dataclasses

from aimodels.tasks.buckets import Bucketed
from aimodels.tasks.classification import Classification


@dataclasses.dataclass(frozen=True)
class SequenceClassification(Bucketed, Classification):
    """Learns a class of sequences [B, T, ...] with `lengths` [B]; see `Bucketed`."""
