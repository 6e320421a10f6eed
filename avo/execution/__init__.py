"""Where users' simulators are called: in blocks of rows with one key each, on the host or inside a compiled program."""
