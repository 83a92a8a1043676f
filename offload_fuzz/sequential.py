"""The short proof: of schedules in which every call is done when it returns, without clocks."""

from __future__ import annotations

from offload_fuzz import schedule as s
from offload_fuzz.schedule import Schedule


def is_sequential(schedule: Schedule) -> bool:
    """Whether every call is done when it returns and reads what was written whole before: a proof without clocks.

    It knows no release, donation, event or handing over for good, nor buffers that share a part of their bytes: of a
    schedule with these, as of one that is not lawful, it says False, and `prove` decides.
    """
    buffers = schedule.buffers
    first: dict[int, s.Buffer] = {}  # by storage: the buffer that was made first
    known: set[int] = set()  # buffers that were made
    valid: set[int] = set()  # those of them whose bytes are still theirs

    def is_new(number: int) -> bool:
        new = buffers[number]
        old = first.setdefault(new.storage, new)
        if number in known or (old is not new and (old.start, old.stop) != (new.start, new.stop)):
            return False
        known.add(number)
        valid.add(number)
        return True

    if not all(map(is_new, schedule.inputs + schedule.company)):
        return False
    for c in schedule.commands:
        if isinstance(c, s.Launch):
            lawful = c.blocking and c.donated is None and valid.issuperset(c.operands) and is_new(c.target)
        elif isinstance(c, s.Upload | s.Download | s.Copy):
            kept = isinstance(c, s.Upload) and c.source_free == "never"
            lawful = c.blocking and not kept and c.source in valid and is_new(c.target)
        elif isinstance(c, s.Arrange):
            lawful = c.source in valid and is_new(c.target)
        elif isinstance(c, s.Drop):
            lawful = c.buffer in valid
            valid.discard(c.buffer)
        elif isinstance(c, s.Overwrite):
            lawful, storage = c.buffer in valid, buffers[c.buffer].storage
            valid.difference_update([n for n in valid if buffers[n].storage == storage])
        else:
            return False
        if not lawful:
            return False
    return valid.issuperset(schedule.results) and all(n in valid for _, n in schedule.probes)
