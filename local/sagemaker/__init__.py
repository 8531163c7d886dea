"""A SageMaker of our own for laptops and tests: control plane, runtime and a real Random Cut Forest on one port.

Only what the Random Cut Forest path needs is here: training, transform and processing jobs, pipelines of them, models,
endpoint configurations, endpoints, InvokeEndpoint and InvokeEndpointAsync, how endpoints scale, the model registry, and
experiments.
Requests are checked against botocore's service models, limits and error shapes are SageMaker's, and everything but the
artifacts (which live in S3) is kept in memory.
"""

from local.sagemaker.engine import Engine
from local.sagemaker.server import EngineServer, serve

__all__ = ["Engine", "EngineServer", "serve"]
