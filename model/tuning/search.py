"""A search of a network's settings by Optuna: a journal on disk that several processes share and that resumes.

Each trial is held by the process that works on it, with a lock that dies with the process. Another process, or the
same command typed again, goes on with a trial that nobody holds, at its finished folds. All trials count: the budget is
the number of trials in the journal, whoever made them.
"""

from __future__ import annotations

import fcntl
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from bigfusion.model.spaces import Choice, Range, Space, Value
from bigfusion.pipeline.digests.values import digest
from bigfusion.pipeline.errors import SettingsError, TrainingError

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.distributions import BaseDistribution

log = logging.getLogger("bigfusion")

_FACTS, _WHY, _SEEDS = "facts", "why", "seeds"


@dataclass(frozen=True)
class Tried:
    """A finished trial: its settings, and its score. ``score`` is none if it could not be trained, as ``why`` says."""

    number: int
    settings: dict[str, Value]
    score: float | None
    seeds: tuple[float, ...] = ()
    why: str = ""


@dataclass(frozen=True)
class Search:
    """A search in ``folder``, which may hold those of other networks. ``facts`` are what its scores depend on.

    A journal of an earlier version may tell fewer of them.
    """

    folder: Path
    name: str
    space: Space
    start: Mapping[str, Value]
    facts: Mapping[str, Any]

    def run(
        self,
        budget: int,
        score: Callable[[Mapping[str, Value]], list[float]],
        told: Callable[[Tried], None] = lambda tried: None,
    ) -> list[Tried]:
        """Try settings until the journal holds ``budget`` trials. Returns all that are finished, oldest first.

        ``score`` gives the score of each seed. Settings with which nothing can be trained (:class:`TrainingError`) are
        a trial without a score.

        Raises:
            SettingsError: Optuna is not installed, or the journal is that of another search.
        """
        study = self._study()
        if untold := [key for key in self.facts if key not in study.user_attrs[_FACTS]]:
            log.warning(
                "tune: %s.journal does not tell the %s of its earlier trials, which may differ; to search anew, name"
                " another folder with --out", self.name, " and ".join(untold),
            )  # fmt: skip
        while True:
            with self._next(study, budget) as trial:
                if trial is None:
                    return self._tried(study)
                values = dict(trial.params)
                try:
                    found = score(values)
                    trial.set_user_attr(_SEEDS, found)
                    study.tell(trial, sum(found) / len(found))
                except TrainingError as error:
                    trial.set_user_attr(_WHY, str(error))
                    study.tell(trial, state=_states().FAIL)
            told(next(tried for tried in self._tried(study) if tried.number == trial.number))

    def importance(self) -> dict[str, float]:
        """How much of the scores' variance each setting explains (fANOVA). Empty if that cannot be told yet."""
        from optuna.importance import FanovaImportanceEvaluator, get_param_importances

        study = self._study()
        try:
            return dict(get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=0)))
        except (RuntimeError, ValueError):  # fewer than two scores, or all equal
            return {}

    def _study(self) -> Study:
        if find_spec("optuna") is None:
            raise SettingsError("tune: expected the package optuna, found none; pip install 'bigfusion[tune]'")
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        optuna.logging.set_verbosity(logging.WARNING)
        self.folder.mkdir(parents=True, exist_ok=True)
        journal = self.folder / f"{self.name}.journal"
        with self._held("begin"):
            study = optuna.create_study(
                study_name=self.name,
                storage=JournalStorage(JournalFileBackend(str(journal))),
                direction="maximize",
                load_if_exists=True,
            )
            facts = {**self.facts, "space": {key: repr(what) for key, what in self.space.items()}}
            known = study.user_attrs.get(_FACTS)
            if known is None:
                study.set_user_attr(_FACTS, facts)
                study.enqueue_trial({key: value for key, value in self.start.items() if fits(self.space[key], value)})
            elif other := ", ".join(key for key in known if known[key] != facts.get(key)):
                raise SettingsError(
                    f"{journal}: expected no search or this one, found one with other {other}; name another folder with"
                    " --out"
                )
        return study

    @contextmanager
    def _next(self, study: Study, budget: int) -> Iterator[Trial | None]:
        """A trial that this process holds: one that nobody works on any more, or else a new one; none at the end."""
        import optuna

        held: IO[str] | None = None
        with self._held("ask"):
            trial: Trial | None = None
            for known in study.get_trials(deepcopy=False, states=(_states().RUNNING,)):
                held = self._claimed(known.number)
                if held is not None and self._is_running(study, known.number):
                    trial = optuna.trial.Trial(study, known._trial_id)
                    break
                if held is not None:  # its process ended it before it let go of the lock
                    held.close()
                    held = None
            if trial is None:
                made = [one for one in study.get_trials(deepcopy=False) if one.state != _states().WAITING]
                if len(made) < budget:
                    seed = int(digest([self.name, len(made)])[:8], 16)
                    study.sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True)
                    trial = study.ask({key: _distribution(what) for key, what in self.space.items()})
                    held = self._claimed(trial.number)
        try:
            yield trial
        finally:
            if held is not None:
                held.close()

    def _is_running(self, study: Study, number: int) -> bool:
        running = study.get_trials(deepcopy=False, states=(_states().RUNNING,))
        return any(trial.number == number for trial in running)

    def _claimed(self, number: int) -> IO[str] | None:
        """The lock of a trial, or none if another process has it. It is free as soon as its file is closed."""
        file = self._lock(f"trial-{number}")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return None
        return file

    @contextmanager
    def _held(self, what: str) -> Iterator[None]:
        """One process at a time."""
        with self._lock(what) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _lock(self, what: str) -> IO[str]:
        folder = self.folder / "locks"
        folder.mkdir(parents=True, exist_ok=True)
        return (folder / f"{self.name}-{what}").open("a")

    def _tried(self, study: Study) -> list[Tried]:
        finished = study.get_trials(deepcopy=False, states=(_states().COMPLETE, _states().FAIL))
        return [
            Tried(
                number=one.number,
                settings=dict(one.params),
                score=one.value,
                seeds=tuple(one.user_attrs.get(_SEEDS, ())),
                why=one.user_attrs.get(_WHY, ""),
            )
            for one in finished
        ]


def best(tried: list[Tried]) -> Tried | None:
    """The trial with the best score; of equal ones the first."""
    scored = [one for one in tried if one.score is not None]
    return max(scored, key=lambda one: (one.score or 0.0, -one.number)) if scored else None


def fits(what: Range | Choice, value: Value) -> bool:
    """Whether a value lies in its part of a space."""
    if isinstance(what, Choice):
        return value in what.values
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and what.low <= float(value) <= what.high


def _distribution(what: Range | Choice) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(what, Choice):
        return CategoricalDistribution(what.values)
    if what.whole:
        return IntDistribution(int(what.low), int(what.high), log=what.log)
    return FloatDistribution(what.low, what.high, log=what.log)


def _states() -> Any:
    from optuna.trial import TrialState

    return TrialState
