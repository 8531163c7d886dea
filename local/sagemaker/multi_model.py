"""Multi-model endpoints: one container serves whichever artifact below a prefix an invocation names, loaded when it is
first asked for.

https://docs.aws.amazon.com/sagemaker/latest/dg/multi-model-endpoints.html
"""

from typing import Any

from local.sagemaker.errors import ApiError, invalid
from local.sagemaker.store import Store

TARGET_MODEL = "X-Amzn-SageMaker-Target-Model"


def is_prefix(model_data_url: str) -> bool:
    """Whether a container's ModelDataUrl is one of many models; `check_container` sees to it."""
    return model_data_url.endswith("/")


def check_container(container: dict[str, Any], store: Store) -> None:
    """Refuse a container whose ModelDataUrl is not what its Mode asks for. Raises ApiError."""
    url = container["ModelDataUrl"]
    if container.get("Mode", "SingleModel") == "MultiModel":
        if not url.startswith("s3://") or not is_prefix(url):
            raise invalid(f"ModelDataUrl {url} of a multi-model container must be an S3 prefix that ends in /.")
    elif not store.exists(url):
        raise invalid(f"Could not find model data at {url}.")


def check_variant(variant: dict[str, Any], container: dict[str, Any], request: dict[str, Any]) -> None:
    """Refuse what SageMaker cannot host many models on; `request`: of the endpoint configuration. Raises ApiError."""
    if container.get("Mode") != "MultiModel":
        return
    if "ServerlessConfig" in variant:
        raise invalid("Serverless endpoints do not support multi-model containers.")
    if "ShadowProductionVariants" in request:
        raise invalid("Endpoints with a shadow variant do not support multi-model containers.")
    if "AsyncInferenceConfig" in request:
        raise invalid("Asynchronous endpoints do not support multi-model containers.")


def artifact(endpoint: str, model_data_url: str, target: str | None, store: Store) -> str:
    """The URI of the artifact that answers an invocation. Raises ApiError (ValidationError)."""
    if not is_prefix(model_data_url):
        if target:
            raise _refused(
                f"Endpoint {endpoint} is not a multi-model endpoint and does not support target model header."
            )
        return model_data_url
    if not target:
        raise _refused(f"Endpoint {endpoint} is a multi-model endpoint and needs the target model header.")
    if not target.endswith(".tar.gz") or ".." in target.split("/"):
        raise _refused(f"Target model {target} is not the relative path of an archive (.tar.gz).")
    uri = model_data_url + target.lstrip("/")
    # What is in memory answers on, though its artifact may have been deleted since.
    if not store.is_loaded(uri) and not store.exists(uri):
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        raise _refused(
            f"Failed to download model data(bucket: {bucket}, key: {key}). Please ensure that there is an object "
            "located at the URL and that the role passed to CreateModel has permissions to download the model."
        )
    return uri


def _refused(message: str) -> ApiError:
    return ApiError("ValidationError", message)
