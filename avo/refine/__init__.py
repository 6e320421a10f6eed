"""Learned scores: from the region that the adversarial fit found to an estimate with its error."""
