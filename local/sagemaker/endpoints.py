"""Endpoints: created and updated in the background, serving from the artifacts their models name."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from local.sagemaker import deployments, multi_model
from local.sagemaker.capture import Capture
from local.sagemaker.deployments import ReadAlarms
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
    weight: float
    in_flight: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def name(self) -> str:
        return self.request["VariantName"]

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
    """`config` is what it serves (or tries to, while Creating); times are epoch seconds. During a blue/green update
    `green` is the new fleet and answers `green_share` of the invocations; `deployment` is that of the last update."""

    name: str
    arn: str
    config: dict[str, Any]
    created: float
    modified: float
    status: str = "Creating"
    variants: list[Variant] = field(default_factory=list)
    shadows: list[Variant] = field(default_factory=list)
    green: list[Variant] = field(default_factory=list)
    green_share: float = 0.0
    green_config: str = ""
    deployment: dict[str, Any] | None = None
    failure: str | None = None

    def enter(self, status: str) -> None:
        self.status, self.modified = status, round(time.time(), 3)


# Production and shadow variants.
Fleet = tuple[list[Variant], list[Variant]]


class Endpoints:
    """The six operations on endpoints, and the way to a variant that can serve."""

    def __init__(
        self,
        configs: EndpointConfigs,
        models: Models,
        store: Store,
        faults: Faults,
        region: str,
        account: str,
        read_alarms: ReadAlarms,
    ) -> None:
        self._read_alarms = read_alarms
        self._configs, self._models, self._store, self._faults = configs, models, store, faults
        self._region, self._account = region, account
        self._endpoints: dict[str, Endpoint] = {}
        self._lock = threading.RLock()

    def create(self, request: dict[str, Any]) -> dict[str, Any]:
        name = request["EndpointName"]
        config = self._configs.find(request["EndpointConfigName"])
        fleet = self._fleet(config)
        with self._lock:
            if name in self._endpoints:
                raise invalid(f'Cannot create already existing endpoint "{self._arn(name)}".')
            now = round(time.time(), 3)
            endpoint = self._endpoints[name] = Endpoint(name, self._arn(name), config, now, now)
        self._later(self._deploy, endpoint, config, fleet, {})
        return {"EndpointArn": endpoint.arn}

    def update(self, request: dict[str, Any]) -> dict[str, Any]:
        config = self._configs.find(request["EndpointConfigName"])
        fleet, deployment = self._fleet(config), request.get("DeploymentConfig", {})
        if deployment:
            deployments.check(deployment, config, is_serverless(config), self._read_alarms)
        with self._lock:
            endpoint = self._find(request)
            self._refuse_in_progress(endpoint)
            if endpoint.status == "Failed":
                raise invalid(f'Cannot update failed endpoint "{endpoint.arn}". Delete it and create it again.')
            if config is endpoint.config:
                raise invalid("Cannot update endpoint with the currently in use endpoint configuration.")
            if is_serverless(config) and not is_serverless(endpoint.config):
                raise invalid(f'Cannot update endpoint "{endpoint.arn}" from instances to serverless.')
            endpoint.failure, endpoint.deployment = None, deployment or None
            endpoint.enter("Updating")
        self._later(self._deploy, endpoint, config, fleet, deployment)
        return {"EndpointArn": endpoint.arn}

    def update_weights(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            endpoint = self._find(request)
            self._refuse_in_progress(endpoint)
            if endpoint.status == "Failed":
                raise invalid(f'Cannot update failed endpoint "{endpoint.arn}". Delete it and create it again.')
            changed = changed_variants([*endpoint.variants, *endpoint.shadows], request, endpoint.config)
            endpoint.enter("Updating")
        self._later(self._weigh, endpoint, changed)
        return {"EndpointArn": endpoint.arn}

    def _weigh(self, endpoint: Endpoint, changed: list[tuple[Variant, float, int]]) -> None:
        time.sleep(DEPLOY_SECONDS)
        with self._lock:
            for variant, weight, instances in changed:
                variant.weight, variant.instances = weight, instances
            endpoint.enter("InService")

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
                answer["ProductionVariants"] = [variant_summary(variant) for variant in endpoint.variants]
            if endpoint.shadows:
                answer["ShadowProductionVariants"] = [variant_summary(variant) for variant in endpoint.shadows]
            if (captured := self._capture(endpoint).summary()) is not None:
                answer["DataCaptureConfig"] = captured
            if endpoint.deployment:
                answer["LastDeploymentConfig"] = endpoint.deployment
            if endpoint.green:
                answer["PendingDeploymentSummary"] = {
                    "EndpointConfigName": endpoint.green_config,
                    "ProductionVariants": [variant_summary(variant) for variant in endpoint.green],
                    "StartTime": endpoint.modified,
                }
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
            variants = _answering(endpoint) if endpoint and endpoint.status != "Failed" else []
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

    def beside(self, endpoint_name: str) -> tuple[Variant | None, Capture]:
        """What else happens to an invocation: the shadow variant that it is replicated to, and the capture.

        The shadow gets the share of the invocations that its weight is of the production variant's.
        """
        with self._lock:
            endpoint = self._find({"EndpointName": endpoint_name})
            capture = self._capture(endpoint)
            if not endpoint.shadows:
                return None, capture
            (production,), (shadow,) = endpoint.variants, endpoint.shadows
            replicated = random.random() * production.weight < shadow.weight  # noqa: S311
            return shadow if replicated else None, capture

    def _capture(self, endpoint: Endpoint) -> Capture:
        return Capture(endpoint.config.get("DataCaptureConfig"), self._store)

    def _fleet(self, config: dict[str, Any]) -> Fleet:
        """Copies made when the request is accepted: deleting the configuration or a model later changes nothing."""

        def variants(member: str) -> list[Variant]:
            found = []
            for request in config.get(member, []):
                container = self._models.container(request["ModelName"])
                image, data, now = container["Image"], container["ModelDataUrl"], round(time.time(), 3)
                instances, weight = request.get("InitialInstanceCount", 0), request.get("InitialVariantWeight", 1.0)
                found.append(Variant(request, image, data, now, instances, weight))
            return found

        return variants("ProductionVariants"), variants("ShadowProductionVariants")

    def _later(self, work: Callable[..., None], *arguments: Any) -> None:
        threading.Thread(target=work, args=arguments, daemon=True).start()

    def _deploy(self, endpoint: Endpoint, config: dict[str, Any], fleet: Fleet, deployment: dict[str, Any]) -> None:
        time.sleep(DEPLOY_SECONDS)
        variants, shadows = fleet
        fault = self._faults.take("Endpoint")
        failure = fault.message if fault else self._load_failure([*variants, *shadows])
        if failure is None and deployment:
            failure = self._shift(endpoint, config, variants, deployment)
        with self._lock:
            endpoint.failure, endpoint.green, endpoint.green_share = failure, [], 0.0
            if failure is None:
                endpoint.config, endpoint.variants, endpoint.shadows = config, variants, shadows
                endpoint.enter("InService")
            elif endpoint.variants and fault is None:
                # A blue/green update that cannot start rolls back: the old fleet goes on serving.
                endpoint.enter("InService")
            else:
                endpoint.enter("Failed")

    def _shift(
        self, endpoint: Endpoint, config: dict[str, Any], variants: list[Variant], deployment: dict[str, Any]
    ) -> str | None:
        """Moves the traffic to the new fleet; what went wrong, where it went back."""
        with self._lock:
            endpoint.green, endpoint.green_config = variants, config["EndpointConfigName"]

        def to(share: float) -> None:
            with self._lock:
                endpoint.green_share = share

        try:
            deployments.shift(deployment, config, to, self._read_alarms)
        except deployments.AlarmWentOffError as error:
            with self._lock:
                endpoint.green_share = 0.0
                endpoint.enter("RollingBack")
            time.sleep(DEPLOY_SECONDS)
            return f"One or more configured alarm(s) have gone into alarm state: [{error}]."
        return None

    def _load_failure(self, variants: list[Variant]) -> str | None:
        for variant in variants:
            if multi_model.is_prefix(variant.model_data_url):
                continue  # each model is loaded when it is first asked for
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
        if endpoint.status in ("Creating", "Updating", "RollingBack"):
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


def _answering(endpoint: Endpoint) -> list[Variant]:
    """The fleet that answers an invocation: the new one its share of times, while an update goes on."""
    return list(endpoint.green if endpoint.green and random.random() < endpoint.green_share else endpoint.variants)  # noqa: S311


def changed_variants(
    variants: list[Variant], request: dict[str, Any], config: dict[str, Any]
) -> list[tuple[Variant, float, int]]:
    """The weights and instances that UpdateEndpointWeightsAndCapacities asks for. Raises ApiError."""
    by_name = {variant.name: variant for variant in variants}
    wanted = {each["VariantName"]: each for each in request["DesiredWeightsAndCapacities"]}
    if len(wanted) != len(request["DesiredWeightsAndCapacities"]):
        raise invalid("DesiredWeightsAndCapacities names a variant twice.")
    if unknown := [name for name in wanted if name not in by_name]:
        names, place = ", ".join(f'"{name}"' for name in unknown), config["EndpointConfigName"]
        raise invalid(f'The variant name(s) {names} is/are not present within endpoint configuration "{place}".')
    changed = []
    for name, each in wanted.items():
        variant = by_name[name]
        if "DesiredInstanceCount" in each and variant.max_concurrency is not None:
            raise invalid("DesiredInstanceCount is not supported for serverless variants.")
        weight, instances = (
            each.get("DesiredWeight", variant.weight),
            each.get("DesiredInstanceCount", variant.instances),
        )
        changed.append((variant, weight, instances))
    weights = {variant.name: variant.weight for variant in variants} | {v.name: weight for v, weight, _ in changed}
    if not any(weights[request["VariantName"]] for request in config["ProductionVariants"]):
        raise invalid("At least one production variant must have a weight above 0.")
    return changed


def variant_summary(variant: Variant) -> dict[str, Any]:
    summary = {
        "VariantName": variant.name,
        "DeployedImages": [{"SpecifiedImage": variant.image, "ResolutionTime": variant.ready}],
        "CurrentWeight": variant.weight,
        "DesiredWeight": variant.weight,
    }
    if "ServerlessConfig" in variant.request:
        return summary | {"CurrentServerlessConfig": variant.request["ServerlessConfig"], "CurrentInstanceCount": 0}
    return summary | {"CurrentInstanceCount": variant.instances, "DesiredInstanceCount": variant.instances}
