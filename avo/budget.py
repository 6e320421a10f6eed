"""How the calls of a fit are divided, in one place; all numbers are calls of the simulator unless said otherwise.

    who gets them                          how many                       why

a fit without budget                   1,300,000 JAX, 100,000 host    code outside JAX takes some 1000 times as long a
                                                                      call
  of a point, in JAX, with a search    at first `enough`, 100,000     by then most fits have an answer, and simulations
                                       for 1,000 observations         widen its errors by less than 2 %
    where it has none yet              as many again, and again, to   the next search begins where the run ended, and
                                       1,300,000 in all               has more places (avo/further.py)
  of a point that starts beside its    `enough_beside`              a search may leave it: of 35 heartbeats it ended
  answer, by least squares                                           54 uV away, without it 4
steps of the adversarial fit           what refining leaves           it finds the region; it needs steps, not calls
  of those at least                    20 steps                       fewer tell nothing
  one step                             `step_numbers`                 progress needs steps more than large batches
  one compiled program                 at most 50 steps, a 20th       progress, checkpoints and stopping in between,
                                       of all; host: one step         none of which takes as long as the steps
  its last simulations, kept           at most 20,000                 the scores are learned from them too, for free
refining                               at most three quarters         the rest must find the region
  of a point                           at most 70,000, or 40 for      simulations widen an error by sqrt(1 + m / M):
                                       each observation               2 % where two thirds of them are M = 26 m
  of a population                      at most 300,000, or 150 for    its slopes come from the same simulations, whose
                                       each observation; for more     noise grows with the unknowns: 5 of two
                                       than 5 unknowns in proportion  parameters, d + d (d + 1) / 2 of d
  at least                             500 a point, 40 for each       below, a slope is noise, and the adversarial
                                       parameter; 4000 a population   estimate stands alone, without an error
  and                                  what it cannot do without,     calls come in whole blocks, and a budget is
                                       `PointRows`, `PopulationRows`  never exceeded; so the same without it
a point's search                       two fifths, at most 60,000;    it comes near from anywhere; with fewer starts
                                       none with fewer than four      it may end anywhere, and steps serve better
                                       starts of its descents
  other ends that fit as well          what the search leaves         half to two more steps of each, half to comparing
                                                                      them with the best one; mostly there is none
without one, a descent from the        `NEAR_SHARE` of refining,      few steps leave parameters behind that the critic
  steps' end                           12 steps at most, none with     hardly sees; the features' means bring them near
                                       fewer calls than for two
choosing among its end and the steps'  `ENDS_SHARE` of refining       misfits differ by far more than their noise
another end that fits as well          `MODE_SHARE` of refining,      it is told whether it is a solution; the rest is
                                       of two at most                 the answer's, whose error is to be small
of a point's refining                  `POINT_SHARES`
  where they are few, of its rounds    up to four times as many,      from fewer rows, scores and slopes are noise, and
                                       `ROUND_SHARE`, `ROUND_CALLS`   q opens, or narrows, where it should not
  pairs apart along what t leaves open `APART_SHARE` of the last calls  whether x responds to it decides what is said of
                                                                      the fit, and few pairs do not show it
of a search                            `SEARCH_SHARES`
of a population's                      `POPULATION_SHARES`
"""

import math
from typing import Any, NamedTuple

BUDGET = 1_300_000  # of a JAX simulator, at most
HOST_BUDGET = 100_000  # of any other
FIRST = 100_000  # of a point without budget, at least; of more than ten parameters in proportion

LEAST_STEPS = 20
CHUNK = 50  # steps between two looks at the clock, at most
REUSE = 20_000  # last simulations of the adversarial fit, at most, from which the scores are learned too

FULL_STEPS = 9000  # of the default size; where the budget has fewer, they have half the pairs
SOME_STEPS = 3000  # of those; where the budget has fewer, steps are small
FEW_CALLS = 1000  # below, a point's steps are smaller still

SHARE = 0.75  # of all calls, at most, to refining; less where the adversarial fit can use them better
ENOUGH = {"point": (70_000, 40), "population": (300_000, 150)}  # at most so many, or so many for each observation
UNKNOWNS = 5  # of a population of two parameters, for which that is enough; more unknowns take more calls
LEAST_REFINE = {"point": 500, "population": 4000}
LEAST_EACH = 40  # and of a point for each parameter, whose slopes take pairs

# Of the calls that refine a point; what is left, some two thirds, goes to simulations at the estimate itself, which the
# error needs, and nothing else. t and E[theta | x] are regressions, good enough from a few thousand rows; a slope is
# precise from few pairs, since these share their random numbers. Where it is not, so that a direction fails the test
# against chance, it gets more of them: a mixture of two normals took 40 % of the calls, and left exact errors
POINT_SHARES = {"round": 0.03, "learn": 0.09, "wide": 0.03, "slope": 0.08, "more": 0.27}
ROUND_SHARE, ROUND_CALLS = 0.12, 1800  # of a round: that share of few calls, that many at most, or the share above
# Of a population's: t anew in each of three phases, short rounds that find the place, larger ones that settle it, and
# simulations at the answer that encoded observations are held against; what is left, half where the
# rounds are few, goes to the last comparison
POPULATION_SHARES = {"learn": 0.08, "round": 0.02, "settle": 0.1, "again": 0.02}

MOST_BUDGET = 10**10  # of which the steps, of 16 calls, still count in 32 bits
PROBES = 2  # calls of a simulator outside JAX with one theta and one seed, of those that refine, before all others
SEARCH_SHARE, MOST_SEARCH = 0.4, 60_000
NEAR_SHARE, NEAR_STEPS, LEAST_NEAR = 0.2, 12, 2  # of a descent without a search: its steps at most, and at least
NEAR_CHOICE = 0.05  # of its calls, to each of the two ends that are chosen from
ENDS_SHARE = 0.01
APART_SHARE = 1 / 3
MODE_SHARE = 0.3

# Of a search's: places all over the space, stages of places around the best candidate, the nearest places again, and
# rounds of descents, each of half as many starts as the one before, and with as many calls; choices are made by fresh
# simulations, one before each stage, one after each round, one at the end
SEARCH_SHARES = {"first": 0.14, "stage": 0.025, "choice": 0.01, "again": 0.14, "round": 0.1, "rank": 0.04, "end": 0.05}
SEARCH_STAGES, SEARCH_EACH = 4, 16  # simulations at each place, at least: the misfit tells places apart from so few
CANDIDATES = 4  # in each choice, at most
LEAST_PLACES = 20  # all over the space; a regression on fewer says nothing
AGAIN_EACH = 64  # simulations at each of the nearest places
ENDS, ENDS_STEPS = 3, 2  # of descents, that fit equally well, at most; steps of those elsewhere with what is left
STARTS, DESCENT_STEPS = 8, (3, 3, 2, 2)  # of descents, at most; steps of each round's
LEAST_STARTS = 4  # without which a fit does without a search
LEAST_PAIRS = 32  # of a step's slope, and four for each parameter


def whole_blocks(rows: float, size: int) -> int:
    """Round a number of rows down to whole blocks, at least one.

    Example:
        >>> whole_blocks(100, 32), whole_blocks(7.5, 32)
        (96, 32)
    """
    return max(int(rows) // size, 1) * size


class PointRows(NamedTuple):
    """Calls of the parts of a point's refining, in whole blocks: what `of` gives.

    Args:
        look: simulations from q in each round.
        few: a round's mirrored pairs for the slope, and as many at its centre.
        learn: of the last t.
        wide: of E[theta | x].
        slope: mirrored pairs for the last slope.
        more: further ones, where a direction fails the test against chance.
        size: rows of a block.
    """

    look: int
    few: int
    learn: int
    wide: int
    slope: int
    more: int
    size: int

    @staticmethod
    def of(calls: int, size: int, parameters: int) -> "PointRows":
        """Divide the calls that refine a point; a slope has at least one pair more than there are parameters.

        Example:
            >>> PointRows.of(7500, 4, 2)
            PointRows(look=448, few=224, learn=672, wide=224, slope=600, more=2024, size=4)
            >>> PointRows.of(540, 32, 2).least
            416
        """
        pair = 2 * size
        shares = {name: share * calls for name, share in POINT_SHARES.items()}
        shares["round"] = max(shares["round"], min(ROUND_SHARE * calls, ROUND_CALLS))
        part = {name: whole_blocks(share, pair) for name, share in shares.items()}
        least = 2 * (parameters + size)
        few, slope = (whole_blocks(max(rows, least), pair) for rows in (part["round"] / 4, part["slope"]))
        look = whole_blocks(part["round"] / 2, size)
        return PointRows(look, few, part["learn"], part["wide"], slope, part["more"], size)

    @property
    def round(self) -> int:
        """Calls of one round."""
        return self.look + 2 * self.few

    @property
    def rest(self) -> int:
        """Calls that must be left when the rounds end; of the last two blocks one is for the last step's check."""
        return self.learn + self.wide + self.slope + 2 * self.size

    @property
    def least(self) -> int:
        """Fewest calls that refine a point."""
        return self.round + self.rest


class PopulationRows(NamedTuple):
    """Calls of the parts of a population's refining, in whole blocks of `size` rows: what `of` gives."""

    learn: int
    round: int
    settle: int
    again: int
    size: int

    @staticmethod
    def of(calls: int, size: int) -> "PopulationRows":
        """Divide the calls that refine a population.

        Example:
            >>> PopulationRows.of(4000, 128)
            PopulationRows(learn=256, round=128, settle=384, again=128, size=128)
        """
        part = {name: whole_blocks(share * calls, size) for name, share in POPULATION_SHARES.items()}
        return PopulationRows(**part, size=size)

    @property
    def last(self) -> int:
        """Calls that must be left when the last round ends: one block at least to the last comparison."""
        return self.again + self.size

    @property
    def another(self) -> int:
        """Calls that must be left where another phase follows."""
        return self.learn + self.round + self.last

    @property
    def least(self) -> int:
        """Fewest calls that refine a population, in two phases of one round."""
        return self.learn + self.round + self.another


class Round(NamedTuple):
    """A round of descents: how many starts go on, by so many steps of so many pairs; `choice` rows at each end."""

    starts: int
    steps: int
    pairs: int
    choice: int


class SearchRows(NamedTuple):
    """Places of the parts of a search, and the simulations at each, in whole blocks: what `of` gives.

    Args:
        first: places all over the space.
        stage: places around a candidate, in each of so many `stages`.
        each: simulations at each of these places.
        choice: simulations at each candidate of a choice.
        stages: how many there are.
        again: places of least misfit that are looked at again, with `again_each` simulations.
        again_each: of those.
        rounds: of descents.
        end: simulations at each of three ends, at most.
    """

    first: int
    stage: int
    each: int
    choice: int
    stages: int
    again: int
    again_each: int
    rounds: tuple[Round, ...]
    end: int

    @staticmethod
    def of(calls: int, size: int, parameters: int) -> "SearchRows":
        """Divide the calls of a search; where they are few, descents have fewer starts.

        Raises:
            ValueError: if they are too few for places that a regression could take.

        Example:
            >>> rows = SearchRows.of(40_000, 16, 4)
            >>> rows.first, rows.stage, rows.again, rows.end
            (350, 62, 87, 656)
            >>> [(now.starts, now.pairs) for now in rows.rounds]
            [(8, 32), (4, 80), (2, 240), (1, 496)]
        """
        least = SearchRows.least(size, parameters)
        if calls < least:
            raise ValueError(f"a search in blocks of {size} rows takes at least {least} calls; got {calls}.")
        part = {name: share * calls for name, share in SEARCH_SHARES.items()}
        each, again_each = (size * -(-rows // size) for rows in (SEARCH_EACH, AGAIN_EACH))
        few = _least_pairs(size, parameters)
        starts = [max(min(int(part["round"] / (4 * DESCENT_STEPS[0] * few)), STARTS), 1)]
        while starts[-1] > 1:
            starts.append(-(-starts[-1] // 2))
        rounds = []
        for number, steps in zip(starts, DESCENT_STEPS[-len(starts) :], strict=True):
            pairs = max(whole_blocks(part["round"] / (4 * number * steps), size), few)
            rounds.append(Round(number, steps, pairs, whole_blocks(part["rank"] / number, size)))
        return SearchRows(
            first=int(part["first"]) // each,
            stage=int(part["stage"]) // each,
            each=each,
            choice=whole_blocks(part["choice"] / CANDIDATES, size),
            stages=SEARCH_STAGES,
            again=max(int(part["again"]) // again_each, 1),
            again_each=again_each,
            rounds=tuple(rounds),
            end=whole_blocks(part["end"] / 3, size),
        )

    @staticmethod
    def least(size: int, parameters: int) -> int:
        """Compute the fewest calls of a search in blocks of so many rows."""
        each, choices = size * -(-SEARCH_EACH // size), CANDIDATES * size
        descent = 4 * DESCENT_STEPS[-1] * _least_pairs(size, parameters)
        parts = {"first": LEAST_PLACES * each, "choice": choices, "round": descent, "end": 3 * size, "rank": size}
        return round(max(rows / SEARCH_SHARES[name] for name, rows in parts.items()))


def _least_pairs(size: int, parameters: int) -> int:
    """Compute the fewest pairs of a descent's slope."""
    return size * -(-max(LEAST_PAIRS, 4 * parameters) // size)


def for_descent(calls: int, size: int, parameters: int) -> Round | None:
    """Divide the calls of a point's refining: the descent before it, where there was no search; None with few calls.

    Example:
        >>> for_descent(15_000, 16, 3), for_descent(1000, 16, 3)
        (Round(starts=1, steps=12, pairs=48, choice=144), None)
    """
    share, few = NEAR_SHARE * calls, _least_pairs(size, parameters)
    steps = min(int((1 - 2 * NEAR_CHOICE) * share / (4 * few)), NEAR_STEPS)
    if steps < LEAST_NEAR:
        return None
    pairs = max(whole_blocks((1 - 2 * NEAR_CHOICE) * share / (4 * steps), size), few)
    return Round(1, steps, pairs, whole_blocks(NEAR_CHOICE * share, size))


def least_refining(calls: int, target: str, size: int, parameters: int) -> int:
    """Compute how many of so many calls refining cannot do without, where blocks have `size` rows.

    Example:
        >>> least_refining(500, "point", 256, 2), least_refining(4000, "population", 128, 2)
        (3328, 1024)
    """
    rows = PointRows.of(calls, size, parameters) if target == "point" else PopulationRows.of(calls, size)
    return rows.least


def for_mode(refine: int, size: int, parameters: int) -> int:
    """Compute how many of a point's calls for refining another end that fits as well gets, 0 where they are too few.

    Example:
        >>> for_mode(70_000, 16, 2), for_mode(4000, 256, 2)
        (21000, 0)
    """
    calls = int(MODE_SHARE * refine)
    return calls if calls >= least_refining(calls, "point", size, parameters) else 0


class Plan(NamedTuple):
    """How the calls of a fit are divided.

    Args:
        steps: steps of the adversarial fit.
        chunk: steps between two looks.
        reuse: last steps whose simulations refining learns from too.
        refine: calls left to refining; 0: none.
        search: calls of the search; 0: none.
    """

    steps: int
    chunk: int
    reuse: int
    refine: int
    search: int = 0

    def calls(self, step: int) -> int:
        """Compute the calls of all parts, where a step takes so many."""
        return self.steps * step + self.refine + self.search


def step_numbers(budget: int, target: str) -> dict[str, Any]:
    """Choose the numbers of one step of the adversarial fit, by the settings' names.

    Progress needs steps more than it needs large batches. Below 9000 steps of the default size they have half the
    pairs; below 3000 of those, 8 pairs and a critic's batch of 16. A point's steps are then longer by
    sqrt(9000 / steps), up to twice, and the critic is trained on each step's simulations 8 times, since few steps
    would leave it behind: with 10,000 calls, three quarters of them for refining, 6 of 16 fits of a pendulum failed
    after one pass, and none after 8. Below 1000 calls a point's steps have half of all that, and 16 passes.

    Args:
        budget: calls of the adversarial fit.
        target: "point" or "population".

    Example:
        >>> step_numbers(300_000, "point"), step_numbers(100_000, "population")
        ({'pairs': 16}, {'pairs': 8, 'batch': 16})
    """
    full, half, small = 128, 96, 32  # calls of the steps above
    if budget >= SOME_STEPS * half:
        return {"pairs": 32 if budget >= FULL_STEPS * full else 16}
    if target == "population":
        return {"pairs": 8, "batch": 16}
    longer = min(max(FULL_STEPS * small / max(budget, 1), 1.0), 4.0) ** 0.5
    size = {"pairs": 4, "batch": 8, "passes": 16} if budget < FEW_CALLS else {"pairs": 8, "batch": 16, "passes": 8}
    return size | {"rate": (0.1 * longer,) * 2}


def for_refining(budget: int, target: str, step: int, observations: int, parameters: int) -> int:
    """Divide a budget between the adversarial fit and refining: the calls of the latter, 0 where they are too few.

    Args:
        budget: calls in all.
        target: "point" or "population".
        step: calls of the smallest step.
        observations: how many there are.
        parameters: how many there are.

    Example:
        >>> for_refining(1_300_000, "point", 16, 500, 2), for_refining(10_000, "point", 16, 500, 2)
        (70000, 7500)
    """
    most, each = ENOUGH[target]
    unknowns = parameters + parameters * (parameters + 1) // 2
    times = max(unknowns / UNKNOWNS, 1.0) if target == "population" else 1.0
    calls = int(min(SHARE * budget, max(most, each * observations) * times, budget - LEAST_STEPS * step))
    return calls if calls >= max(LEAST_REFINE[target], LEAST_EACH * parameters) else 0


def chunk_of(steps: int) -> int:
    """Choose the steps between two looks at a fit: enough to judge a simulator by, few enough to stop it soon.

    Example:
        >>> chunk_of(300), chunk_of(10_000)
        (15, 50)
    """
    return min(steps // LEAST_STEPS, CHUNK)


def enough(observations: float, parameters: int) -> int:
    """Compute the calls by which a point's fit with a search has its answer if all goes well, at most `BUDGET`.

    Args:
        observations: how many there are.
        parameters: how many there are.

    Example:
        >>> enough(1000, 2), enough(10_000, 2), enough(10**6, 2)
        (100000, 593334, 1300000)
    """
    refine = ENOUGH["point"][1] * observations
    calls = min(
        refine / (SHARE * (1 - SEARCH_SHARE)), MOST_SEARCH + refine / SHARE
    )  # a part of a search, or a whole one
    return min(max(FIRST, FIRST // 10 * parameters, math.ceil(calls)), BUDGET)


def enough_beside(observations: int) -> int:
    """Compute the calls of a point's fit that starts beside its answer, without a search.

    Example:
        >>> enough_beside(500), enough_beside(2250)
        (100000, 120000)
    """
    most, each = ENOUGH["point"]
    return min(max(FIRST, math.ceil(max(most, each * observations) / SHARE)), BUDGET)


def further(calls: int) -> int:
    """Compute how many calls a fit without budget goes on with, after so many without an answer.

    Example:
        >>> further(100_000), further(800_000), further(1_300_000)
        (100000, 500000, 0)
    """
    return min(calls, BUDGET - calls)


def for_search(budget: int, size: int, parameters: int) -> int:
    """Divide a budget between the search and all else: the calls of the former, 0 where they are too few.

    Args:
        budget: calls in all.
        size: rows of a block.
        parameters: how many there are.

    Example:
        >>> for_search(100_000, 16, 2), for_search(1_300_000, 32, 2), for_search(20_000, 16, 2)
        (40000, 60000, 0)
    """
    search = int(min(SEARCH_SHARE * budget, MOST_SEARCH))
    enough = search >= SearchRows.least(size, parameters)
    return search if enough and SearchRows.of(search, size, parameters).rounds[0].starts >= LEAST_STARTS else 0


def searched_from(size: int, parameters: int) -> int:
    """Compute the calls of a point's fit from which it has a search.

    Example:
        >>> searched_from(16, 2), for_search(38_400, 16, 2), for_search(38_000, 16, 2)
        (38400, 15360, 0)
    """
    round_ = LEAST_STARTS * 4 * DESCENT_STEPS[0] * _least_pairs(size, parameters)
    calls = max(round_ / SEARCH_SHARES["round"], SearchRows.least(size, parameters))
    return math.ceil(round(calls / SEARCH_SHARE, 6))


def plan(budget: int, refine: int, step: int, host: bool, search: int = 0) -> Plan:
    """Plan a fit: whole chunks of steps, and how many of the last ones are kept for refining.

    Args:
        budget: calls in all.
        refine: those of refining.
        step: calls of one step.
        search: those of the search.
        host: whether the simulator runs outside of compiled programs, where each step is its own chunk.

    Raises:
        ValueError: if the budget is too small for `LEAST_STEPS` steps.

    Example:
        >>> plan(100_000, refine=70_000, step=32, host=False)
        Plan(steps=920, chunk=46, reuse=625, refine=70000, search=0)
    """
    steps = (budget - refine - search) // step
    if steps < LEAST_STEPS:
        raise ValueError(
            f"budget={budget} is too small: a step takes {step} simulator calls, and a fit needs at least "
            f"{LEAST_STEPS} steps, {LEAST_STEPS * step} calls; thousands of steps are usual."
        )
    chunk = 1 if host else chunk_of(steps)
    return Plan(steps - steps % chunk, chunk, min(REUSE, refine) // step, refine, search)
