"""Digests of the code that can change a number, definition by definition.

The search starts at an entry. It follows the names in each definition, through imports and re-exports, to this
project's functions, classes and values. Comments, formatting, messages, logging, annotations, exception classes and the
fields of settings (their values are digested elsewhere) change no digest. Neither does a file's folder or name. A
changed helper three imports away does.

The search does not follow modules that are imported by a computed name, nor objects that arrive as an argument without
a class in the annotation. The caller must name those as further entries.
"""

from __future__ import annotations

import builtins
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from functools import cache
from pathlib import Path

from bigfusion.pipeline.digests.definitions import Class, Definition, Piece
from bigfusion.pipeline.digests.imports import Reference
from bigfusion.pipeline.digests.sources import Sources
from bigfusion.pipeline.digests.values import digest

PROJECT = Path(__file__).absolute().parents[3]
DIGITS = 16
"""Hexadecimal digits of a definition's digest. A cell's description holds hundreds of digests."""

_ITSELF = f"{__name__}:code_digests"
"""Its return value is a digest already."""
_ASKED_FOR_DIGESTS = {
    "numbers", "code_entries", "for_classes", "for_speakers", "left_to_corpus",
    "fitted_at_once", "learns_from_validation",
}  # fmt: skip
"""These methods of settings return values that are digested elsewhere, or say what the network's code does."""
_ERRORS = ("Error", "Exception", "Warning")


def entry(thing: type | Callable[..., object]) -> str:
    """A class, function or method as an entry: ``package.module:Name``."""
    return f"{thing.__module__}:{thing.__qualname__}"


@cache
def sources(root: Path = PROJECT) -> Sources:
    """The modules under ``root``, in their state at the first call."""
    return Sources(root)


def code_digests(*entries: str, stop: Collection[str] = ()) -> dict[str, str]:
    """The digest of each definition that ``entries`` reach, by name: ``package.module`` or ``package.module:Name``.

    A class's methods count one by one (``Store.read``), and each may be an entry. Definitions with the same name share
    one digest. What ``stop`` names in the same way does not count and is not followed.

    Raises:
        LookupError: an entry is not there.
    """
    return _digests(sources(), entries, tuple(sorted(stop)))


@cache
def _digests(known: Sources, entries: tuple[str, ...], stop: tuple[str, ...]) -> dict[str, str]:
    key = digest([sorted(entries), stop])
    found = known.remembered(key)
    if found is None:
        found = Walk(known, stop).digests(entries)
        known.remember(key, found)
    return found


Place = tuple[str, int]
"""A module and the number of one of its definitions."""


class Walk:
    """Everything that some entries reach."""

    def __init__(self, known: Sources, stop: Collection[str]) -> None:
        self._sources = known
        self._stop: set[Place | Piece] = set()
        for name in (*stop, *([_ITSELF] if known.module(__name__) else [])):
            self._stop.update(*self._entry(name))
        self._pieces: set[Piece] = set()
        self._visited: set[Place | Piece] = set()
        self._run: set[str] = set()
        self._hinted: set[tuple[Reference, bool]] = set()
        self._names: Counter[str] = Counter()

    def digests(self, entries: Collection[str]) -> dict[str, str]:
        """The digests, by name, of everything that ``entries`` reach."""
        for entry in entries:
            places, pieces = self._entry(entry)
            for place in places:
                self._reach(place)
            for piece in pieces:
                self._count(piece)
            self._import(entry.partition(":")[0])
        self._names = Counter(self._definition(place).piece.name for place in self._visited if isinstance(place, tuple))
        found: dict[str, list[str]] = {}
        for piece in self._pieces:
            found.setdefault(piece.name, []).append(self._linked(piece))
        return {name: digest(sorted(several))[:DIGITS] for name, several in sorted(found.items())}

    def _entry(self, entry: str) -> tuple[list[Place], list[Piece]]:
        name, _, inside = entry.partition(":")
        module = self._sources.module(name)
        if module is None:
            raise LookupError(f"{entry}: expected a module of this project, found none of that name")
        if not inside:
            return [(name, place) for place in range(len(module.definitions))], []
        whole, _, method = inside.partition(".")
        places = [place for place in self._resolved((name, (whole,))) if isinstance(place, tuple)]
        if not method:
            found: tuple[list[Place], list[Piece]] = places, []
        else:
            classes = [more for place in places if (more := self._definition(place).more)]
            found = [], [piece for more in classes for piece in more.methods if piece.name == inside]
        if not any(found):
            raise LookupError(f"{entry}: expected {inside} in that module, found no such definition")
        return found

    # What counts

    def _reach(self, place: Place) -> None:
        if place in self._visited or place in self._stop:
            return
        self._visited.add(place)
        definition = self._definition(place)
        if definition.more is None:
            self._count(definition.piece)
        elif self._is_exception(place):
            return
        elif self._is_settings(place):
            if not self._is_root(definition):
                for base in definition.more.bases:
                    if not isinstance(base, str):
                        self._follow(base)
                for piece in _code_of_settings(definition.more):
                    self._count(piece)
        else:
            for piece in (definition.piece, *definition.more.methods):
                self._count(piece)
        self._import(place[0])

    def _count(self, piece: Piece) -> None:
        if piece in self._visited or piece in self._stop:
            return
        self._visited.add(piece)
        self._pieces.add(piece)
        for reference in piece.references:
            self._follow(reference)
        for hint in piece.hints:
            self._follow_hint(hint)
        for module in piece.imports:
            self._import(module)

    def _follow(self, reference: Reference) -> None:
        for target in self._resolved(reference):
            for place in [target] if isinstance(target, tuple) else self._all(target):
                self._reach(place)

    def _follow_hint(self, hint: Reference, by_alias: bool = False) -> None:
        """Follow the classes of an annotation if they contain code. An alias of types does not count itself.

        Settings classes in an alias are alternatives. The caller that has a value names its class as an entry.
        """
        if (hint, by_alias) in self._hinted:
            return
        self._hinted.add((hint, by_alias))
        for target in self._resolved(hint):
            if not isinstance(target, tuple):
                continue
            definition = self._definition(target)
            if definition.kind == "value":  # an alias of types
                for other in (*definition.piece.references, *definition.piece.hints):
                    self._follow_hint(other, by_alias=True)
            elif definition.more is None:  # `Annotated[int, check]`; inside an alias it only builds the types
                if not by_alias:
                    self._reach(target)
            elif not (_is_protocol(definition.more) or (by_alias and self._is_settings(target))):
                self._reach(target)

    def _import(self, name: str) -> None:
        """Reach what runs when a module is imported: its statements, and those of all modules that it imports."""
        if name in self._run:
            return
        self._run.add(name)
        module = self._sources.module(name)
        if module is None:
            return
        for place, definition in enumerate(module.definitions):
            if definition.kind == "statement":
                self._reach((name, place))
        for other in module.runs:
            self._import(other)

    # What a definition is

    def _definition(self, place: Place) -> Definition:
        module = self._sources.module(place[0])
        assert module is not None
        return module.definitions[place[1]]

    def _all(self, name: str) -> Iterator[Place]:
        module = self._sources.module(name)
        yield from ((name, place) for place in range(len(module.definitions) if module else 0))

    def _bases(self, place: Place) -> Iterator[Place | str]:
        more = self._definition(place).more
        for base in more.bases if more else ():
            if isinstance(base, str):
                yield base
            else:
                yield from (one for one in self._resolved(base) if isinstance(one, tuple))

    def _is_exception(self, place: Place, seen: frozenset[Place] = frozenset()) -> bool:
        for base in self._bases(place):
            if isinstance(base, str):
                known = getattr(builtins, base, None)
                if isinstance(known, type) and issubclass(known, BaseException):
                    return True
                if "." in base and base.endswith(_ERRORS):
                    return True
            elif base not in seen and self._is_exception(base, seen | {place}):
                return True
        return False

    def _is_settings(self, place: Place, seen: frozenset[Place] = frozenset()) -> bool:
        return self._is_root(self._definition(place)) or any(
            isinstance(base, tuple) and base not in seen and self._is_settings(base, seen | {place})
            for base in self._bases(place)
        )

    @staticmethod
    def _is_root(definition: Definition) -> bool:
        more = definition.more
        return more is not None and definition.piece.name == "Settings" and "pydantic.BaseModel" in more.bases

    # Names

    def _resolved(self, reference: Reference) -> list[Place | str]:
        return [target for target, _ in self._looked_up(*reference, frozenset())]

    def _looked_up(
        self, name: str, chain: tuple[str, ...], seen: frozenset[Reference]
    ) -> list[tuple[Place | str, tuple[str, ...]]]:
        """The definitions (or the whole module) that a dotted name means in a module, and the rest of the name."""
        module = self._sources.module(name)
        if module is None or (name, chain) in seen:
            return []
        seen |= {(name, chain)}
        if not chain:
            return [(name, ())]
        first, rest = chain[0], chain[1:]
        if first in module.names:
            return [((name, place), rest) for place in module.names[first]]
        if first in module.imports:
            target, more = module.imports[first]
            return self._looked_up(target, (*more, *rest), seen)
        if self._sources.module(f"{name}.{first}") is not None:
            return self._looked_up(f"{name}.{first}", rest, seen)
        return [] if first.startswith("__") else [(name, chain)]

    # Digests

    def _linked(self, piece: Piece) -> str:
        """The digest of a piece and of its references.

        A reference counts by name, and by its text if two share the name.

        So a change shows at the definition that was changed. If two helpers in two modules swap places, the change
        shows at the definition that calls them.
        """
        edges = [
            sorted([*self._named(target), list(rest)] for target, rest in self._looked_up(*reference, frozenset()))
            for reference in piece.references
        ]
        return digest([piece.text, edges])

    def _named(self, target: Place | str) -> list[str]:
        if isinstance(target, str):
            return ["(module)", digest(sorted(self._named(place) for place in self._all(target)))]
        definition = self._definition(target)
        name, more = definition.piece.name, definition.more
        if self._names[name] < 2 or (more and (self._is_exception(target) or self._is_root(definition))):
            return [name, ""]
        if more is None:
            return [name, definition.piece.text]
        if self._is_settings(target):
            return [name, digest(sorted(piece.text for piece in _code_of_settings(more)))]
        return [name, digest([definition.piece.text, *sorted(piece.text for piece in more.methods)])]


def _code_of_settings(more: Class) -> list[Piece]:
    """The code of a settings class without its fields and validators: the values that these produce are digested
    elsewhere.
    """
    methods = [
        piece
        for piece in more.methods
        if piece.name not in more.validators and piece.name.rpartition(".")[2] not in _ASKED_FOR_DIGESTS
    ]
    return methods if more.bare is None else [more.bare, *methods]


def _is_protocol(more: Class) -> bool:
    return any(isinstance(base, str) and base.rpartition(".")[2] == "Protocol" for base in more.bases)
