"""OpenTelemetry traces, where the operator has put its packages into the gateway's environment and named a collector.

`pip install opentelemetry-sdk opentelemetry-exporter-otlp-proto-http`, and OTEL_EXPORTER_OTLP_ENDPOINT. OpenTelemetry's
own variables say the rest (OTEL_SERVICE_NAME, OTEL_TRACES_SAMPLER, OTEL_EXPORTER_OTLP_HEADERS).
"""

import logging
import re
from collections.abc import Mapping
from typing import Any

from flask import Request

log = logging.getLogger(__name__)

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-((?!0{32})[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")


class Tracer:
    """One span a request, in the trace that its `traceparent` header belongs to."""

    def __init__(self, provider: Any) -> None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._tracer = provider.get_tracer("modelyard")
        self._propagator = TraceContextTextMapPropagator()

    def start(self, request: Request) -> Any:
        """Start the span of a request."""
        from opentelemetry.trace import SpanKind

        parent = self._propagator.extract({name.lower(): value for name, value in request.headers.items()})
        attributes = {"http.request.method": request.method, "url.path": request.path}
        return self._tracer.start_span(request.method, context=parent, kind=SpanKind.SERVER, attributes=attributes)

    def propagate(self, span: Any) -> str | None:
        """The `traceparent` of what happens within a span."""
        from opentelemetry.trace import set_span_in_context

        carrier: dict[str, str] = {}
        self._propagator.inject(carrier, context=set_span_in_context(span))
        return carrier.get("traceparent")

    def end(self, span: Any, *, route: str | None, status: int, cause: str | None, request_id: str) -> None:
        """End it with how the request was answered."""
        from opentelemetry.trace import StatusCode

        span.set_attribute("http.response.status_code", status)
        span.set_attribute("modelyard.request_id", request_id)
        if route is not None:
            span.update_name(f"POST /{route}")
            span.set_attribute("http.route", f"/{route}")
        if cause is not None:
            span.set_attribute("error.type", cause)
        if status >= 500:
            span.set_status(StatusCode.ERROR)
        span.end()


def make_tracer(environ: Mapping[str, str], *, service: str) -> Tracer | None:
    """A tracer that sends to OTEL_EXPORTER_OTLP_ENDPOINT; None where that is not set, or OpenTelemetry is missing."""
    if not (environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")):
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        log.warning("no traces: %s is not in the gateway's environment", error.name)
        return None
    name = environ.get("OTEL_SERVICE_NAME") or service
    provider = TracerProvider(resource=Resource.create({"service.name": name}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Tracer(provider)


def check_traceparent(traceparent: str | None) -> str | None:
    """A W3C `traceparent` header, if it is one: ids of zeros and version ff are invalid.

    >>> check_traceparent("00-00000000000000000000000000000000-00f067aa0ba902b7-01") is None
    True
    """
    return traceparent if traceparent and _TRACEPARENT.fullmatch(traceparent) else None


def find_trace_id(traceparent: str | None) -> str | None:
    """The trace id in a W3C `traceparent` header; None where there is none.

    >>> find_trace_id("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
    '4bf92f3577b34da6a3ce929d0e0e4736'
    """
    found = _TRACEPARENT.fullmatch(traceparent or "")
    return found[1] if found else None
