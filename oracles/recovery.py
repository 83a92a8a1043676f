"""Recovers: running out of memory is lawful where the plan needs much, and the device works on after it."""

from __future__ import annotations

from offload_fuzz.trial import Planned, Trial

from .verdict import FAIL, PASS, Verdict

CLAIM = "memory is used up only where much is needed, and the device works as before after that"
#: Kinds of findings.
KINDS = ("out of memory early", "memory lost", "broken after out of memory", "wrong after out of memory")
EARLY, LOST, BROKEN, WRONG = KINDS


class Recovers:
    """After out-of-memory nothing is lost: the same plan comes as far again, and a small program gives its results."""

    def judge(self, trial: Trial) -> Verdict:
        for i, planned in enumerate(trial.planned):
            found = _judge(trial, planned)
            if found is not None:
                kind, text, expected, got = found
                failure = planned.run.failure
                assert failure is not None
                name = trial.places[failure.place].name
                text = f"{text} [{failure.command} on {name}, which said {failure.error}]"
                return Verdict(FAIL, kind, CLAIM, text, i, failure.value, expected=expected, got=got)
        return Verdict(PASS, claim=CLAIM)


def _judge(trial: Trial, planned: Planned) -> tuple[str, str, str, str] | None:
    """Kind, sentence, what should be and what is."""
    r = planned.run.recovery
    if r is None:
        return None
    if r.raised:
        return BROKEN, f"after out of memory {r.raised}, but the device should work on", "no error", r.raised
    what, expected, got = r.wrong
    if what:
        return WRONG, f"after out of memory {what} is {got} but should be {expected}", expected, got
    if r.full:
        text = f"after out of memory a small program was told {r.full}, but nothing else is allocated any more"
        return LOST, text, "room for a small program", r.full
    if r.again < r.first:
        come, again = _commands(r.first), _commands(r.again)
        text = (
            f"run again after out of memory the plan came through {again} but should come through {come}, as at first"
        )
        return LOST, text, come, again
    memory = trial.places[r.place].features.memory
    if memory is not None and r.need <= memory:
        text = f"memory was used up where the plan has {r.need:,} bytes at most, but there should be {memory:,}"
        return EARLY, text, f"room for {r.need:,} bytes", "out of memory"
    return None


def _commands(progress: tuple[int, int]) -> str:
    repetitions, commands = progress
    before = f"{repetitions} repetition and " if repetitions else ""
    return f"{before}{commands} commands"
