"""In-order queues whose commands run late, early or in between, as long as every promised order is kept."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from attrs import frozen

from offload_fuzz.adapters.simulated.draws import Draws

#: eager: a command runs when it is issued. late: when a synchronisation requires it, and not before. random: the
#: queues go on in seeded steps in between; in half of the runs only some do, which leave the others far behind.
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


class KernelError(RuntimeError):
    """What a kernel raised, at the next synchronisation with it: as on a GPU, that may be in a later, other call.

    device: the name of the one whose kernel it was. launch: which one, as the number of launches since `reset`.
    """

    def __init__(self, message: str, device: str, launch: int) -> None:
        super().__init__(message)
        self.device, self.launch = device, launch


#: A thing to do, or an event to come first.
Command: TypeAlias = Callable[[], None] | Event


def DELAY() -> None:
    """The command of a delay: a queue that has come to it goes on only where a synchronisation requires it."""


#: Which copy engine carries what, as far as there are so many.
ENGINES = {"upload": 0, "download": 1, "copy": 2}


def kernel(run: Callable[[], None], op: str, device: str, launch: int) -> Callable[[], None]:
    """`run`, raising `KernelError` for whatever it raises."""

    def command() -> None:
        try:
            run()
        except Exception as error:
            raise KernelError(f"{type(error).__name__}: {error} [{op} on {device}]", device, launch) from error

    return command


class Queue:
    """One stream: commands in order; `issued` and `done` count them.

    error: the first one of its own commands, or of those that it waited for; it stays until the next reset. delays: how
    many are among its commands.
    """

    __slots__ = ("commands", "delays", "done", "error", "issued")

    def __init__(self) -> None:
        self.commands: deque[Command] = deque()
        self.issued = 0
        self.done = 0
        self.delays = 0
        self.error: Exception | None = None


def finish(queue: Queue, position: int) -> None:
    """Synchronise with the first `position` commands of `queue`; raises the error of one of them."""
    run_to(queue, position)
    if queue.error is not None:
        raise queue.error


def run_to(queue: Queue, position: int, required: bool = True) -> None:
    """Run `queue` until `position` commands are done, and other queues as far as its events require.

    Unless that is required, it ends where any of them is at a delay. What a command raises is kept as the error of
    its queue, and of the queues that wait for it.
    """
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
            if command is DELAY:
                if not required:
                    return
                queue.delays -= 1
            queue.commands.popleft()
            queue.done += 1
            if isinstance(command, Event):
                queue.error = queue.error or command.queue.error
                continue
            try:
                command()
            except Exception as error:  # noqa: BLE001  # whatever it is, it is raised at the next synchronisation
                queue.error = queue.error or error


def _overtakes(queue: Queue, overtaking: bool | str) -> bool:
    """Whether a command that may overtake the last one has one to overtake."""
    last = queue.commands[-1] if queue.commands else None
    return bool(overtaking) and last is not None and (overtaking == "wait" or not isinstance(last, Event))


class Queues:
    """The streams of one device, and its copy engines. Another device's queues are run from here only through events.

    engines: how many queues of their own carry the transfers; 0: each stream carries its own. blocking: every command
    runs when it is issued, and its error is raised there.
    """

    def __init__(self, device: str, streams: int, engines: int = 0, blocking: bool = False) -> None:
        self.device = device
        self.streams = streams
        self.engines = engines
        self.blocking = blocking
        self.reset("eager", Draws(0))

    def reset(self, order: str, draws: Draws) -> None:
        """Empty queues that run in `order`."""
        self.order = "eager" if self.blocking else order
        self.draws = draws
        self.all = [Queue() for _ in range(self.streams + self.engines)]
        self.queues, self.carriers = self.all[: self.streams], self.all[self.streams :]
        self.going = self.all
        if self.order == "random" and draws.below(2):
            self.going = [q for q in self.all if draws.below(2)] or self.all

    def issue(self, stream: int, command: Command, overtaking: bool | str = False) -> int:
        """Put a command on a stream; returns its position, for `run_to`.

        overtaking: only a fault makes a command overtake the last, True where that is no wait, "wait" in any case.
        """
        queue = self.queues[stream]
        if _overtakes(queue, overtaking):
            queue.commands.insert(len(queue.commands) - 1, command)
        else:
            queue.commands.append(command)
        queue.issued += 1
        queue.delays += command is DELAY
        if self.blocking:
            finish(queue, queue.issued)
        elif self.order == "eager":
            run_to(queue, queue.issued, required=False)
        elif self.order == "random":
            self.wander()
        return queue.issued

    def issue_transfer(self, stream: int, command: Command, kind: str, overtaking: bool | str = False) -> int:
        """As `issue`, by the copy engine for this kind: after all that the engine has to carry before."""
        if not self.engines:
            return self.issue(stream, command, overtaking)
        queue, carrier = self.queues[stream], self.carriers[ENGINES[kind] % self.engines]
        carrier.commands.extend((Event(self.device, queue, queue.issued - _overtakes(queue, overtaking)), command))
        carrier.issued += 2
        return self.issue(stream, Event(self.device, carrier, carrier.issued))

    def wander(self) -> None:
        """Go on by a few commands, one queue at a time."""
        for _ in range(self.draws.below(3)):
            queue = self.going[self.draws.below(len(self.going))]
            if queue.commands:
                run_to(queue, queue.done + 1, required=False)

    def record(self, stream: int) -> Event:
        """An event after everything issued so far on a stream."""
        queue = self.queues[stream]
        return Event(self.device, queue, queue.issued)

    def synchronize(self, stream: int | None = None) -> None:
        """Run everything on a stream, or on all; raises the error of a command there."""
        for queue in self.queues if stream is None else (self.queues[stream],):
            finish(queue, queue.issued)
