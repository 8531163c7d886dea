"""Who may do what, where the embedded AWS enforces IAM (AUTH=true).

ministack judges the requests that it serves by itself. It is asked here in the name of what does not pass through its
door: state machines that invoke functions, and the SageMaker engine, a process of its own.
"""

import hashlib
import json
from collections.abc import Awaitable, Callable
from typing import Any

from ministack.core import iam_evaluator
from ministack.services import sts

from .calls import names_in
from .needs import ACCOUNT, REGION, needs

QUESTION = "/_local/denial"  # where the engine asks


def credentials(role_arn: str, session: str) -> dict[str, str]:
    """A session of the role as environment variables; the same for the same arguments."""
    digest = hashlib.sha256(f"{role_arn} {session}".encode()).hexdigest()
    key, secret, token = f"ASIA{digest[:16].upper()}", digest[16:56], digest[::-1]
    role = role_arn.rsplit("/", 1)[-1]
    record = {
        "Arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/{role}/{session[:64]}",
        "UserId": f"{role}:{session[:64]}",
        "SecretAccessKey": secret,
        "SessionToken": token,
    }
    sts.register_session(key, record)
    return {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret, "AWS_SESSION_TOKEN": token}


def denial(access_key: str, call: dict[str, Any]) -> str | None:
    """AWS's words for the first permission that the call needs and whoever has the key lacks; None where it has all."""
    principal: Any = iam_evaluator.resolve_principal(access_key, ACCOUNT)
    if isinstance(principal, iam_evaluator.AuthError):
        return principal.message
    if principal.policies is None:  # the account's root
        return None
    for need in needs(call):
        context = iam_evaluator.EvalContext(
            principal_arn=principal.arn,
            principal_type=principal.type,
            principal_account=principal.account,
            action=need.action,
            resource_arn=need.resource,
            region=REGION,
            service_context={key.lower(): value for key, value in need.context},
        )
        if not need.role and iam_evaluator.evaluate(context, principal.policies).decision != "Allow":
            return f"User: {principal.arn} is not authorized to perform: {need.action} on resource: {need.resource}"
    return None


def answering(app: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    """The ASGI application, which also answers the engine: POST {access_key, service, operation, request}."""

    async def serve(scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Any) -> None:
        if scope["type"] != "http" or scope["path"] != QUESTION:
            return await app(scope, receive, send)
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        asked = json.loads(body)
        call = {"service": asked["service"], "operation": asked["operation"], "names": names_in(asked["request"])}
        answer = json.dumps({"denial": denial(asked["access_key"], call)}).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})
        return None

    return serve
