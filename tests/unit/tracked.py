"""SageMaker's experiments in the process: what boto3's client would answer, by the local engine's own code."""

import re
from datetime import datetime

from botocore.exceptions import ClientError

from local.sagemaker.engine import ACCOUNT
from local.sagemaker.errors import ApiError
from local.sagemaker.experiments import Experiments
from local.sagemaker.shapes import check

CALLS = {
    f"{verb}{kind}": f"{verb.lower()}_{method}"
    for verb in ("Create", "Describe", "Update", "Delete")
    for kind, method in (("Experiment", "experiment"), ("Trial", "trial"), ("TrialComponent", "component"))
}
CALLS |= {"ListTrials": "list_trials", "ListTrialComponents": "list_components", "BatchPutMetrics": "put_metrics"}
CALLS |= {"AssociateTrialComponent": "associate", "DisassociateTrialComponent": "disassociate"}


class InProcess:
    """A client of `sagemaker` and of `sagemaker-metrics`. `calls`: the operations so far; `broken`: which of them fail,
    each once; `describe_training_job` can be set."""

    def __init__(self):
        self._experiments = Experiments("us-east-1", ACCOUNT)
        self.calls, self.broken = [], []

    def __getattr__(self, method):
        operation = re.sub(r"(?:^|_)([a-z])", lambda match: match[1].upper(), method)

        def call(**request):
            self.calls.append(operation)
            if operation in self.broken:
                self.broken.remove(operation)
                raise _error("ThrottlingException", "Rate exceeded", operation)
            plain = _plain(request)
            try:
                check(operation, plain, "sagemaker-metrics" if operation == "BatchPutMetrics" else "sagemaker")
                return getattr(self._experiments, CALLS[operation])(plain)
            except ApiError as error:
                raise _error(error.code, error.message, operation) from error

        return call

    def get_paginator(self, method):
        class Paginator:
            def paginate(_, **request):
                page = getattr(self, method)(**request)
                yield page
                while "NextToken" in page:
                    page = getattr(self, method)(**request, NextToken=page["NextToken"])
                    yield page

        return Paginator()


def _plain(node):
    if isinstance(node, dict):
        return {key: _plain(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_plain(value) for value in node]
    return node.timestamp() if isinstance(node, datetime) else node


def _error(code, message, operation):
    return ClientError({"Error": {"Code": code, "Message": message}}, operation)
