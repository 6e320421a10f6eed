"""What the suite cannot measure, each study a command of its own; not part of an installation."""
