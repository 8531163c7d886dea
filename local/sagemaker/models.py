"""Models and endpoint configurations: what an endpoint is made of."""

import threading
import time
from dataclasses import dataclass
from typing import Any

from local.sagemaker import multi_model
from local.sagemaker.capture import check_capture
from local.sagemaker.errors import invalid
from local.sagemaker.images import require_cpu, require_rcf
from local.sagemaker.listing import page
from local.sagemaker.store import Store

SERVERLESS_MEMORY = range(1024, 6145, 1024)
# Parts of an endpoint configuration that serverless endpoints do not have.
NOT_SERVERLESS = ("DataCaptureConfig", "AsyncInferenceConfig", "ShadowProductionVariants", "VpcConfig")


@dataclass(frozen=True)
class Resource:
    """A stored request with its ARN and creation time (epoch seconds)."""

    request: dict[str, Any]
    arn: str
    created: float


class Shelf:
    """Resources of one kind by name, with AWS's wording for a missing and for a doubled one."""

    def __init__(self, title: str, arn_prefix: str) -> None:
        self._title, self._arn_prefix = title, arn_prefix
        self._resources: dict[str, Resource] = {}
        self._lock = threading.Lock()

    def add(self, name: str, request: dict[str, Any]) -> Resource:
        with self._lock:
            if name in self._resources:
                raise invalid(f'Cannot create already existing {self._title} "{self._arn(name)}".')
            resource = self._resources[name] = Resource(request, self._arn(name), round(time.time(), 3))
        return resource

    def get(self, name: str) -> Resource:
        with self._lock:
            if name not in self._resources:
                raise invalid(f'Could not find {self._title} "{self._arn(name)}".')
            return self._resources[name]

    def remove(self, name: str) -> None:
        self.get(name)
        with self._lock:
            self._resources.pop(name, None)

    def all(self) -> list[Resource]:
        with self._lock:
            return list(self._resources.values())

    def _arn(self, name: str) -> str:
        return f"{self._arn_prefix}/{name.lower()}"


class Models:
    """The four operations on models."""

    def __init__(self, store: Store, region: str, account: str) -> None:
        self._store, self._region = store, region
        self._shelf = Shelf("model", f"arn:aws:sagemaker:{region}:{account}:model")

    def create(self, request: dict[str, Any]) -> dict[str, Any]:
        containers = request.get("Containers") or [request.get("PrimaryContainer", {})]
        if len(containers) != 1:
            raise invalid("The local engine serves models of one container only.")
        require_rcf(containers[0].get("Image"), self._region)
        if "ModelDataUrl" not in containers[0]:
            raise invalid("The local engine needs the container's ModelDataUrl.")
        multi_model.check_container(containers[0], self._store)
        return {"ModelArn": self._shelf.add(request["ModelName"], request).arn}

    def describe(self, request: dict[str, Any]) -> dict[str, Any]:
        model = self._shelf.get(request["ModelName"])
        return _without_tags(model) | {"ModelArn": model.arn, "CreationTime": model.created}

    def delete(self, request: dict[str, Any]) -> dict[str, Any]:
        self._shelf.remove(request["ModelName"])
        return {}

    def list_page(self, request: dict[str, Any]) -> dict[str, Any]:
        summaries = [
            {"ModelName": model.request["ModelName"], "ModelArn": model.arn, "CreationTime": model.created}
            for model in self._shelf.all()
        ]
        return page(summaries, request, "Model", "Models", "Descending")

    def find(self, name: str) -> dict[str, Any]:
        """CreateModel's input of a model. ApiError when there is none."""
        return self._shelf.get(name).request

    def container(self, name: str) -> dict[str, Any]:
        """The one container of a model. ApiError as `find`."""
        model = self.find(name)
        return (model.get("Containers") or [model.get("PrimaryContainer")])[0]


class EndpointConfigs:
    """The four operations on endpoint configurations."""

    def __init__(self, models: Models, region: str, account: str) -> None:
        self._models = models
        self._shelf = Shelf("endpoint configuration", f"arn:aws:sagemaker:{region}:{account}:endpoint-config")

    def create(self, request: dict[str, Any]) -> dict[str, Any]:
        variants = request["ProductionVariants"] + request.get("ShadowProductionVariants", [])
        names = [variant["VariantName"] for variant in variants]
        if len(set(names)) != len(names):
            raise invalid("Variant names must be unique within an endpoint configuration.")
        for variant in variants:
            if "ModelName" not in variant:
                raise invalid("The local engine serves variants with a ModelName only.")
            model = self._models.find(variant["ModelName"])
            multi_model.check_variant(variant, self._models.container(variant["ModelName"]), request)
            if "ServerlessConfig" in variant:
                _check_serverless(variant, request, model)
            else:
                _check_instances(variant)
        _check_async(request)
        _check_shadow(request)
        check_capture(request)
        return {"EndpointConfigArn": self._shelf.add(request["EndpointConfigName"], request).arn}

    def describe(self, request: dict[str, Any]) -> dict[str, Any]:
        config = self._shelf.get(request["EndpointConfigName"])
        return _without_tags(config) | {"EndpointConfigArn": config.arn, "CreationTime": config.created}

    def delete(self, request: dict[str, Any]) -> dict[str, Any]:
        self._shelf.remove(request["EndpointConfigName"])
        return {}

    def list_page(self, request: dict[str, Any]) -> dict[str, Any]:
        summaries = [
            {
                "EndpointConfigName": config.request["EndpointConfigName"],
                "EndpointConfigArn": config.arn,
                "CreationTime": config.created,
            }
            for config in self._shelf.all()
        ]
        return page(summaries, request, "EndpointConfig", "EndpointConfigs", "Descending")

    def find(self, name: str) -> dict[str, Any]:
        """CreateEndpointConfig's input. ApiError when there is none."""
        return self._shelf.get(name).request


def is_serverless(config: dict[str, Any]) -> bool:
    return "ServerlessConfig" in config["ProductionVariants"][0]


def _check_serverless(variant: dict[str, Any], request: dict[str, Any], model: dict[str, Any]) -> None:
    if "InstanceType" in variant or "InitialInstanceCount" in variant:
        raise invalid("A variant has either a ServerlessConfig or an InstanceType with InitialInstanceCount, not both.")
    if len(request["ProductionVariants"]) > 1:
        raise invalid("Serverless endpoints support one production variant only.")
    if excluded := [name for name in NOT_SERVERLESS if name in request]:
        raise invalid(f"Serverless endpoints do not support {', '.join(excluded)}.")
    if "VpcConfig" in model or model.get("EnableNetworkIsolation") or request.get("EnableNetworkIsolation"):
        raise invalid("Serverless endpoints support neither VpcConfig nor network isolation.")
    serverless = variant["ServerlessConfig"]
    if serverless["MemorySizeInMB"] not in SERVERLESS_MEMORY:
        sizes = ", ".join(map(str, SERVERLESS_MEMORY))
        raise invalid(f"MemorySizeInMB {serverless['MemorySizeInMB']} is not valid. Valid values are {sizes}.")
    if serverless.get("ProvisionedConcurrency", 0) > serverless["MaxConcurrency"]:
        raise invalid("ProvisionedConcurrency must be less than or equal to MaxConcurrency.")


def _check_async(request: dict[str, Any]) -> None:
    """Refuse a configuration of an asynchronous endpoint that SageMaker refuses. Raises ApiError."""
    config = request.get("AsyncInferenceConfig")
    if config is None:
        return
    if len(request["ProductionVariants"]) > 1 or "ShadowProductionVariants" in request:
        raise invalid("Asynchronous endpoints support one production variant only.")
    if "S3OutputPath" not in config["OutputConfig"]:
        raise invalid("AsyncInferenceConfig.OutputConfig needs S3OutputPath.")


def _check_shadow(request: dict[str, Any]) -> None:
    shadows = request.get("ShadowProductionVariants")
    if shadows and (len(shadows), len(request["ProductionVariants"])) != (1, 1):
        raise invalid("With ShadowProductionVariants there can be only one production and one shadow variant.")
    if any("ServerlessConfig" in variant for variant in shadows or []):
        raise invalid("Serverless endpoints do not support ShadowProductionVariants.")


def _check_instances(variant: dict[str, Any]) -> None:
    if "InstanceType" not in variant or "InitialInstanceCount" not in variant:
        raise invalid("A variant needs a ServerlessConfig, or an InstanceType with InitialInstanceCount.")
    require_cpu(variant["InstanceType"])


def _without_tags(resource: Resource) -> dict[str, Any]:
    return {name: value for name, value in resource.request.items() if name != "Tags"}
