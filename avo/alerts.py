"""Warnings that name the user's line: the nearest one outside avo, however deep within it a warning is given."""

import sys
import warnings

BETWEEN = {"avo", "jax", "equinox", "jaxtyping", "contextlib"}  # packages between a user's line and what warns


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn in the user's line that called avo.

    `warnings.warn` of Python 3.12 has skip_file_prefixes= for this; 3.11 has not.

    Example:
        >>> with warnings.catch_warnings(record=True) as caught:
        ...     warnings.simplefilter("always")
        ...     warn("x_obs is constant")
        >>> str(caught[0].message), caught[0].filename == __file__
        ('x_obs is constant', False)
    """
    level, frame = 2, sys._getframe(1)  # the second level is what called this
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).partition(".")[0] in BETWEEN:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
