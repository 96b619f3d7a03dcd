"""What a query of the SQL door gives."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, SupportsIndex, overload

if TYPE_CHECKING:
    import pandas


class Row(tuple[Any, ...]):
    """One row: a tuple whose values can also be had by column name, `row["label"]`. `dict(row)` works; of columns of one name the first counts."""

    __slots__ = ()
    columns: ClassVar[tuple[str, ...]] = ()
    _places: ClassVar[Mapping[str, int]] = {}

    @overload
    def __getitem__(self, key: str, /) -> Any: ...
    @overload
    def __getitem__(self, key: SupportsIndex, /) -> Any: ...
    @overload
    def __getitem__(self, key: slice, /) -> tuple[Any, ...]: ...
    def __getitem__(self, key: str | SupportsIndex | slice, /) -> Any:
        if not isinstance(key, str):
            return super().__getitem__(key)
        try:
            return super().__getitem__(self._places[key])
        except KeyError:
            raise KeyError(f"there is no column {key!r}, only {', '.join(self.columns)}") from None

    def keys(self) -> Iterator[str]:
        """Iterate over the columns' names, each once."""
        return iter(self._places)

    def __repr__(self) -> str:
        return f"Row({', '.join(f'{name}={value!r}' for name, value in zip(self.columns, self, strict=True))})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _one_row, (self.columns, tuple(self))


class Result(list[Row]):
    """The rows of a query, in order. `columns` are the names in theirs; `truncated` says that there were more rows than the service gives."""

    def __init__(self, columns: Sequence[str], rows: Sequence[Sequence[Any]], *, truncated: bool, elapsed_ms: float) -> None:
        kind = row_type(columns)
        super().__init__(kind(row) for row in rows)
        self.columns = kind.columns
        self.truncated = truncated
        self.elapsed_ms = elapsed_ms
        """In the database."""

    def frame(self) -> "pandas.DataFrame":
        """Return the rows as a pandas DataFrame, columns in order, also where there are no rows."""
        try:
            import pandas
        except ImportError:
            raise ImportError("frames need pandas, which is not installed: pip install pandas") from None
        return pandas.DataFrame([tuple(row) for row in self], columns=list(self.columns))


def row_type(columns: Sequence[str]) -> type[Row]:
    """Return the class of the rows that have these columns."""
    places: dict[str, int] = {}
    for place, name in enumerate(columns):
        places.setdefault(name, place)
    return type("Row", (Row,), {"__slots__": (), "__module__": __name__, "columns": tuple(columns), "_places": places})


def _one_row(columns: tuple[str, ...], values: tuple[Any, ...]) -> Row:
    return row_type(columns)(values)
