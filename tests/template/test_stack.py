"""The stack: cfn-lint has nothing to say, parameters are bounded, the bucket and the table are safe by default."""

import json
import re
import tomllib
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cfnlint.api import lint
from flatten import APPLICATION, children, chosen, replaced
from samtranslator.yaml_helper import yaml_parse

from suspicious_lines.claims import KEEP_SECONDS
from suspicious_lines.layout import TAKEN
from suspicious_lines.notifications import LINK_HOURS
from suspicious_lines.sweeping import HORIZON
from suspicious_lines.upkeep_messages import UpkeepRequest

ROOT = Path(__file__).parents[2]
TEMPLATES = [ROOT / "template.yaml", *sorted(ROOT.glob("stacks/*.yaml"))]
# The nested stacks that there always are. All others are options.
CORE = {"People", "Runs", "Forest", "Large", "Results", "Score", "Models", "Train", "Review", "Monitor", "Upkeep"}
CORE |= {"Catalog", "Watching"}
# Stacks that an operator deploys beside it, and what is nested in them: docs/ci-cd.md.
BESIDE = {"pipeline.yaml", "github.yaml", "stage.yaml"}
Resources = dict[str, dict[str, Any]]


def resources_of(stack: dict[str, Any], kind: str) -> Resources:
    found = {name: resource for name, resource in stack["Resources"].items() if resource["Type"] == kind}
    assert found, f"the stack has no {kind}"
    return found


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_cfn_lint_accepts_the_template(path: Path) -> None:
    matches = lint(path.read_text(), regions=["us-east-1", "eu-west-1"])

    assert [str(match) for match in matches] == []


def test_templates_are_short(root: Path) -> None:
    lines = {path: len(path.read_text().splitlines()) for path in TEMPLATES}

    assert lines.pop(root / "template.yaml") < 700
    assert [path.name for path, count in lines.items() if count >= 400] == []


def test_nested_stacks_are_given_all_that_they_use(root: Path, template: dict[str, Any]) -> None:
    shared = template["Globals"]
    outputs = {
        f"{name}.Outputs.{key}": replaced(output["Value"], given)
        for name, (_, child, given) in children(root / "template.yaml").items()
        for key, output in child.get("Outputs", {}).items()
    }
    nested = children(root / "template.yaml")
    written = {path for path in root.glob("stacks/*.yaml") if path.name not in BESIDE}
    assert {path for path, _, _ in nested.values()} == written
    for path, child, given in nested.values():
        text = path.read_text()
        assert set(child["Parameters"]) == set(given), f"{path.name}: parameters declared and given"
        unused = [name for name in child["Parameters"] if not re.search(rf"(!Ref |\$\{{){name}\b", text)]
        assert unused == [], path.name
        assert "AWS::StackName" not in text, f"{path.name}: things are named after the root stack"
        own = chosen(replaced(replaced(child.get("Globals", shared), given), outputs))
        if path.name in {"upkeep.yaml", "experiments.yaml"}:  # in no network
            own["Function"]["VpcConfig"] = shared["Function"]["VpcConfig"]
        assert own == shared, f"{path.name}: all have the same Globals"


def test_nested_stacks_tell_all_their_functions(root: Path) -> None:
    for path, child, _ in children(root / "template.yaml").values():
        functions = [name for name, r in child["Resources"].items() if r["Type"] == "AWS::Serverless::Function"]
        if path.name == "options.yaml":
            told = [
                {"Fn::If": [r["Condition"], {"Fn::GetAtt": [name, "Outputs.Functions"]}, {"Ref": "AWS::NoValue"}]}
                for name, r in child["Resources"].items()
            ]
            assert child["Outputs"]["Functions"]["Value"] == {"Fn::Join": [",", told]}
        if functions:
            listed = {"Fn::Join": [",", [{"Ref": name} for name in functions]]}
            assert child["Outputs"]["Functions"]["Value"] == listed, path.name


def test_the_default_parameters_create_nothing_optional(root: Path, template: dict[str, Any]) -> None:
    written = yaml_parse((root / "template.yaml").read_text())["Resources"]
    always = {name for name, r in written.items() if r["Type"] == APPLICATION and "Condition" not in r}
    assert always == CORE, "an optional stack has a condition"
    defaults = {name: str(parameter["Default"]) for name, parameter in template["Parameters"].items()}
    on = {name for name, condition in template["Conditions"].items() if holds(condition, defaults)}
    # By default only that uploads and scored lines expire, which is a property and no resource.
    assert on == {"ExpiresUploads", "ExpiresScoredLines"}
    conditional = {r["Condition"] for r in template["Resources"].values() if "Condition" in r}
    assert conditional
    assert not conditional & on


def holds(condition: Any, parameters: dict[str, str]) -> bool:
    """Whether a condition of a template is true."""
    ((function, arguments),) = condition.items()
    if function == "Fn::Equals":
        one, other = (str(parameters[a["Ref"]] if isinstance(a, dict) else a) for a in arguments)
        return one == other
    answers = [holds(argument, parameters) for argument in arguments]
    return {"Fn::Not": not answers[0], "Fn::And": all(answers), "Fn::Or": any(answers)}[function]


def test_sam_translates_the_template(translated: dict[str, Any]) -> None:
    kinds = {resource["Type"] for resource in translated["Resources"].values()}

    assert not [kind for kind in kinds if kind.startswith("AWS::Serverless::")]


def test_parameters_are_described_and_bounded(template: dict[str, Any]) -> None:
    for name, parameter in template["Parameters"].items():
        assert len(parameter.get("Description", "")) > 10, f"{name}: Description says what the value does"
        assert "Default" in parameter, f"{name}: a first deployment must not need it"
        default = parameter["Default"]
        if "AllowedValues" in parameter:
            assert default in parameter["AllowedValues"], name
        elif parameter["Type"] == "Number":
            assert parameter["MinValue"] <= default <= parameter["MaxValue"], name
        else:
            assert re.search(parameter["AllowedPattern"], default), name


def test_outputs_are_described(template: dict[str, Any]) -> None:
    assert all(output.get("Description") for output in template["Outputs"].values())


def test_samconfig_knows_dev_and_prod(root: Path, template: dict[str, Any]) -> None:
    config = tomllib.loads((root / "samconfig.toml").read_text())

    stacks = set()
    for environment in ("dev", "prod"):
        deploy = config[environment]["deploy"]["parameters"]
        stacks.add(deploy["stack_name"])
        # What is not given keeps its value, and definitions would go on to call the functions of a former release.
        assert 'Release=""' in deploy["parameter_overrides"].split()
        given = {pair.split("=")[0] for pair in deploy["parameter_overrides"].split()}
        assert given <= set(template["Parameters"]), f"{environment} sets a parameter that the template does not have"
    assert len(stacks) == 2
    assert config["prod"]["deploy"]["parameters"]["confirm_changeset"] is True


def test_buckets_are_versioned_private_and_announce_uploads(translated: dict[str, Any]) -> None:
    for name, bucket in resources_of(translated, "AWS::S3::Bucket").items():
        properties = bucket["Properties"]
        assert properties["VersioningConfiguration"]["Status"] == "Enabled", name
        block = properties["PublicAccessBlockConfiguration"]
        for switch in ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"):
            assert block[switch] is True, f"{name}: {switch}"
        assert properties["NotificationConfiguration"]["EventBridgeConfiguration"]["EventBridgeEnabled"] is True, name
        assert bucket["DeletionPolicy"] in ("Retain", "RetainExceptOnCreate"), f"{name}: results outlive the stack"
        assert bucket["UpdateReplacePolicy"] == "Retain", name


def test_buckets_refuse_plain_http(translated: dict[str, Any]) -> None:
    policies = resources_of(translated, "AWS::S3::BucketPolicy").values()
    for name in resources_of(translated, "AWS::S3::Bucket"):
        statements = [
            statement
            for policy in policies
            if policy["Properties"]["Bucket"] == {"Ref": name}
            for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        ]
        assert any(
            statement["Effect"] == "Deny"
            and statement["Principal"] in ("*", {"AWS": "*"})
            and statement["Action"] == "s3:*"
            and {"Fn::GetAtt": [name, "Arn"]} in statement["Resource"]
            and {"Fn::Sub": f"${{{name}.Arn}}/*"} in statement["Resource"]
            and str(statement["Condition"]["Bool"]["aws:SecureTransport"]).lower() == "false"
            for statement in statements
        ), f"{name}: no statement denies s3:* without TLS"


def test_checkov_reads_every_template_and_each_skip_has_its_reason(root: Path) -> None:
    text = (root / ".checkov.yaml").read_text()
    config = yaml_parse(text)
    assert {root / name for name in config["file"]} == {*TEMPLATES, root / "pipelines/role.yaml"}
    for check in config["skip-check"]:
        assert re.search(rf"^  # .*\.\n  - {check}$", text, re.MULTILINE), check


def test_links_are_made_for_reviewers_only_and_expire(translated: dict[str, Any]) -> None:
    (policy,) = resources_of(translated, "AWS::S3::BucketPolicy").values()
    statements = {s["Sid"]: s for s in policy["Properties"]["PolicyDocument"]["Statement"]}
    maker = {"Fn::GetAtt": ["NotifyReviewersFunctionRole", "Arn"]}
    assert resources_of(translated, "AWS::IAM::Role")["NotifyReviewersFunctionRole"]
    further = {
        "LinksAreInReviewersEmailsOnly": {"ArnNotEquals": {"aws:PrincipalArn": maker}},
        "LinksExpire": {"NumericGreaterThan": {"s3:signatureAge": LINK_HOURS * 3_600_000}},
    }
    for sid, condition in further.items():
        assert (statements[sid]["Effect"], statements[sid]["Principal"]) == ("Deny", "*")
        assert statements[sid]["Action"] == ["s3:GetObject", "s3:GetObjectVersion"]
        assert statements[sid]["Resource"] == {"Fn::Sub": "${DataBucket.Arn}/*"}
        assert statements[sid]["Condition"] == {"StringEquals": {"s3:authType": "REST-QUERY-STRING"}, **condition}


def test_links_are_made_by_the_function_that_may(root: Path) -> None:
    """`store.link` is called by the e-mail to the reviewers, and that module is used by its function only."""
    library = (root / "layers" / "core" / "suspicious_lines").glob("*.py")
    assert [path.name for path in library if "store.link(" in path.read_text()] == ["notifications.py"]
    functions = root.glob("functions/*/app.py")
    callers = [path.parent.name for path in functions if "notify_reviewers(" in path.read_text()]
    assert callers == ["notify_reviewers"]


def test_tables_forget_and_can_be_restored(translated: dict[str, Any]) -> None:
    for name, table in resources_of(translated, "AWS::DynamoDB::Table").items():
        properties = table["Properties"]
        assert properties["TimeToLiveSpecification"]["Enabled"] is True, name
        assert properties["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"] is True, name
        assert properties["BillingMode"] == "PAY_PER_REQUEST", name


def test_logs_expire(translated: dict[str, Any]) -> None:
    for name, group in resources_of(translated, "AWS::Logs::LogGroup").items():
        assert "RetentionInDays" in group["Properties"], name


def test_functions_run_traced_and_log_json_to_a_group_that_expires(translated: dict[str, Any]) -> None:
    for name, function in resources_of(translated, "AWS::Lambda::Function").items():
        properties = function["Properties"]
        assert properties["Runtime"] == "python3.13", name
        assert properties["TracingConfig"] == {"Mode": "Active"}, name
        assert properties["LoggingConfig"]["LogFormat"] == "JSON", name
        assert "Ref" in properties["LoggingConfig"]["LogGroup"], name


def test_every_event_rule_retries_and_parks_what_it_cannot_deliver(translated: dict[str, Any]) -> None:
    for name, rule in resources_of(translated, "AWS::Events::Rule").items():
        for target in rule["Properties"]["Targets"]:
            assert "DeadLetterConfig" in target, name
            assert target["RetryPolicy"]["MaximumRetryAttempts"] > 0, name


def test_every_asynchronous_invocation_parks_what_fails(template: dict[str, Any], translated: dict[str, Any]) -> None:
    configured = {
        config["Properties"]["FunctionName"]["Ref"]: config["Properties"]["DestinationConfig"]["OnFailure"]
        for config in resources_of(translated, "AWS::Lambda::EventInvokeConfig").values()
    }
    asynchronous = {
        target["Arn"]["Fn::GetAtt"][0]
        for rule in resources_of(translated, "AWS::Events::Rule").values()
        for target in rule["Properties"]["Targets"]
        if "Fn::GetAtt" in target["Arn"]
    }
    for name, schedule in resources_of(translated, "AWS::Scheduler::Schedule").items():
        target = schedule["Properties"]["Target"]
        if "Fn::GetAtt" in target["Arn"]:  # a function and no state machine
            asynchronous.add(target["Arn"]["Fn::GetAtt"][0])
            assert target["DeadLetterConfig"] == {"Arn": {"Fn::GetAtt": ["UploadsDeadLetterQueue", "Arn"]}}, name
            assert target["RetryPolicy"]["MaximumRetryAttempts"] > 0, name
            msgspec.json.decode(target["Input"], type=UpkeepRequest)
    asynchronous |= {
        resource["Properties"]["ServiceToken"]["Fn::GetAtt"][0]
        for resource in template["Resources"].values()
        if resource["Type"].startswith("Custom::")
    }
    assert asynchronous >= {"ReportFailureFunction", "SweepUploadsFunction", "DeleteOrphansFunction"}
    queue = {"Destination": {"Fn::GetAtt": ["UploadsDeadLetterQueue", "Arn"]}}
    assert configured == dict.fromkeys(asynchronous, queue)


def test_schedules_have_no_name_that_another_stack_has(translated: dict[str, Any]) -> None:
    for name, schedule in resources_of(translated, "AWS::Scheduler::Schedule").items():
        assert "Name" not in schedule["Properties"], name


def test_the_sweeper_takes_for_an_upload_what_the_rules_take(translated: dict[str, Any]) -> None:
    patterns = {
        key["wildcard"]
        for rule in resources_of(translated, "AWS::Events::Rule").values()
        for key in rule["Properties"]["EventPattern"]["detail"].get("object", {}).get("key", [])
    }
    assert patterns == {f"{prefix}*{ending}" for prefix, endings in TAKEN.items() for ending in endings}


def test_what_creates_endpoints_is_deleted_before_what_deletes_them(root: Path, template: dict[str, Any]) -> None:
    written = yaml_parse((root / "template.yaml").read_text())["Resources"]
    stack_of = {
        name: stack for stack, (_, child, _) in children(root / "template.yaml").items() for name in child["Resources"]
    }
    for name, resource in template["Resources"].items():
        statements = [
            s for policy in resource.get("Properties", {}).get("Policies", []) for s in policy.get("Statement", [])
        ]
        creates = any("sagemaker:Create" in str(statement["Action"]) for statement in statements)
        holder = written[stack_of.get(name, name).split(".")[0]]
        waits = holder.get("DependsOn") == "Upkeep" or '["Upkeep", ' in json.dumps(holder)  # by a GetAtt
        assert waits == creates or (waits and name in stack_of), name  # a nested stack waits as a whole


def test_who_is_told_of_the_feature_store_may_use_it_by_then(root: Path) -> None:
    told = []
    for path, child, _ in children(root / "template.yaml").values():
        for name, resource in child["Resources"].items():
            variables = resource.get("Properties", {}).get("Environment", {}).get("Variables", {})
            if "TRAIN_ON_STORED_DAYS" in variables:
                policy = child["Resources"][resource["DependsOn"]]
                assert (policy["Type"], policy["Condition"]) == ("AWS::IAM::Policy", "HasFeatureStore"), name
                assert child["Conditions"]["HasFeatureStore"] == {"Fn::Equals": [{"Ref": "FeatureStore"}, "true"]}
                told.append(f"{path.stem}: {policy['Properties']['Roles'][0]['Ref']}")
    assert told == ["runs: WriteReceiptFunctionRole", "large: BatchRole", "train: PreprocessFunctionRole"]


def test_files_of_runs_are_kept_longer_than_the_sweeper_looks_back(template: dict[str, Any]) -> None:
    days = [days for days in template["Parameters"]["RunRetentionDays"]["AllowedValues"] if days]
    assert timedelta(days=min(days)) > HORIZON
    assert timedelta(seconds=KEEP_SECONDS) > HORIZON


def test_uploads_start_a_workflow(translated: dict[str, Any]) -> None:
    patterns = [
        rule["Properties"]["EventPattern"]
        for rule in resources_of(translated, "AWS::Events::Rule").values()
        if "aws.s3" in rule["Properties"]["EventPattern"]["source"]
    ]
    assert patterns
    for pattern in patterns:
        assert pattern["detail-type"] == ["Object Created"]
        assert pattern["detail"]["bucket"]["name"], "any bucket of the account would start the workflow"
        for key in pattern["detail"]["object"]["key"]:
            wanted = r"(incoming|invoices)/\*\.(csv|txt)|verdicts/\*\.csv"
            assert re.fullmatch(wanted, key["wildcard"], re.IGNORECASE), key


def test_state_machines_log_and_trace(translated: dict[str, Any]) -> None:
    for name, machine in resources_of(translated, "AWS::StepFunctions::StateMachine").items():
        properties = machine["Properties"]
        assert properties["TracingConfiguration"]["Enabled"] is True, name
        logging = properties["LoggingConfiguration"]
        assert logging["Level"] in ("ALL", "ERROR"), name
        assert logging["IncludeExecutionData"] is False, f"{name}: lines of invoices do not belong in logs"
        assert logging["Destinations"], name
