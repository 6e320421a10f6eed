"""Where to start: places all over the space, held against the observations by one misfit."""
