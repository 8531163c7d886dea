"""The boto3 session for awswrangler, which is all that boto3 is needed for: importing it makes cold starts longer."""

import functools
from typing import Any

import boto3


class _Session(boto3.Session):
    """Has one client for each service: awswrangler asks for another at every call, which takes as long as the call."""

    def __init__(self) -> None:
        super().__init__()
        self._clients: dict[str, Any] = {}

    def client(self, service_name: str, **settings: Any) -> Any:  # type: ignore[override]
        if service_name not in self._clients:
            self._clients[service_name] = super().client(service_name, **settings)  # type: ignore[call-overload]
        return self._clients[service_name]


@functools.cache
def session() -> boto3.Session:
    return _Session()
