"""Masks secrets in text: by the name before a value, by the shape of a value, by the option of a command, in URLs."""

from stumble.wire.masking.mask import MAX_TEXT, MaskedText, mask_secrets
from stumble.wire.masking.values import MASK

__all__ = ["MASK", "MAX_TEXT", "MaskedText", "mask_secrets"]
