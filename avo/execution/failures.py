"""How a call of a user's simulator fails."""


class CallFailed(RuntimeError):
    """A call failed; the message says at which parameters, why, and how to repeat it."""
