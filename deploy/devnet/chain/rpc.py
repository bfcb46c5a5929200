"""A blocking JSON-RPC client over one kept-alive HTTP connection, for deploying and for tests.

It knows JSON-RPC and nothing of nodes, contracts or the keeper: the keeper has its own transport,
and the two must not share faults.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Sequence
from threading import Lock
from typing import Any
from urllib.parse import urlsplit


Call = tuple[str, Sequence[Any]]


class RpcError(Exception):
    """The node answered a call with an error; `data` is what a revert returned, if anything."""

    def __init__(self, method: str, code: int, message: str, data: Any = None) -> None:
        detail = "" if data is None else f" {data}"
        super().__init__(f"{method}: {message} ({code}){detail}")
        self.method = method
        self.code = code
        self.message = message
        self.data = data


class Rpc:
    """Calls to one URL; safe to share between threads, one request at a time."""

    def __init__(self, url: str, *, timeout_s: float = 120.0) -> None:
        parts = urlsplit(url)
        self._host = parts.hostname or "127.0.0.1"
        self._port = parts.port or 80
        self._path = parts.path or "/"
        self._timeout_s = timeout_s
        self._connection: http.client.HTTPConnection | None = None
        self._lock = Lock()
        self._next_id = 0

    def call(self, method: str, *params: Any) -> Any:
        """Make one call. Raises RpcError, or ConnectionError when nobody answers."""
        return self.batch([(method, params)])[0]

    def batch(self, calls: Sequence[Call]) -> list[Any]:
        """Results in the order of `calls`, sent in one request; the first error is raised."""
        results = self.try_batch(calls)
        for result in results:
            if isinstance(result, RpcError):
                raise result
        return results

    def try_batch(self, calls: Sequence[Call]) -> list[Any]:
        """As `batch`, but an error stands in its call's place as an RpcError."""
        if not calls:
            return []
        with self._lock:
            first = self._next_id
            self._next_id += len(calls)
            body = [
                {"jsonrpc": "2.0", "id": first + at, "method": method, "params": list(params)}
                for at, (method, params) in enumerate(calls)
            ]
            answers = {each["id"]: each for each in self._post(body)}
        return [_outcome(call[0], answers[first + at]) for at, call in enumerate(calls)]

    def close(self) -> None:
        """Drop the connection; the next call opens a new one."""
        with self._lock:
            self._drop()

    def _post(self, body: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if self._connection is None:
            self._connection = http.client.HTTPConnection(
                self._host, self._port, timeout=self._timeout_s
            )
        try:
            headers = {"Content-Type": "application/json"}
            self._connection.request("POST", self._path, json.dumps(body), headers)
            raw = self._connection.getresponse().read()
        except (OSError, http.client.HTTPException) as failure:
            # A half-spoken connection cannot be used again; the caller decides about a retry.
            self._drop()
            raise ConnectionError(f"no answer from {self._host}:{self._port}") from failure
        answer = json.loads(raw)
        return answer if isinstance(answer, list) else [answer]

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _outcome(method: str, answer: dict[str, Any]) -> Any:
    error = answer.get("error")
    if error is None:
        return answer["result"]
    return RpcError(method, error["code"], error["message"], error.get("data"))
