"""In-order queues whose commands run late, early or in between, as long as every promised order is kept."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from attrs import frozen

from offload_fuzz.adapters.simulated.draws import Draws

#: eager: a command runs when it is issued. late: when a synchronisation requires it, and not before. random: the
#: queues go on in seeded steps in between.
ORDERS = ("eager", "late", "random")


@frozen(eq=False, slots=True)
class Event:
    """Happened once `queue` has run its first `position` commands."""

    device: str
    queue: Queue
    position: int

    @property
    def has_happened(self) -> bool:
        return self.queue.done >= self.position


#: A thing to do, or an event to come first.
Command: TypeAlias = Callable[[], None] | Event


class Queue:
    """One stream: commands in order; `issued` and `done` count them."""

    __slots__ = ("commands", "done", "issued")

    def __init__(self) -> None:
        self.commands: deque[Command] = deque()
        self.issued = 0
        self.done = 0


def run_to(queue: Queue, position: int) -> None:
    """Run `queue` until `position` commands are done, and other queues as far as its events require."""
    if queue.done >= position:
        return
    pending = [(queue, position)]
    with np.errstate(all="ignore"):
        while pending:
            queue, position = pending[-1]
            if queue.done >= position:
                pending.pop()
                continue
            command = queue.commands[0]
            if isinstance(command, Event) and not command.has_happened:
                pending.append((command.queue, command.position))
                continue
            queue.commands.popleft()
            queue.done += 1
            if not isinstance(command, Event):
                command()


class Queues:
    """The streams of one device. Another device's queues are run from here only through events."""

    def __init__(self, device: str, streams: int) -> None:
        self.device = device
        self.streams = streams
        self.reset("eager", Draws(0))

    def reset(self, order: str, draws: Draws) -> None:
        """Empty queues that run in `order`."""
        self.order = order
        self.draws = draws
        self.queues = [Queue() for _ in range(self.streams)]

    def issue(self, stream: int, command: Command, overtaking: bool = False) -> int:
        """Put a command on a stream; returns its position, for `run_to`. Only a fault makes one overtake the last."""
        queue = self.queues[stream]
        if overtaking and queue.commands and not isinstance(queue.commands[-1], Event):
            queue.commands.insert(len(queue.commands) - 1, command)
        else:
            queue.commands.append(command)
        queue.issued += 1
        if self.order == "eager":
            run_to(queue, queue.issued)
        elif self.order == "random":
            self.wander()
        return queue.issued

    def wander(self) -> None:
        """Go on by a few commands, one queue at a time."""
        for _ in range(self.draws.below(3)):
            queue = self.queues[self.draws.below(self.streams)]
            if queue.commands:
                run_to(queue, queue.done + 1)

    def record(self, stream: int) -> Event:
        """An event after everything issued so far on a stream."""
        queue = self.queues[stream]
        return Event(self.device, queue, queue.issued)

    def synchronize(self, stream: int | None = None) -> None:
        """Run everything on a stream, or on all."""
        for queue in self.queues if stream is None else (self.queues[stream],):
            run_to(queue, queue.issued)
