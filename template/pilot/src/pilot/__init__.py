"""The wrapper around a pilot's model: serving, records, review and gates."""

from pilot.contract import Answer, Item, Prediction
from pilot.fields import Draft, SameSet, SameText, Within

__all__ = ["Answer", "Draft", "Item", "Prediction", "SameSet", "SameText", "Within"]
