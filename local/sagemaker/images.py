"""Which images and instances the engine accepts: to train and serve, the Random Cut Forest of the region, on CPUs."""

import re

from local.sagemaker.errors import invalid

RCF_IMAGE = re.compile(r"\d{12}\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?/randomcutforest:1")
PRIVATE_IMAGE = re.compile(r"\d{12}\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?/[a-z0-9._/-]+[:@][\w.:-]+")
GPU_INSTANCE = re.compile(r"ml\.(p\d|g\d|inf|trn)")


def require_rcf(image: str | None, region: str) -> None:
    """ApiError unless `image` is RCF's built-in image of `region`."""
    match = RCF_IMAGE.fullmatch(image or "")
    if match is None:
        raise invalid(f"The local engine serves the built-in image randomcutforest:1 only, not {image}.")
    if match[1] != region:
        raise invalid(f'ECR image "{image}" is invalid. The image must be in the region {region}.')


def require_private_image(image: str, region: str) -> None:
    """ApiError unless `image` is in a private ECR registry of `region`: SageMaker pulls from no other."""
    match = PRIVATE_IMAGE.fullmatch(image)
    if match is None or match[1] != region:
        raise invalid(f'Invalid image URI "{image}": an image in a private ECR registry of {region} is needed.')


def require_cpu(instance_type: str) -> None:
    """ApiError for an accelerated instance: Random Cut Forest runs on CPUs only."""
    if GPU_INSTANCE.match(instance_type):
        raise invalid(f"The algorithm randomcutforest does not support GPU instances; {instance_type} was requested.")
