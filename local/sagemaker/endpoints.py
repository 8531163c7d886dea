"""Endpoints: created and updated in the background, serving from the artifacts their models name."""

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from local.sagemaker.errors import ApiError, DataError, invalid
from local.sagemaker.faults import Faults
from local.sagemaker.listing import page
from local.sagemaker.models import EndpointConfigs, Models, is_serverless
from local.sagemaker.store import Store

DEPLOY_SECONDS = 0.2


@dataclass
class Variant:
    """A model being served; `max_concurrency` is None on instances, which queue instead of throttling."""

    request: dict[str, Any]
    image: str
    model_data_url: str
    ready: float
    instances: int
    in_flight: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def name(self) -> str:
        return self.request["VariantName"]

    @property
    def weight(self) -> float:
        return self.request.get("InitialVariantWeight", 1.0)

    @property
    def max_concurrency(self) -> int | None:
        return self.request.get("ServerlessConfig", {}).get("MaxConcurrency")

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Room for one invocation. ApiError as AWS throttles: HTTP 400 without a message."""
        with self.lock:
            if self.max_concurrency is not None and self.in_flight >= self.max_concurrency:
                raise ApiError("ThrottlingException", None)
            self.in_flight += 1
        try:
            yield
        finally:
            with self.lock:
                self.in_flight -= 1


@dataclass
class Endpoint:
    """`config` is what it serves (or tries to, while Creating); times are epoch seconds."""

    name: str
    arn: str
    config: dict[str, Any]
    created: float
    modified: float
    status: str = "Creating"
    variants: list[Variant] = field(default_factory=list)
    failure: str | None = None

    def enter(self, status: str) -> None:
        self.status, self.modified = status, round(time.time(), 3)


class Endpoints:
    """The five operations on endpoints, and the way to a variant that can serve."""

    def __init__(
        self, configs: EndpointConfigs, models: Models, store: Store, faults: Faults, region: str, account: str
    ) -> None:
        self._configs, self._models, self._store, self._faults = configs, models, store, faults
        self._region, self._account = region, account
        self._endpoints: dict[str, Endpoint] = {}
        self._lock = threading.RLock()

    def create(self, request: dict[str, Any]) -> dict[str, Any]:
        name = request["EndpointName"]
        config = self._configs.find(request["EndpointConfigName"])
        variants = self._variants(config)
        with self._lock:
            if name in self._endpoints:
                raise invalid(f'Cannot create already existing endpoint "{self._arn(name)}".')
            now = round(time.time(), 3)
            endpoint = self._endpoints[name] = Endpoint(name, self._arn(name), config, now, now)
        self._deploy_later(endpoint, config, variants)
        return {"EndpointArn": endpoint.arn}

    def update(self, request: dict[str, Any]) -> dict[str, Any]:
        config = self._configs.find(request["EndpointConfigName"])
        variants = self._variants(config)
        with self._lock:
            endpoint = self._find(request)
            self._refuse_in_progress(endpoint)
            if endpoint.status == "Failed":
                raise invalid(f'Cannot update failed endpoint "{endpoint.arn}". Delete it and create it again.')
            if config is endpoint.config:
                raise invalid("Cannot update endpoint with the currently in use endpoint configuration.")
            if is_serverless(config) and not is_serverless(endpoint.config):
                raise invalid(f'Cannot update endpoint "{endpoint.arn}" from instances to serverless.')
            endpoint.failure = None
            endpoint.enter("Updating")
        self._deploy_later(endpoint, config, variants)
        return {"EndpointArn": endpoint.arn}

    def delete(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            endpoint = self._find(request)
            self._refuse_in_progress(endpoint)
            del self._endpoints[endpoint.name]
        return {}

    def describe(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            endpoint = self._find(request)
            answer = _summary(endpoint) | {"EndpointConfigName": endpoint.config["EndpointConfigName"]}
            if endpoint.variants:
                answer["ProductionVariants"] = [_variant_summary(variant) for variant in endpoint.variants]
            if endpoint.failure is not None:
                answer["FailureReason"] = endpoint.failure
            return answer

    def list_page(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            summaries = [_summary(endpoint) for endpoint in self._endpoints.values()]
        return page(summaries, request, "Endpoint", "Endpoints", "Descending")

    def variant(self, endpoint_name: str, target: str | None) -> Variant:
        """The variant that answers an invocation: the target, or one drawn by weight.

        ApiError (ValidationError) when the endpoint is not there, is not yet or no longer serving, or lacks the target.
        """
        with self._lock:
            endpoint = self._endpoints.get(endpoint_name)
            variants = list(endpoint.variants) if endpoint and endpoint.status != "Failed" else []
        if not variants:
            raise ApiError("ValidationError", f"Endpoint {endpoint_name} of account {self._account} not found.")
        if target is not None:
            variants = [variant for variant in variants if variant.name == target]
            if not variants:
                raise ApiError("ValidationError", f"Variant {target} not found in endpoint {endpoint_name}.")
        if len(variants) == 1:
            return variants[0]
        return random.choices(variants, [variant.weight for variant in variants])[0]  # noqa: S311

    def configuration(self, endpoint_name: str) -> dict[str, Any]:
        """What a serving endpoint is made of. ApiError (ValidationError) as `variant`."""
        self.variant(endpoint_name, None)
        with self._lock:
            return self._endpoints[endpoint_name].config

    def is_asynchronous(self, endpoint_name: str) -> bool:
        return "AsyncInferenceConfig" in self.configuration(endpoint_name)

    def instances(self, endpoint_name: str) -> int:
        """Of the one variant that an asynchronous endpoint has. ApiError (ValidationError) as `variant`."""
        return self.variant(endpoint_name, None).instances

    def scale(self, endpoint_name: str, variant_name: str, instances: int) -> None:
        """At once: an instance takes no time to start here. ApiError (ValidationError) as `variant`."""
        self.variant(endpoint_name, variant_name).instances = instances

    def _variants(self, config: dict[str, Any]) -> list[Variant]:
        """Copies made when the request is accepted: deleting the configuration or a model later changes nothing."""
        variants = []
        for request in config["ProductionVariants"]:
            container = self._models.container(request["ModelName"])
            image, data, now = container["Image"], container["ModelDataUrl"], round(time.time(), 3)
            variants.append(Variant(request, image, data, now, request.get("InitialInstanceCount", 0)))
        return variants

    def _deploy_later(self, endpoint: Endpoint, config: dict[str, Any], variants: list[Variant]) -> None:
        threading.Thread(target=self._deploy, args=(endpoint, config, variants), daemon=True).start()

    def _deploy(self, endpoint: Endpoint, config: dict[str, Any], variants: list[Variant]) -> None:
        time.sleep(DEPLOY_SECONDS)
        fault = self._faults.take("Endpoint")
        failure = fault.message if fault else self._load_failure(variants)
        with self._lock:
            endpoint.failure = failure
            if failure is None:
                endpoint.config, endpoint.variants = config, variants
                endpoint.enter("InService")
            elif endpoint.variants and fault is None:
                # A blue/green update that cannot start rolls back: the old fleet goes on serving.
                endpoint.enter("InService")
            else:
                endpoint.enter("Failed")

    def _load_failure(self, variants: list[Variant]) -> str | None:
        for variant in variants:
            self._store.forget(variant.model_data_url)
            if not self._store.exists(variant.model_data_url):
                return (
                    f'Failed to download model data for container "container_1" from URL: "{variant.model_data_url}". '
                    "Please ensure that there is an object located at the URL and that the role passed to CreateModel "
                    "has permissions to download the object."
                )
            try:
                self._store.forest(variant.model_data_url)
            except DataError as error:
                return (
                    f"The primary container for production variant {variant.name} did not pass the ping health check. "
                    f"Please check CloudWatch logs for this endpoint. ({variant.model_data_url}: {error})"
                )
        return None

    def _find(self, request: dict[str, Any]) -> Endpoint:
        name = request["EndpointName"]
        if name not in self._endpoints:
            raise invalid(f'Could not find endpoint "{self._arn(name)}".')
        return self._endpoints[name]

    def _refuse_in_progress(self, endpoint: Endpoint) -> None:
        if endpoint.status in ("Creating", "Updating"):
            raise invalid(f'Cannot update in-progress endpoint "{endpoint.arn}".')

    def _arn(self, name: str) -> str:
        return f"arn:aws:sagemaker:{self._region}:{self._account}:endpoint/{name.lower()}"


def _summary(endpoint: Endpoint) -> dict[str, Any]:
    return {
        "EndpointName": endpoint.name,
        "EndpointArn": endpoint.arn,
        "CreationTime": endpoint.created,
        "LastModifiedTime": endpoint.modified,
        "EndpointStatus": endpoint.status,
    }


def _variant_summary(variant: Variant) -> dict[str, Any]:
    summary = {
        "VariantName": variant.name,
        "DeployedImages": [{"SpecifiedImage": variant.image, "ResolutionTime": variant.ready}],
        "CurrentWeight": variant.weight,
        "DesiredWeight": variant.weight,
    }
    if "ServerlessConfig" in variant.request:
        return summary | {"CurrentServerlessConfig": variant.request["ServerlessConfig"], "CurrentInstanceCount": 0}
    return summary | {"CurrentInstanceCount": variant.instances, "DesiredInstanceCount": variant.instances}
