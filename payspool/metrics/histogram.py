"""A histogram that takes many observations at once: a batch of five hundred costs one lock."""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from threading import Lock

from prometheus_client import CollectorRegistry
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector


@dataclass(slots=True)
class _Series:
    counts: list[int]
    total: float = 0.0


@dataclass(slots=True, eq=False)
class Histogram(Collector):
    """Counts of values by upper bounds (the last one, +Inf, is added); ``labels`` name its series.

    >>> sizes = Histogram("sizes", "How large", [1, 10], CollectorRegistry())
    >>> sizes.observe({1: 1, 2: 1, 30: 1})
    >>> [sample.value for family in sizes.collect() for sample in family.samples]
    [1, 2, 3, 3, 33.0]
    """

    name: str
    about: str
    bounds: Sequence[float]
    registry: CollectorRegistry
    labels: Sequence[str] = ()
    _lock: Lock = field(default_factory=Lock)
    _series: dict[tuple[str, ...], _Series] = field(default_factory=dict)

    def __post_init__(self) -> None:
        assert list(self.bounds) == sorted(self.bounds)
        if not self.labels:
            self._series[()] = self._empty()
        self.registry.register(self)

    def observe(self, values: Mapping[float, int], *labels: str) -> None:
        """Add values, each as often as it says, to the series of ``labels``."""
        assert len(labels) == len(self.labels), f"{self.name} has the labels {self.labels}"
        counts = self._empty().counts
        total = 0.0
        for value, times in values.items():
            counts[bisect_left(self.bounds, value)] += times
            total += value * times
        with self._lock:
            series = self._series.setdefault(labels, self._empty())
            series.total += total
            series.counts = [a + b for a, b in zip(series.counts, counts, strict=True)]

    def collect(self) -> Iterable[HistogramMetricFamily]:
        """The family with all its series, as prometheus_client exposes it."""
        family = HistogramMetricFamily(self.name, self.about, labels=self.labels)
        with self._lock:
            seen = {labels: (one.counts, one.total) for labels, one in self._series.items()}
        bounds = [*(f"{bound:g}" for bound in self.bounds), "+Inf"]
        for labels, (counts, total) in seen.items():
            family.add_metric(labels, list(zip(bounds, accumulate(counts), strict=True)), total)
        return [family]

    def _empty(self) -> _Series:
        return _Series([0] * (len(self.bounds) + 1))
