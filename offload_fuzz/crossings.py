"""How an operand crosses between places: the host array that it is put in, transfers, what becomes of the source."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from offload_fuzz import schedule as s
from offload_fuzz.device import Chunks, relay
from offload_fuzz.lowering import DONE, HOST_QUEUE, NONE, Lowering, Queue
from offload_fuzz.schedule import HOST

#: Bytes of a constant at most: what CUDA has room for. A compiler folds larger ones for minutes.
LARGEST_CONSTANT = 1 << 16
#: Elements in each piece of a transfer in pieces, or a multiple of it, so that there are at most so many pieces.
PIECE, PIECES = 3, 16


def chunks_of(shape: tuple[int, ...], choice: str) -> Chunks | None:
    """The pieces of a transfer of an array: its longest axis is cut; None where there would be one piece.

    halves: the second is the longer one where there is an odd number. pieces of 3: at most `PIECES`, of a multiple of
    3 elements along that axis, of which the last may be shorter.
    """
    n = max(shape, default=0)
    if n == 0 or 0 in shape or choice == "whole":
        return None
    step = n // 2 if choice == "halves" else PIECE * -(-n // (PIECE * PIECES))
    starts = (0, step) if choice == "halves" else tuple(range(0, n, step))
    return None if step == 0 or len(starts) == 1 else (shape.index(n), (*starts, n))


def shaped(choices: Mapping[str, Any]) -> bool:
    """Whether an operand is handed over in a host array of a particular form."""
    return "layout" in choices or "alignment" in choices or "readonly" in choices or "paging" in choices


class Crossings(Lowering):
    """A lowering that hands operands over."""

    __slots__ = ()

    def hand_over(self, v: int, k: int, o: int, queue: Queue) -> int:
        """The buffer in which operand `k` of user `v`, the value `o`, is handed to `queue`."""
        place = queue[0]
        source = self.home[o]
        at = self.buffers[source].place
        choices = self.sites.get((v, k), NONE)
        if at == place:
            return self.arrange(o, source, choices) if place == HOST and shaped(choices) else source
        if "constant" in choices and self.is_constant(v, o, place, choices):
            return source
        transfer, route = choices.get("transfer", "blocking"), choices.get("route", "direct")
        pinned = "pinned" in choices and self.roles[place].pinned is not None
        private = "overwrite" in choices or shaped(choices) or pinned
        plain = transfer == "blocking" and route == "direct" and not private and "destination" not in choices
        plain = plain and "chunks" not in choices
        if plain and (o, place) in self.copies:
            self.overwrite_late(o, place)
            return self.copies[o, place]
        to, cut = choices.get("destination"), choices.get("chunks", "whole")
        between = at != HOST and place != HOST
        via = relay(self.tables.places, at, place, self.types[o].dtype) if between and route == "third device" else None
        if via is not None:
            source = self.peer_copy(o, source, self.roles[via].queues[0], transfer)
        if via is not None or (between and route != "host" and self.are_peers(at, place)):
            b = self.peer_copy(o, source, queue, transfer, to, cut)
        else:
            b = source if at == HOST else self.download(o, source, transfer, None if place else to, cut)
            if place == HOST:
                b = self.arrange(o, b, choices) if shaped(choices) else b
            else:
                source = self.arrange(o, b, choices, place if pinned else HOST) if private else b
                b = self.upload(o, source, queue, transfer, choices, pinned)
        if plain or (len(choices) == 1 and choices.get("overwrite") == "late"):
            self.copies[o, place] = b
        return b

    def is_constant(self, v: int, o: int, place: int, choices: Mapping[str, Any]) -> bool:
        """Whether user `v` is given the input `o` itself: a result that may alias it, or another choice, forbids it."""
        node, role = self.program.node_of(v), self.roles[place]
        there = role.constants and len(choices) == 1 and o < len(self.program.inputs)
        there = there and self.nbytes[o] <= LARGEST_CONSTANT
        return there and node is not None and role.alias_of(node.op) == "fresh"

    def arrange(self, o: int, source: int, choices: Mapping[str, Any], pinned: int = HOST) -> int:
        """A host array of value `o` in the form that `choices` give, in memory that place `pinned` has page-locked."""
        layout = choices.get("layout", "contiguous")
        readonly = "readonly" in choices
        target = self.buffer(HOST, o)
        if readonly or layout == "broadcast":
            self.protected.add(self.buffers[target].storage)
        alignment, across = 1 if "alignment" in choices else 64, "paging" in choices
        command = s.Arrange(source, target, layout, alignment, readonly, across, pinned)
        self.arranged[target] = command
        self.issue(HOST_QUEUE, command, [source], [target], True)
        return target

    def upload(
        self, o: int, source: int, queue: Queue, transfer: str, choices: Mapping[str, Any], pinned: bool = False
    ) -> int:
        role = self.roles[queue[0]]
        blocking = transfer != "async" or not role.asynchronous
        share = transfer == "shared" and role.shared is not None
        free = role.pinned if pinned and role.pinned is not None and not blocking else role.free[blocking]
        if share and role.shared is not None:
            free, pinned = role.shared, False
        shares = free in ("last use", "never")
        target = self.buffer(queue[0], o, source if shares else None)
        storage = self.buffers[target].storage
        if shares:
            self.protected.add(storage)
            self.kept.add(storage)
        if free == "return":
            self.order(HOST_QUEUE, self.ready[source])
        self.put_off(queue, "copy")
        to = None if share or "upload" not in role.destination else choices.get("destination")
        cut = "whole" if share or "upload" not in role.chunks else choices.get("chunks", "whole")
        pieces = chunks_of(self.types[o].shape, cut)
        command = s.Upload(*queue, source, target, blocking, free, share, to, pieces, pinned)
        self.issue(queue, command, [source], [target], blocking)
        form = self.arranged.get(source)
        if form is not None and form.layout == "broadcast":
            self.protected.add(storage)
        self.owner.setdefault(storage, (target, queue))
        when = choices.get("overwrite")
        if when and not shares and form is not None and not form.readonly:
            if when == "late":
                self.late.setdefault((o, queue[0]), []).append(source)
            else:
                self.overwrite(source, queue, blocking, free, when == "after a wait")
        return target

    def overwrite(self, source: int, queue: Queue, blocking: bool, free: str, wait: bool) -> None:
        """Overwrite a private host source as soon as the device's promise makes that lawful.

        wait: once the host has waited for the queue, whether or not it has to.
        """
        if wait and self.roles[queue[0]].streams:
            self.synchronize(queue)
        elif free == "completion" and not blocking and self.host_saw.get(queue, 0) < self.issued[queue]:
            event = self.events
            self.events += 1
            self.commands.append(s.Record(*queue, event))
            self.commands.append(s.SynchronizeEvent(queue[0], event))
        self.commands.append(s.Overwrite(source))

    def overwrite_late(self, o: int, place: int) -> None:
        """Overwrite the host sources of value `o` on a place, once all that was issued there is done."""
        sources = self.late.pop((o, place), ())
        for queue in self.roles[place].queues if sources else ():
            if self.host_saw.get(queue, 0) < self.issued.get(queue, 0):
                self.synchronize(queue)
        self.commands += [s.Overwrite(source) for source in sources]

    def download(self, o: int, source: int, transfer: str, to: str | None = None, cut: str = "whole") -> int:
        queue = self.queue_of(source)
        to = to if "download" in self.roles[queue[0]].destination else None
        share = transfer == "shared" and self.roles[queue[0]].export
        if share:
            return self.export(o, source, queue)
        pieces = chunks_of(self.types[o].shape, cut) if "download" in self.roles[queue[0]].chunks else None
        plain = transfer != "async" and to is None and pieces is None
        if plain and (o, HOST) in self.copies:
            return self.copies[o, HOST]
        blocking = transfer != "async" or not self.roles[queue[0]].asynchronous
        target = self.buffer(HOST, o)
        self.put_off(queue, "copy")
        command = s.Download(*queue, source, target, blocking, to, False, pieces)
        self.issue(queue, command, [source], [target], blocking)
        if plain:
            self.copies[o, HOST] = target
        return target

    def export(self, o: int, source: int, queue: Queue) -> int:
        """A host array in the device's own memory, which nobody writes or gives back from then on."""
        target = self.buffer(HOST, o, source)
        self.protected.add(self.buffers[source].storage)
        self.kept.add(self.buffers[source].storage)
        self.put_off(queue, "copy")
        self.issue(queue, s.Download(*queue, source, target, True, None, True), [source], [target], True)
        return target

    def queue_of(self, buffer: int) -> Queue:
        """The queue on which a device buffer was last written."""
        at = self.ready[buffer]
        return at[0] if at is not DONE else (self.buffers[buffer].place, 0)

    def peer_copy(
        self, o: int, source: int, queue: Queue, transfer: str, to: str | None = None, cut: str = "whole"
    ) -> int:
        blocking = transfer != "async" or not self.roles[queue[0]].asynchronous
        target = self.buffer(queue[0], o)
        to = to if "copy" in self.roles[queue[0]].destination else None
        pieces = chunks_of(self.types[o].shape, cut) if "copy" in self.roles[queue[0]].chunks else None
        copy = s.Copy(*queue, self.buffers[source].place, source, target, blocking, to, pieces)
        self.put_off(queue, "copy")
        self.issue(queue, copy, [source], [target], blocking)
        self.owner.setdefault(self.buffers[target].storage, (target, queue))
        return target

    def result(self, k: int, v: int) -> int:
        source = self.home[v]
        if self.buffers[source].place == HOST:
            return source
        choices = self.sites.get((self.program.returns, k), NONE)
        to, cut = choices.get("destination"), choices.get("chunks", "whole")
        return self.download(v, source, choices.get("transfer", "blocking"), to, cut)

    def read_back(self, v: int, source: int) -> None:
        """Keep the result of `v` for the local judge, by a copy on the host or a blocking download."""
        target = self.buffer(HOST, v)
        if self.buffers[source].place == HOST:
            self.issue(HOST_QUEUE, s.Arrange(source, target, "contiguous", 64, False), [source], [target], True)
        else:
            queue = self.queue_of(source)
            self.issue(queue, s.Download(*queue, source, target, True), [source], [target], True)
        self.probes.append((v, target))
