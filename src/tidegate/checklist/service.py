"""One serving process, as the probes ask it."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tidegate.checklist.finding import NotMeasured
from tidegate.checklist.web import Reply, Web
from tidegate.errors import ServiceError

Samples = dict[str, list[tuple[Mapping[str, str], float]]]


class Service:
    """A process that answers predictions.

    Args:
        web: asks.
        address: of the process.
        key: the probes' own API key, None where none is set.
    """

    def __init__(self, web: Web, address: str, key: str | None) -> None:
        self._web = web
        self.address = address.rstrip("/")
        self.key = key

    def ask(
        self,
        path: str,
        *,
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        with_key: bool = True,
    ) -> Reply:
        """One question.

        Raises:
            ServiceError: it does not answer.
        """
        own = {} if self.key is None or not with_key else {"X-API-Key": self.key}
        kind = {} if body is None else {"Content-Type": "application/json"}
        return self._web.ask(self.address + path, method=method, body=body, headers={**own, **kind, **(headers or {})})

    def json(self, path: str) -> Any:  # noqa: ANN401  any JSON
        """The JSON of a route.

        Raises:
            NotMeasured: it asks for a key, and the probes have none.
            ServiceError: it does not answer, or with another status than 200.
        """
        return self._allowed(path).json()

    @cached_property
    def metrics(self) -> Samples:
        """Its metrics at the first look."""
        return self.fresh_metrics()

    def fresh_metrics(self) -> Samples:
        """Its metrics now.

        Raises:
            NotMeasured: it asks for a key, and the probes have none.
            ServiceError: it does not answer, or with what are no metrics.
        """
        return samples(self._allowed("/metrics").body)

    def _allowed(self, path: str) -> Reply:
        reply = self.ask(path)
        if reply.status in {401, 403} and self.key is None:
            raise NotMeasured(f"{self.address} asks for a key: set checklist.api_key_file")
        if reply.status != 200:
            raise ServiceError(f"{self.address}{path} answers with another status", expected=200, actual=reply.status)
        return reply


def samples(body: bytes) -> Samples:
    """A text of metrics as samples by name.

    Raises:
        ServiceError: it is none.
    """
    found: Samples = {}
    try:
        for family in text_string_to_metric_families(body.decode()):
            for sample in family.samples:
                found.setdefault(sample.name, []).append((sample.labels, sample.value))
    except (ValueError, KeyError) as error:
        raise ServiceError("an answer is no text of metrics", actual=repr(body[:80])) from error
    return found
