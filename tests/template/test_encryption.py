"""Everything that keeps data has the stack's key, and who reads or writes it may use the key for just that."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

Template = dict[str, Any]
KEY_ARN = {"Fn::GetAtt": ["DataKey", "Arn"]}
RULE = "BucketEncryption.ServerSideEncryptionConfiguration.0"
# Where each kind of resource names its key, and what else it must say there.
KEPT = {
    "AWS::S3::Bucket": (
        f"{RULE}.ServerSideEncryptionByDefault.KMSMasterKeyID",
        {f"{RULE}.ServerSideEncryptionByDefault.SSEAlgorithm": "aws:kms", f"{RULE}.BucketKeyEnabled": True},
    ),
    "AWS::SNS::Topic": ("KmsMasterKeyId", {}),
    "AWS::SQS::Queue": ("KmsMasterKeyId", {}),
    "AWS::DynamoDB::Table": (
        "SSESpecification.KMSMasterKeyId",
        {"SSESpecification.SSEEnabled": True, "SSESpecification.SSEType": "KMS"},
    ),
    "AWS::Logs::LogGroup": ("KmsKeyId", {}),
    "AWS::Athena::WorkGroup": (
        "WorkGroupConfiguration.ResultConfiguration.EncryptionConfiguration.KmsKey",
        {"WorkGroupConfiguration.ResultConfiguration.EncryptionConfiguration.EncryptionOption": "SSE_KMS"},
    ),
}
# Actions on data -> what the service then does with the key in the caller's name.
USES = {
    r"s3:GetObject(Version)?": {("s3", "kms:Decrypt")},
    r"s3:PutObject": {("s3", "kms:GenerateDataKey")},
    r"dynamodb:(GetItem|UpdateItem|Scan)": {("dynamodb", "kms:Decrypt")},
    r"sns:Publish": {("sns", "kms:GenerateDataKey"), ("sns", "kms:Decrypt")},
    r"sqs:SendMessage": {("sqs", "kms:GenerateDataKey"), ("sqs", "kms:Decrypt")},
}
# What SageMaker does with the key by itself, for a job's output and the volume of its instance.
TRAINING_USES = {("", "kms:Encrypt"), ("grant", "kms:CreateGrant")}
JOB_ROLES = {"SageMakerRole": TRAINING_USES, "BatchRole": {("grant", "kms:CreateGrant")}}


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def at(properties: dict[str, Any], path: str) -> Any:
    found: Any = properties
    for step in path.split("."):
        found = found[int(step)] if step.isdigit() else found[step]
    return found


def of_type(template: Template, kind: str) -> dict[str, dict[str, Any]]:
    found = {name: r["Properties"] for name, r in template["Resources"].items() if r["Type"] == kind}
    assert found, f"the stack has no {kind}"
    return found


def key_statements(translated: Template) -> dict[str, dict[str, Any]]:
    (key,) = of_type(translated, "AWS::KMS::Key").values()
    return {statement["Sid"]: statement for statement in key["KeyPolicy"]["Statement"]}


def allowed(role: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The statements of a role's own policies."""
    for policy in role.get("Policies", []):
        for statement in as_list(policy["PolicyDocument"]["Statement"]):
            assert statement["Effect"] == "Allow"
            yield statement


def service(statement: dict[str, Any]) -> str:
    """The service through which a statement lets the key be used: `s3`, `grant` for grants to AWS, or empty for any."""
    condition = statement.get("Condition", {})
    if condition == {"Bool": {"kms:GrantIsForAWSResource": "true"}}:
        return "grant"
    if not condition:
        return ""
    (name,) = re.findall(
        r"^(\w+)\.\$\{AWS::Region\}\.\$\{AWS::URLSuffix\}$", condition["StringEquals"]["kms:ViaService"]["Fn::Sub"]
    )
    return name


def granted(role: dict[str, Any]) -> set[tuple[str, str]]:
    found = set()
    for statement in allowed(role):
        actions = [action for action in as_list(statement["Action"]) if action.startswith("kms:")]
        if actions:
            assert statement["Resource"] == KEY_ARN, statement
            found |= {(service(statement), action) for action in actions}
    return found


def needed(role: dict[str, Any], *, large: bool) -> set[tuple[str, str]]:
    """What a role's actions on data need; a large object is put in parts, for which S3 decrypts the data key again."""
    found = set()
    for statement in allowed(role):
        for action in as_list(statement["Action"]):
            for pattern, uses in USES.items():
                if re.fullmatch(pattern, action):
                    found |= uses
    return found | ({("s3", "kms:Decrypt")} if large and ("s3", "kms:GenerateDataKey") in found else set())


@pytest.mark.parametrize("kind", KEPT)
def test_what_keeps_data_has_the_key(template: Template, kind: str) -> None:
    key, others = KEPT[kind]
    for name, properties in of_type(template, kind).items():
        assert at(properties, key) == KEY_ARN, name
        for path, value in others.items():
            assert at(properties, path) == value, f"{name}: {path}"


def test_the_bucket_takes_no_object_under_another_key(template: Template) -> None:
    (policy,) = of_type(template, "AWS::S3::BucketPolicy").values()
    (statement,) = [s for s in policy["PolicyDocument"]["Statement"] if s["Sid"] == "NoOtherKey"]
    assert (statement["Effect"], statement["Principal"], statement["Action"]) == ("Deny", "*", "s3:PutObject")
    # A request that names no encryption gets the bucket's; one that names any other lacks the key's ARN or has another.
    assert statement["Condition"] == {
        "Null": {"s3:x-amz-server-side-encryption": "false"},
        "StringNotEquals": {"s3:x-amz-server-side-encryption-aws-kms-key-id": KEY_ARN},
    }


def test_the_key_rotates_and_outlives_the_stack_as_the_bucket_does(template: Template) -> None:
    keys = {name: r for name, r in template["Resources"].items() if r["Type"] == "AWS::KMS::Key"}
    assert set(keys) == {"DataKey"}
    key, bucket = keys["DataKey"], template["Resources"]["DataBucket"]
    assert key["Properties"]["EnableKeyRotation"] is True
    assert key["Properties"]["PendingWindowInDays"] == 30
    for policy in ("DeletionPolicy", "UpdateReplacePolicy"):
        assert key[policy] == bucket[policy], "what the bucket keeps must stay readable"


def test_the_key_is_lent_to_services_for_this_stacks_things_only(translated: Template) -> None:
    statements = key_statements(translated)
    root = statements.pop("AccountDecides")
    assert root["Principal"] == {"AWS": {"Fn::Sub": "arn:${AWS::Partition}:iam::${AWS::AccountId}:root"}}
    logs = statements.pop("LogsAreEncrypted")
    assert list(logs["Condition"]) == ["ArnLike"]
    patterns = [
        arn["Fn::Sub"].split(":log-group:")[1]
        for arn in logs["Condition"]["ArnLike"]["kms:EncryptionContext:aws:logs:arn"]
    ]
    for name, group in of_type(translated, "AWS::Logs::LogGroup").items():
        written = group["LogGroupName"]["Fn::Sub"]
        assert any(written == p or (p.endswith("*") and written.startswith(p[:-1])) for p in patterns), name
    assert {s["Principal"]["Service"] for s in statements.values()} == {
        "budgets.amazonaws.com",
        "cloudwatch.amazonaws.com",
        "events.amazonaws.com",
    }
    for sid, statement in statements.items():
        assert {action.rstrip("*") for action in statement["Action"]} == {"kms:GenerateDataKey", "kms:Decrypt"}, sid
        assert statement["Condition"]["StringEquals"] == {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}, sid
        source = statement["Condition"]["ArnLike"]["aws:SourceArn"]["Fn::Sub"]
        assert re.search(r":(\$\{AWS::Region\})?:\$\{AWS::AccountId\}:", source), sid


def test_roles_use_the_key_for_what_they_read_and_write_and_for_nothing_else(translated: Template) -> None:
    data = json.dumps({"Ref": "DataLayer"})
    for name, role in of_type(translated, "AWS::IAM::Role").items():
        function = translated["Resources"].get(name.removesuffix("Role"), {}).get("Properties", {})
        wanted = needed(role, large=name in JOB_ROLES or data in json.dumps(function.get("Layers", [])))
        assert granted(role) == wanted | JOB_ROLES.get(name, set()), name


def test_the_test_above_sees_every_kind_of_use(translated: Template) -> None:
    roles = of_type(translated, "AWS::IAM::Role")

    found = set().union(*(granted(role) for role in roles.values()))
    assert found == set().union(*USES.values()) | TRAINING_USES
    assert any(not granted(role) for role in roles.values())


def test_topics_and_queues_refuse_plain_http(template: Template) -> None:
    policies = [
        (properties.get("Topics") or properties["Queues"], statement)
        for kind in ("AWS::SNS::TopicPolicy", "AWS::SQS::QueuePolicy")
        for properties in of_type(template, kind).values()
        for statement in properties["PolicyDocument"]["Statement"]
    ]
    actions = {"AWS::SNS::Topic": "sns:Publish", "AWS::SQS::Queue": "sqs:*"}
    for kind, action in actions.items():
        for name in of_type(template, kind):
            assert [
                statement
                for things, statement in policies
                if things == [{"Ref": name}]
                and (statement["Effect"], statement["Principal"], statement["Action"]) == ("Deny", "*", action)
                and statement["Resource"] in ({"Ref": name}, {"Fn::GetAtt": [name, "Arn"]})
                and statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
            ], name


def test_services_reach_topics_and_queues_from_this_account_only(template: Template) -> None:
    for kind in ("AWS::SNS::TopicPolicy", "AWS::SQS::QueuePolicy"):
        for name, properties in of_type(template, kind).items():
            for statement in properties["PolicyDocument"]["Statement"]:
                if statement["Effect"] == "Allow":
                    assert set(statement["Principal"]) == {"Service"}, name
                    condition = statement["Condition"]
                    assert condition["StringEquals"] == {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}, name
                    assert condition["ArnLike"]["aws:SourceArn"], name


def test_alarms_and_the_budget_can_publish_to_the_encrypted_topic(template: Template) -> None:
    topic = template["Resources"]["OperatorsTopicPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    publish = {s["Sid"]: s for s in topic if s["Effect"] == "Allow"}
    encrypt = key_statements(template)
    sources = {"AlarmsPublish": ":alarm:${AWS::StackName}-*", "BudgetPublishes": "budgets::${AWS::AccountId}:*"}
    assert set(publish) == set(sources)
    for sid, source in sources.items():
        assert publish[sid]["Action"] == "sns:Publish"
        assert encrypt[sid]["Principal"] == publish[sid]["Principal"]
        assert encrypt[sid]["Condition"] == publish[sid]["Condition"]
        assert publish[sid]["Condition"]["ArnLike"]["aws:SourceArn"]["Fn::Sub"].endswith(source)
