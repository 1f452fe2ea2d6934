"""The wrapper around a pilot's model: serving, records, review and gates."""

from pilot.contract import Answer, Item, Prediction

__all__ = ["Answer", "Item", "Prediction"]
