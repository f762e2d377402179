"""The activities of well-known applications: shipped data, from their documented interfaces.

One YAML file for each application in `products/`: domains, signatures, and for each signature examples, which are its
tests. An app of the deployment gets those of the product that it names, or that its domains tell, behind its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any

import pydantic
import yaml

from casb.config.apps import read_signature
from casb.config.notes import Notes, Outside
from casb.config.shape import SignatureShape
from casb.errors import Where
from casb.model.app import App, Signature
from casb.yamlfile import Marks, Path

NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A request and what it is: `request` is method and target, `body` JSON."""

    request: str
    body: Any = None
    content_type: str = ""
    objects: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry(SignatureShape):
    """A signature and its examples."""

    examples: tuple[Example, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductFile:
    """`products/<product>.yaml`."""

    product: str
    name: str
    source: str
    domains: tuple[str, ...] = ()
    signatures: tuple[Entry, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """A known application. `entries` are the signatures as written, with their examples."""

    id: str
    name: str
    source: str
    domains: tuple[str, ...]
    signatures: tuple[Signature, ...]
    entries: tuple[Entry, ...]


class _Nowhere(Marks):
    """Places in our own files: which product it is says enough."""

    def __init__(self, file: str) -> None:
        self.file = file

    def where(self, path: Path, *, key: bool = False) -> Where:
        return Where(file=f"{self.file}: {'/'.join(map(str, path))}")


_FILE = pydantic.TypeAdapter(list[ProductFile], config=pydantic.ConfigDict(extra="forbid"))


def read_product(text: str) -> Product:
    """A product of its YAML. Raises `ValueError` with what is wrong: these files are ours."""
    document = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506  # both are safe
    # A list around it, as in `yamlfile`: only then does the configuration reach plain dataclasses.
    (told,) = _FILE.validate_python([document])
    notes = Notes(marks=_Nowhere(told.product), folder="", outside=Outside(), errors=[])
    signatures = tuple(read_signature(each, ("signatures", at), notes) for at, each in enumerate(told.signatures))
    if notes.errors:
        raise ValueError("; ".join(f"{told.product}: {error.message}" for error in notes.errors))
    return Product(
        id=told.product,
        name=told.name,
        source=told.source,
        domains=told.domains,
        signatures=signatures,
        entries=told.signatures,
    )


@cache
def products() -> Mapping[str, Product]:
    """All that are shipped, by id."""
    folder = files("casb.catalog").joinpath("products")
    found = [read_product(each.read_text("utf-8")) for each in folder.iterdir() if each.name.endswith(".yaml")]
    return {each.id: each for each in sorted(found, key=lambda each: each.id)}


@cache
def _by_domain() -> Mapping[str, Product]:
    return {domain: each for each in products().values() for domain in each.domains}


def product_of(app: App) -> Product | None:
    """The product that an app names, or that one of its domains belongs to."""
    if app.product:
        return products().get(app.product)
    known = _by_domain()
    for domain in app.domains:
        labels = domain.removeprefix("*.").split(".")
        for at in range(len(labels) - 1):
            found = known.get(".".join(labels[at:]))
            if found is not None:
                return found
    return None


def with_product(app: App) -> App:
    """The app with the signatures of its product behind its own."""
    product = product_of(app)
    if product is None:
        return app
    return replace(app, product=product.id, signatures=(*app.signatures, *product.signatures))
