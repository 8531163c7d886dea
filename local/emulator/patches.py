"""Every private name of ministack that this package replaces or uses, in one place, and checked before anything runs.

ministack is pinned exactly because of this file. Each patch says what AWS does and ministack, unpatched, does not.
"""

import contextvars
import functools
import inspect
import json
import os
import re
import unicodedata
import urllib.error
import urllib.request
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

from ministack import app
from ministack.core import iam_actions, iam_evaluator
from ministack.core.responses import new_uuid
from ministack.services import cloudwatch_logs, eventbridge, lambda_svc, s3, sns, sts
from ministack.services import stepfunctions as sfn
from ministack.services.cloudformation import provisioners

from . import calls, releases

PIN = "1.5.33"

# Names and parameters as they are at the pin. "*" stands for a name that is not a function.
_EXPECTED: dict[ModuleType, dict[str, str]] = {
    lambda_svc: {
        "_execute_function_warm": "func event request_id",
        "_emit_lambda_logs": "func request_id log_text error duration_ms log_source",
        "_execute_function_with_config_scope": "func event",
        "_execution_record_for_config": "func config",
        "_get_func_record_for_ref": "function_ref",
        "_invoke": "name event headers path_qualifier query_params",
        "_resolve_layer_zip": "attachment",
        "_xray_trace_id_for_invocation": "config inbound_trace_header",
        "invoke_async_with_retry": "func event",
    },
    cloudwatch_logs: {
        "_append_log_events": "stream events",
        "_fanout_to_subscription_filters": "group_name stream_name events",
        "_make_group_arn": "name",
        "_log_groups": "*",
    },
    sfn: {
        "_api_name_to_sfn_key": "name",
        "_call_lambda": "func_ref event",
        "_emit_execution_status_event": "execution",
        "_error_matches": "error_equals error",
        "_evaluate_intrinsic": "expression data ctx",
        "_invoke_aws_sdk_integration": "resource input_data",
        "_invoke_resource": "resource input_data",
        "_invoke_with_callback": "resource input_data token state_def",
        "_is_num": "v",
        "_is_timestamp": "v",
        "_parse_jsonpath_tokens": "path",
        "_parse_ts": "v",
        "_resolve_path": "path data",
        "_run_distributed_map": "state_def raw_input effective iterator execution ctx",
        "_run_execution": "exec_arn",
        "_run_sub_machine": "states start_at input_data execution ctx",
        "_start_execution": "data",
        "_stop_execution": "data",
        "_ExecutionError": "error cause",
        "_SERVICE_DISPATCH": "*",
        "_create_state_machine_alias": "data",
        "_delete_state_machine_alias": "data",
        "_delete_state_machine_version": "data",
        "_executions": "*",
        "_publish_state_machine_version": "data",
        "_state_machine_aliases": "*",
        "_state_machine_versions": "*",
        "_state_machines": "*",
        "_update_state_machine_alias": "data",
    },
    s3: {
        "_fire_s3_event": (
            "bucket_name key event_name size etag deletion_type restore_event_data version_id sequencer "
            "object_extra record_extra"
        ),
    },
    sns: {
        "_build_envelope": "topic_arn msg_id message subject message_attributes raw",
        "_fanout": (
            "topic_arn msg_id message subject message_structure message_attributes message_group_id message_dedup_id"
        ),
        "_matches_filter_policy": "sub message_attributes message",
        "_resolve_message_for_protocol": "message message_structure protocol",
        "_topic_by_arn_any_scope": "topic_arn",
        "publish_internal": (
            "topic_arn message subject message_structure message_attributes message_group_id message_deduplication_id"
        ),
        "SnsPublishError": "code message",
    },
    eventbridge: {
        "_dispatch_event": "event view",
        "_dispatch_to_lambda": "arn payload",
        "_dispatch_to_stepfunctions": "arn payload",
        "_put_events": "data allow_aws_source",
    },
    provisioners: {
        "_RESOURCE_HANDLERS": "*",
        "_provision_resource": "resource_type logical_id props stack_name",
        "_update_resource": "resource_type physical_id old_props new_props stack_name logical_id old_attrs",
    },
    app: {"AUTH": "*", "pin_request_origin": "source_ip secure_transport"},
    iam_actions: {"_param": "body query_params fields"},
    iam_evaluator: {
        "_fnmatch_compile": "pattern ignore_case",
        "_resolve_condition_key": "key ctx",
        "evaluate": "ctx policies limits",
        "resolve_principal": "access_key_id account_id credential",
        "AuthError": "code message details",
        "EvalContext": (
            "principal_arn principal_type principal_account action resource_arn region source_ip secure_transport "
            "request_tags tag_keys service_context principal_keys"
        ),
    },
    sts: {"register_session": "access_key session"},
}

_SESSION = re.compile(r"arn:([^:]+):sts::(\d+):assumed-role/([^/]+)/.+")  # of a role, and its session's name
_SUBJECT_LIMIT = 100  # characters; https://docs.aws.amazon.com/sns/latest/api/API_Publish.html

# Types of our templates that ministack refuses a stack for (of alarms, those on several metrics). Nothing here acts on
# them: no alarm goes off.
_STUB_TYPES = (
    "AWS::ApplicationAutoScaling::ScalableTarget",
    "AWS::ApplicationAutoScaling::ScalingPolicy",
    "AWS::Athena::NamedQuery",
    "AWS::Budgets::Budget",
    "AWS::CloudWatch::Alarm",
    "AWS::CloudWatch::AnomalyDetector",
    "AWS::CloudWatch::CompositeAlarm",
    "AWS::EC2::SecurityGroupIngress",
    "AWS::Logs::QueryDefinition",
    "AWS::ResourceGroups::Group",
    "AWS::SageMaker::Endpoint",
    "AWS::SageMaker::EndpointConfig",
    "AWS::SageMaker::Model",
    "AWS::XRay::Group",
    "AWS::XRay::SamplingRule",
)

# The version of the object whose event is being delivered, and the event that is being dispatched.
_version_id: contextvars.ContextVar[str | None] = contextvars.ContextVar("version_id", default=None)
_event: contextvars.ContextVar[dict[str, Any] | None] = contextvars.ContextVar("event", default=None)


class PatchError(RuntimeError):
    """ministack is not the one that these patches were written for."""


def check() -> None:
    """Raise PatchError unless every name is there with the parameters it has at the pin."""
    found = version("ministack")
    wrong = []
    for module, names in _EXPECTED.items():
        for name, parameters in names.items():
            if not hasattr(module, name):
                wrong.append(f"{module.__name__}.{name} is gone")
            elif parameters != "*":
                actual = " ".join(key for key in inspect.signature(getattr(module, name)).parameters if key != "self")
                if actual != parameters:
                    wrong.append(f"{module.__name__}.{name}({actual}) was ({parameters})")
    if wrong:
        raise PatchError(
            f"local/emulator is written for ministack=={PIN}, and ministack {found} differs:\n  "
            + "\n  ".join(wrong)
            + f"\nInstall ministack=={PIN} (uv sync), or adapt local/emulator/patches.py."
        )


def apply(execute: Callable[[dict, dict, str], dict], prepare: Callable[[str], None], outbox: Path) -> None:
    """Install all the patches. `execute` runs a function, `prepare` starts those that a state machine's definition
    names; `outbox` is where e-mails go."""
    check()
    _patch_lambda(execute)
    _patch_stepfunctions(prepare)
    _patch_events()
    _patch_sns(outbox)
    _patch_iam()
    _patch_cloudformation()
    _register_stubs()
    _register_sagemaker()


def _patch_lambda(execute: Callable[[dict, dict, str], dict]) -> None:
    """Lambda's own runtime client instead of ministack's worker script, which reports every exception alike."""
    from .lambdas import request_too_large

    lambda_svc._execute_function_warm = execute
    lambda_svc._emit_lambda_logs = lambda *args, **kwargs: None  # the environments write their own
    stock_invoke = lambda_svc._invoke

    async def invoke(name: str, event: Any, headers: dict, *args: Any, **kwargs: Any) -> tuple:
        return request_too_large(headers) or await stock_invoke(name, event, headers, *args, **kwargs)

    lambda_svc._invoke = invoke


def _patch_stepfunctions(prepare: Callable[[str], None]) -> None:
    """Our interpreter: timeouts, stops, MaxDelaySeconds, jitter, iteration history, failing on missing paths."""
    from .states import integrations, machine, paths, retry

    sfn._run_execution = functools.partial(machine.run_execution, sfn._run_execution, prepare)
    sfn._start_execution = functools.partial(releases.started, stock=sfn._start_execution)
    provisioners._RESOURCE_HANDLERS.update(releases.HANDLERS)
    sfn._stop_execution = functools.partial(machine.stop_execution, sfn._stop_execution)
    sfn._run_sub_machine = machine.run_sub_machine
    sfn._resolve_path = paths.resolve_path
    sfn._error_matches = retry.error_matches
    sfn._call_lambda = integrations.call_lambda
    sfn._invoke_aws_sdk_integration = integrations.call_sdk
    sfn._SERVICE_DISPATCH["arn:aws:states:::sagemaker:"] = integrations.call_sagemaker


def _patch_events() -> None:
    """version-id in S3's events; execution names as EventBridge makes them; asynchronous invocation of functions; the
    events of SageMaker, whose engine is a process of its own: AWS takes those of its services by another door."""
    stock_fire, stock_dispatch, stock_put = s3._fire_s3_event, eventbridge._dispatch_event, eventbridge._put_events

    def fire(*args: Any, **kwargs: Any) -> None:
        _version_id.set(inspect.signature(stock_fire).bind(*args, **kwargs).arguments.get("version_id"))
        stock_fire(*args, **kwargs)

    def dispatch(event: dict[str, Any], view: Any = None) -> None:
        if event.get("Source") == "aws.s3" and _version_id.get():
            detail = json.loads(event["Detail"])
            detail["object"]["version-id"] = _version_id.get()
            event = {**event, "Detail": json.dumps(detail)}
        token = _event.set(event)
        try:
            stock_dispatch(event, view)
        finally:
            _event.reset(token)

    def start_execution(arn: str, payload: str) -> None:
        event = _event.get() or {}
        name = f"{event.get('EventId') or new_uuid()}_{new_uuid()}"
        if recorded := calls.installed():
            recorded.remark(calls.BY_RULE, "stepfunctions", "StartExecution", calls.RULES, {"stateMachineArn": arn})
        sfn._start_execution({"stateMachineArn": arn, "name": name, "input": payload})

    def invoke_function(arn: str, payload: str) -> None:
        func, config, _ = lambda_svc._get_func_record_for_ref(arn)
        if func and config:
            record = lambda_svc._execution_record_for_config(func, config)
            lambda_svc.invoke_async_with_retry(record, json.loads(payload))

    def put(data: dict[str, Any], allow_aws_source: bool = False) -> tuple:
        ours = all(entry.get("Source") == "aws.sagemaker" for entry in data.get("Entries", []))
        return stock_put(data, allow_aws_source or ours)

    s3._fire_s3_event = fire
    eventbridge._put_events = put
    eventbridge._dispatch_event = dispatch
    eventbridge._dispatch_to_stepfunctions = start_execution
    eventbridge._dispatch_to_lambda = invoke_function


def _patch_sns(outbox: Path) -> None:
    """E-mail subscriptions deliver; a subject that SNS refuses is refused."""
    from .mail import Outbox, recipients

    box, stock = Outbox(outbox), sns._fanout
    signature = inspect.signature(stock)

    def fanout(*args: Any, **kwargs: Any) -> None:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        stock(*args, **kwargs)
        values = bound.arguments
        topic = sns._topic_by_arn_any_scope(values["topic_arn"])
        if topic:
            subject = values["subject"]
            texts = recipients(
                topic,
                values["msg_id"],
                values["message"],
                subject,
                values["message_structure"],
                values["message_attributes"] or {},
            )
            box.deliver(values["topic_arn"], values["msg_id"], subject, texts)

    stock_publish = sns.publish_internal

    def publish(topic_arn: str, message: Any, subject: str = "", **fields: Any) -> dict | None:
        if len(subject or "") >= _SUBJECT_LIMIT or any(unicodedata.category(c) == "Cc" for c in subject or ""):
            raise sns.SnsPublishError("InvalidParameter", "Invalid parameter: Subject")
        return stock_publish(topic_arn, message, subject, **fields)

    sns._fanout = fanout
    sns.publish_internal = publish


def _patch_iam() -> None:
    """This machine's own loopback stands for TLS, so that policies which refuse plain HTTP may stay as they are; a
    policy's * stands for line feeds too, which keys may have; aws:PrincipalArn of a role's session is the role's; an
    alarm that is deleted is named in a list."""
    stock, stock_compile = app.pin_request_origin, iam_evaluator._fnmatch_compile
    stock_key = iam_evaluator._resolve_condition_key

    @functools.cache
    def compile_pattern(pattern: str, ignore_case: bool) -> re.Pattern[str]:
        found = stock_compile(pattern, ignore_case)
        return re.compile(found.pattern, found.flags | re.DOTALL)

    def pin(source_ip: str, secure_transport: bool) -> None:
        stock(source_ip, secure_transport or source_ip == "127.0.0.1")

    def condition_key(key: str, context: Any) -> Any:
        found = stock_key(key, context)
        session = _SESSION.fullmatch(found or "") if key.lower() == "aws:principalarn" else None
        return "arn:{}:iam::{}:role/{}".format(*session.groups()) if session else found

    stock_param = iam_actions._param

    def param(body: bytes, query_params: dict, *fields: str) -> str:
        listed = stock_param(body, query_params, "AlarmNames") if fields == ("AlarmName",) else ""
        return listed[0] if listed else stock_param(body, query_params, *fields)

    iam_actions._param = param
    app.pin_request_origin, iam_evaluator._fnmatch_compile = pin, compile_pattern
    iam_evaluator._resolve_condition_key = condition_key


def _patch_cloudformation() -> None:
    """An update of a nested stack keeps the attributes of what it leaves as it is."""
    known: dict[tuple[str, str], dict[str, Any]] = {}
    provision, update = provisioners._provision_resource, provisioners._update_resource

    def provisioned(resource_type: str, *args: Any, **kwargs: Any) -> tuple:
        physical_id, found = provision(resource_type, *args, **kwargs)
        known[resource_type, physical_id] = found
        return physical_id, found

    def updated(resource_type: str, *args: Any, **kwargs: Any) -> tuple:
        physical_id, found = update(resource_type, *args, **kwargs)
        known[resource_type, physical_id] = found or known.get((resource_type, physical_id), {})
        return physical_id, known[resource_type, physical_id]

    provisioners._provision_resource, provisioners._update_resource = provisioned, updated


def _register_stubs() -> None:
    def create(logical_id: str, props: dict, stack_name: str) -> tuple[str, dict[str, str]]:
        name = f"{stack_name}-{logical_id}"
        return name, {"Arn": f"arn:aws:stub:us-east-1:000000000000:{name}"}

    def update(physical_id: str, old_props: dict, new_props: dict, stack_name: str) -> tuple[str, dict[str, str]]:
        return physical_id, {"Arn": f"arn:aws:stub:us-east-1:000000000000:{physical_id}"}

    for name in _STUB_TYPES:
        stub = {"create": create, "update": update, "delete": lambda physical_id, props: None}
        provisioners._RESOURCE_HANDLERS[name] = stub


def _register_sagemaker() -> None:
    """What CloudFormation makes of SageMaker's is the engine's. It is made in a nested stack, which has a thread of its
    own: the engine asks this process whether it may. Not by boto3: its calls here are state machines'."""

    def engine(operation: str, given: dict[str, Any]) -> dict[str, Any]:
        url, body = os.environ["AWS_ENDPOINT_URL_SAGEMAKER"], json.dumps(given).encode()
        headers = {"X-Amz-Target": f"SageMaker.{operation}", "Authorization": "AWS4-HMAC-SHA256 Credential=test/"}
        request = urllib.request.Request(url, body, headers)  # noqa: S310 (our own)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 (our own)
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise RuntimeError(json.load(error)["message"]) from error

    def handlers(kind: str, known_by: str) -> dict[str, Callable]:
        def create(logical_id: str, props: dict, stack_name: str) -> tuple[str, dict[str, str]]:
            arn = engine(f"Create{kind}", props)[f"{kind}Arn"]
            return {"arn": arn, "name": props[f"{kind}Name"]}[known_by], {f"{kind}Arn": arn}

        def delete(physical_id: str, props: dict) -> None:
            engine(f"Delete{kind}", {f"{kind}Name": physical_id})

        return {"create": create, "delete": delete}

    for kind, known_by in (("ModelPackageGroup", "arn"), ("FeatureGroup", "name")):
        provisioners._RESOURCE_HANDLERS[f"AWS::SageMaker::{kind}"] = handlers(kind, known_by)
