"""Variational optimization of any function: a proposal over parameters that follows the natural gradient."""
