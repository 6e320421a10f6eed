"""The `avo` command: list simulators, draw from one, fit one to a file.

Everything here is calling the library by the words of a command line, whose meaning is found in `avo.command.sources`,
and writing its answers into a folder. A mistake of the user's ends as one sentence on stderr and exit status 2; an
unexpected error keeps its traceback, with exit status 1. `avo fit` ends with exit status 0 if the fit is an answer
(`Result.answered`) and 3 if it is not; `avo report` and `avo check` of such a fit with 0, since they say what they are
asked.

    line          the command line: its commands, in the order of `avo --help`
    listing       list, gallery, info, simulate
    fitting       fit
    runs          report, check and replay, of a run that is there
    comparing     latents compare
    training      latents train, latents traverse
    sides         latents page
    benchmarking  bench
    options       what several commands take; errors as sentences
    stopping      Ctrl-C, wherever it comes
    sources       what the words of a command mean
    words         those of single options
    modules       files of users
    signals       signals of latents: whose, who trains, what is kept of them
    outcome       what a fit leaves behind
    programs      compiled programs, kept for the next command

So that `avo --help`, `avo list` and `avo info` answer at once, the first ten import JAX, and what needs it, inside
their functions.
"""

from avo.command.line import app, main

__all__ = ["app", "main"]
