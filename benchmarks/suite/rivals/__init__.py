"""Rivals of avo: searches for the best theta, and posteriors."""
