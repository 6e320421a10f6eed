"""scikit-learn, imported where it is first needed: it comes with the extra `compare`."""

from importlib import import_module
from typing import Any


def sklearn_module(name: str) -> Any:
    """Import `sklearn.<name>`.

    Raises:
        ImportError: if scikit-learn is not installed; says how to install it.

    Example:
        >>> sklearn_module("metrics").roc_auc_score([0, 0, 1], [0.2, 0.5, 0.7])
        1.0
    """
    try:
        return import_module(f"sklearn.{name}")
    except ImportError as error:
        raise ImportError("This needs the package scikit-learn: pip install 'avo-sbi[compare]'.") from error
