"""How fast avo is, beside what one would use instead: each a race in turns within one run (race.py)."""
