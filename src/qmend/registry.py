"""Look up items by name, such as circuit families, in the modules of a package."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from typing import Generic, TypeVar

from qmend.types import QmendError, nearest

Item = TypeVar("Item")
Registered = TypeVar("Registered")


class UnknownNameError(QmendError, KeyError):
    """A name that a registry lacks, with the nearest one that it has."""

    __str__ = Exception.__str__  # a KeyError would quote the sentence


class Registry(Mapping[str, Item], Generic[Item]):
    """Items by name, in alphabetical order. Each module of the package registers its own.

    A look-up imports only the module of that name, if there is one; listing the names, or looking
    for one that is in another module, imports them all.

    Args:
        package: package whose modules register items, such as ``qmend.circuits.families``.
        what: the kind of item, in messages.
        key: config key that holds the name, in messages.
    """

    def __init__(self, package: str, what: str, key: str) -> None:
        self.package, self.what, self.key = package, what, key
        self._items: dict[str, Item] = {}

    def register(self, name: str) -> Callable[[Registered], Registered]:
        """Decorate a class or function to make it known under a name."""

        def add(item: Registered) -> Registered:
            self._items[name] = item  # type: ignore[assignment]
            return item

        return add

    def __getitem__(self, name: str) -> Item:
        """Look up an item.

        Raises:
            UnknownNameError: naming the nearest one.
        """
        if name not in self._items and name in self._modules():
            importlib.import_module(f"{self.package}.{name}")
        if name not in self._items:
            self._import_all()
        if name not in self._items:
            raise UnknownNameError(
                f"{self.key}: unknown {self.what} {name!r}. {nearest(name, self._items)}"
            )
        return self._items[name]

    def __iter__(self) -> Iterator[str]:
        self._import_all()
        return iter(sorted(self._items))

    def __len__(self) -> int:
        self._import_all()
        return len(self._items)

    def look_up(self, config: object) -> Item:
        """Look up the item that the field ``name`` of a config names.

        Raises:
            QmendError: if it is no config with fields.
            UnknownNameError: naming the nearest one.
        """
        if not isinstance(config, Mapping):
            raise QmendError(
                f"{self.key.removesuffix('.name')} needs its fields, such as {self.key}={config}."
            )
        return self[str(config.get("name"))]

    def _modules(self) -> list[str]:
        package = importlib.import_module(self.package)
        return [m.name for m in pkgutil.iter_modules(getattr(package, "__path__", ()))]

    def _import_all(self) -> None:
        for name in self._modules():
            importlib.import_module(f"{self.package}.{name}")
