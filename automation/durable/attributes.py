"""Typed search attributes; named as in the Temporal Python SDK. A row keeps them as JSON: name → value."""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, TypeVar

from automation.durable import payloads, texts
from automation.errors import InvalidInput

Value = TypeVar("Value")

SearchAttributes = Mapping[str, Sequence[Any]]
"""The SDK's older, untyped form: name → values."""


class SearchAttributeIndexedValueType(enum.IntEnum):
    TEXT = 1
    KEYWORD = 2
    INT = 3
    DOUBLE = 4
    BOOL = 5
    DATETIME = 6
    KEYWORD_LIST = 7


_PYTHON_TYPES: Mapping[SearchAttributeIndexedValueType, type] = {
    SearchAttributeIndexedValueType.TEXT: str,
    SearchAttributeIndexedValueType.KEYWORD: str,
    SearchAttributeIndexedValueType.INT: int,
    SearchAttributeIndexedValueType.DOUBLE: float,
    SearchAttributeIndexedValueType.BOOL: bool,
    SearchAttributeIndexedValueType.DATETIME: dt.datetime,
    SearchAttributeIndexedValueType.KEYWORD_LIST: list,
}


@dataclass(frozen=True)
class SearchAttributeKey(Generic[Value]):
    """A search attribute's name and type; made by `for_keyword` and its siblings."""

    name: str
    indexed_value_type: SearchAttributeIndexedValueType

    @property
    def value_type(self) -> type:
        return _PYTHON_TYPES[self.indexed_value_type]

    def value_set(self, value: Value) -> SearchAttributeUpdate[Value]:
        """Set it, in an upsert."""
        return SearchAttributeUpdate(self, value)

    def value_unset(self) -> SearchAttributeUpdate[Value]:
        """Remove it, in an upsert."""
        return SearchAttributeUpdate(self, None)

    @staticmethod
    def for_text(name: str) -> SearchAttributeKey[str]:
        return SearchAttributeKey(name, SearchAttributeIndexedValueType.TEXT)

    @staticmethod
    def for_keyword(name: str) -> SearchAttributeKey[str]:
        return SearchAttributeKey(name, SearchAttributeIndexedValueType.KEYWORD)

    @staticmethod
    def for_int(name: str) -> SearchAttributeKey[int]:
        return SearchAttributeKey(name, SearchAttributeIndexedValueType.INT)

    @staticmethod
    def for_float(name: str) -> SearchAttributeKey[float]:
        return SearchAttributeKey(name, SearchAttributeIndexedValueType.DOUBLE)

    @staticmethod
    def for_bool(name: str) -> SearchAttributeKey[bool]:
        return SearchAttributeKey(name, SearchAttributeIndexedValueType.BOOL)

    @staticmethod
    def for_datetime(name: str) -> SearchAttributeKey[dt.datetime]:
        return SearchAttributeKey(name, SearchAttributeIndexedValueType.DATETIME)

    @staticmethod
    def for_keyword_list(name: str) -> SearchAttributeKey[Sequence[str]]:
        return SearchAttributeKey(name, SearchAttributeIndexedValueType.KEYWORD_LIST)


class SearchAttributePair(NamedTuple, Generic[Value]):
    """A key and its value."""

    key: SearchAttributeKey[Value]
    value: Value


@dataclass(frozen=True)
class SearchAttributeUpdate(Generic[Value]):
    """A change of one attribute; None removes it."""

    key: SearchAttributeKey[Value]
    value: Value | None


@dataclass(frozen=True)
class TypedSearchAttributes(Collection[SearchAttributePair[Any]]):
    """Search attributes with their keys. A lookup by key is converted to the key's type."""

    search_attributes: Sequence[SearchAttributePair[Any]]
    _values: Mapping[str, Any] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        values = {pair.key.name: pair.value for pair in self.search_attributes}
        if len(values) != len(self.search_attributes):
            names = sorted(pair.key.name for pair in self.search_attributes)
            raise ValueError(f"a search attribute is given twice: {', '.join(names)}")
        object.__setattr__(self, "_values", values)

    @classmethod
    def of_row(cls, attributes: Mapping[str, Any] | None) -> TypedSearchAttributes:
        """What stands in a row; the types of the keys are told by the values (a text is a keyword)."""
        return cls([SearchAttributePair(_key_for(name, value), value) for name, value in (attributes or {}).items()])

    def __len__(self) -> int:
        return len(self.search_attributes)

    def __iter__(self) -> Iterator[SearchAttributePair[Any]]:
        return iter(self.search_attributes)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, SearchAttributeKey) and key.name in self._values

    def __getitem__(self, key: SearchAttributeKey[Value]) -> Value:
        value = self._values[key.name]
        convert = payloads.converter(key.value_type)
        converted: Value = value if convert is None else convert(value)
        return converted

    def get(self, key: SearchAttributeKey[Value], default: Any = None) -> Any:
        """The value, or `default`."""
        return self[key] if key.name in self._values else default

    def updated(self, *search_attributes: SearchAttributePair[Any]) -> TypedSearchAttributes:
        """A copy with these set."""
        changed = {pair.key.name: pair for pair in (*self.search_attributes, *search_attributes)}
        return TypedSearchAttributes(list(changed.values()))


TypedSearchAttributes.empty = TypedSearchAttributes([])  # type: ignore[attr-defined]


def to_row(attributes: TypedSearchAttributes | Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Search attributes as they stand in a row: of typed ones, or of the untyped name → values, of which a single value
    stands for itself."""
    if not attributes:
        return None
    if isinstance(attributes, TypedSearchAttributes):
        return {pair.key.name: plain(pair.key.name, pair.value) for pair in attributes}
    return {name: untyped_value(name, value) for name, value in attributes.items()}


def untyped_value(name: str, values: Any) -> Any:
    """The value of the untyped form: one stands for itself, none for None."""
    if isinstance(values, list | tuple):
        values = None if not values else values[0] if len(values) == 1 else values
    return plain(name, values)


def plain(name: str, value: Any) -> Any:
    """A value as JSON's own types; a time in UTC, so that its text sorts as it does."""
    if isinstance(value, dt.datetime) and value.tzinfo is not None:
        value = value.astimezone(dt.UTC)
    texts.check("the name of a search attribute", name, texts.NAME)
    found = payloads.decode(payloads.encode(value, f"search attribute {name!r}"))
    for one in found if isinstance(found, list) else (found,):
        if isinstance(one, str) and not texts.storable(one):
            raise InvalidInput(f"search attribute {name!r} holds a NUL or half of a surrogate pair: {one[:60]!r}")
    return found


def untyped(attributes: Mapping[str, Any] | None) -> SearchAttributes:
    """The SDK's older form of what stands in a row."""
    return {name: value if isinstance(value, list) else [value] for name, value in (attributes or {}).items()}


def _key_for(name: str, value: Any) -> SearchAttributeKey[Any]:
    kinds = SearchAttributeIndexedValueType
    match value:
        case bool():
            return SearchAttributeKey(name, kinds.BOOL)
        case int():
            return SearchAttributeKey(name, kinds.INT)
        case float():
            return SearchAttributeKey(name, kinds.DOUBLE)
        case list():
            return SearchAttributeKey(name, kinds.KEYWORD_LIST)
    return SearchAttributeKey(name, kinds.KEYWORD)
