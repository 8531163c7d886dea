"""CI/CD: the buildspecs run step by step, the pipeline hands on what they make, GitHub's workflow does the same, and
nobody in it may do more than its part. tests/workflow/test_smoke.py runs the smoke test's buildspec for real."""

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from flatten import replaced
from samtranslator.yaml_helper import yaml_parse

from tests.codebuild import commands, read, run

ROOT = Path(__file__).parents[2]
STACKS = {name: yaml_parse((ROOT / "stacks" / f"{name}.yaml").read_text()) for name in ("pipeline", "github", "stage")}
RESOURCES = STACKS["pipeline"]["Resources"]
STAGES = {stage["Name"]: stage["Actions"] for stage in RESOURCES["Pipeline"]["Properties"]["Stages"]}
WORKFLOW = yaml.safe_load((ROOT / ".github/workflows/deploy.yml").read_text())
POLICY_CHARACTERS = 6144  # IAM's limit of a managed policy, without white space

# What CloudFormation calls to make one of each type: one action that nothing else of that type's does for it.
MADE_BY = {
    "AWS::Athena::NamedQuery": "athena:CreateNamedQuery",
    "AWS::Athena::WorkGroup": "athena:CreateWorkGroup",
    "AWS::Budgets::Budget": "budgets:ModifyBudget",
    "AWS::CloudWatch::Alarm": "cloudwatch:PutMetricAlarm",
    "AWS::CloudWatch::Dashboard": "cloudwatch:PutDashboard",
    "AWS::DynamoDB::Table": "dynamodb:CreateTable",
    "AWS::Events::Rule": "events:PutRule",
    "AWS::Glue::Database": "glue:CreateDatabase",
    "AWS::Glue::Table": "glue:CreateTable",
    "AWS::IAM::Policy": "iam:PutRolePolicy",
    "AWS::IAM::Role": "iam:CreateRole",
    "AWS::KMS::Key": "kms:CreateKey",
    "AWS::Lambda::Alias": "lambda:CreateAlias",
    "AWS::Lambda::EventInvokeConfig": "lambda:PutFunctionEventInvokeConfig",
    "AWS::Lambda::Function": "lambda:CreateFunction",
    "AWS::Lambda::LayerVersion": "lambda:PublishLayerVersion",
    "AWS::Lambda::Permission": "lambda:AddPermission",
    "AWS::Lambda::Version": "lambda:PublishVersion",
    "AWS::Logs::LogGroup": "logs:CreateLogGroup",
    "AWS::S3::Bucket": "s3:CreateBucket",
    "AWS::S3::BucketPolicy": "s3:PutBucketPolicy",
    "AWS::SNS::Subscription": "sns:Subscribe",
    "AWS::SNS::Topic": "sns:CreateTopic",
    "AWS::SNS::TopicPolicy": "sns:SetTopicAttributes",
    "AWS::SQS::Queue": "sqs:CreateQueue",
    "AWS::SQS::QueuePolicy": "sqs:SetQueueAttributes",
    "AWS::Scheduler::Schedule": "scheduler:CreateSchedule",
    "AWS::SageMaker::FeatureGroup": "sagemaker:CreateFeatureGroup",
    "AWS::SageMaker::ModelPackageGroup": "sagemaker:CreateModelPackageGroup",
    "AWS::StepFunctions::StateMachine": "states:CreateStateMachine",
    "AWS::StepFunctions::StateMachineAlias": "states:CreateStateMachineAlias",
    "AWS::StepFunctions::StateMachineVersion": "states:PublishStateMachineVersion",
    "Custom::Experiment": "lambda:InvokeFunction",
    "Custom::Hosted": "lambda:InvokeFunction",
    "Custom::Packages": "lambda:InvokeFunction",
}
# docs/ci-cd.md says that these are not deployed so: what makes a network cannot be held to a name.
BY_AN_OPERATOR = "AWS::EC2::"


def statements(resource: dict[str, Any]) -> list[dict[str, Any]]:
    properties = resource["Properties"]
    documents = [policy["PolicyDocument"] for policy in properties.get("Policies", [])]
    documents += [properties["PolicyDocument"]] if "PolicyDocument" in properties else []
    return [statement for document in documents for statement in document["Statement"]]


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The Makefile, and on PATH stand-ins that write down how they are called; `make build` leaves something built."""
    folder, programs = tmp_path / "checkout", tmp_path / "programs"
    folder.mkdir()
    programs.mkdir()
    shutil.copy(ROOT / "Makefile", folder)
    for name in ("make", "python3.13", "npm", "strip"):
        (programs / name).write_text(
            "#!/bin/bash\n"
            f"printf '%s\\0' {name} \"$@\" >> {tmp_path}/called; echo >> {tmp_path}/called\n"
            f'[ -n "${{FAILS-}}" ] && [[ " {name} $* " == *" $FAILS "* ]] && exit 3\n'
            'case " $* " in *" build "*) mkdir -p .aws-sam/build/F; touch .aws-sam/{build.toml,sbom.cdx.json} '
            ".aws-sam/build/{template.yaml,F/app.py};; esac\n"
        )
        (programs / name).chmod(0o755)
    return folder


def called(checkout: Path) -> list[list[str]]:
    lines = (checkout.parent / "called").read_text().splitlines()
    return [line.split("\0")[:-1] for line in lines]


def environment(checkout: Path, **variables: str) -> dict[str, str]:
    return {"PATH": f"{checkout.parent / 'programs'}:/usr/bin:/bin", **variables}


def test_what_is_tested_and_built_is_handed_on(checkout: Path, tmp_path: Path) -> None:
    build = run(ROOT / "buildspec/test.yml", checkout, environment(checkout), tmp_path / "built")
    assert build.status == 0, build.said
    assert called(checkout)[-1] == ["make", "lint", "test", "build"]
    files = {path.relative_to(tmp_path / "built").as_posix() for path in (tmp_path / "built").rglob("*.*")}
    assert files == {"build/template.yaml", "build/F/app.py", "sbom.cdx.json"}


def test_nothing_is_handed_on_where_a_step_fails(checkout: Path, tmp_path: Path) -> None:
    failing = environment(checkout, FAILS="npm")
    build = run(ROOT / "buildspec/test.yml", checkout, failing, tmp_path / "built")
    assert (build.status, called(checkout)[-1]) == (3, ["npm", "--version"])
    assert not (tmp_path / "built").exists()


@pytest.mark.parametrize("project", ["DevProject", "ProdProject"])
def test_what_was_built_is_deployed_to_the_stage(checkout: Path, tmp_path: Path, project: str) -> None:
    """By the command line that the real Makefile makes of what the buildspec asks of it."""
    (tmp_path / "built/build").mkdir(parents=True)
    (tmp_path / "built/build/template.yaml").touch()
    given = variables_of(project)
    values = {name: value if isinstance(value, str) else f"the-{name.lower()}" for name, value in given.items()}
    values |= {"PARAMETERS": "RetentionDays=7 NumTrees=60", "COMMIT": "0badcafe", "CODEBUILD_BUILD_NUMBER": "12"}
    values["CODEBUILD_SRC_DIR_Built"] = str(tmp_path / "built")
    build = run(ROOT / "buildspec/deploy.yml", checkout, environment(checkout, **values))
    assert build.status == 0, build.said
    assert (checkout / ".aws-sam/build/template.yaml").exists()
    (make, *arguments) = called(checkout)[-1]
    dry = ["/usr/bin/make", "-n", "-o", ".venv-sam/.synced", *arguments]
    planned = subprocess.run(dry, cwd=checkout, capture_output=True, text=True, check=True).stdout
    assert shlex.split(planned) == [
        *("SAM_CLI_TELEMETRY=0", ".venv-sam/bin/sam", "deploy", "--config-env", values["CONFIG"]),
        *("--no-confirm-changeset", "--no-resolve-s3", "--s3-bucket", "the-artifact_bucket"),
        *("--role-arn", "the-cloudformation_role", "--parameter-overrides", "RetentionDays=7", "NumTrees=60"),
        "Release=r-0badcafe-12",
    ]
    assert make == "make"


def variables_of(project: str) -> dict[str, Any]:
    variables = RESOURCES[project]["Properties"]["Environment"].get("EnvironmentVariables", [])
    return {variable["Name"]: variable["Value"] for variable in variables}


def test_every_project_gives_its_buildspec_all_that_it_names() -> None:
    inputs = {
        action["Configuration"]["ProjectName"]["Ref"]: [artifact["Name"] for artifact in action["InputArtifacts"]]
        for actions in STAGES.values()
        for action in actions
        if action["ActionTypeId"]["Provider"] == "CodeBuild"
    }
    actions_give = {
        action["Configuration"]["ProjectName"]["Ref"]: {
            variable["name"] for variable in json.loads(action["Configuration"].get("EnvironmentVariables", "[]"))
        }
        for actions in STAGES.values()
        for action in actions
        if action["ActionTypeId"]["Provider"] == "CodeBuild"
    }
    projects = {name for name, resource in RESOURCES.items() if resource["Type"] == "AWS::CodeBuild::Project"}
    assert set(inputs) == projects
    for project in projects:
        spec = read(ROOT / RESOURCES[project]["Properties"]["Source"]["BuildSpec"])
        named = set(re.findall(r"\$(\w+)", " ".join(commands(spec))))
        given = set(variables_of(project)) | {f"CODEBUILD_SRC_DIR_{name}" for name in inputs[project][1:]}
        assert named <= given | {"CODEBUILD_BUILD_NUMBER"} | actions_give[project], project
        assert set(variables_of(project)) <= named, f"{project}: a variable that nobody reads"
        targets = re.findall(r"^make ([a-z -]+?)(?: CONFIG.*)?$", "\n".join(commands(spec)), re.MULTILINE)
        makefile = (ROOT / "Makefile").read_text()
        assert targets
        assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for line in targets for target in line.split())


def test_the_way_is_test_dev_smoke_approval_prod() -> None:
    way = [(stage, action["Name"]) for stage, actions in STAGES.items() for action in sorted(actions, key=order)]
    assert way == [
        ("Source", "Source"), ("Test", "Test"), ("Dev", "Deploy"), ("Dev", "Smoke"),
        ("Prod", "Approve"), ("Prod", "Deploy"),
    ]  # fmt: skip
    assert STAGES["Prod"][0]["ActionTypeId"]["Category"] == "Approval"
    for actions in STAGES.values():
        assert len({order(action) for action in actions}) == len(actions), "one after the other"
    made: set[str] = set()
    for actions in STAGES.values():
        for action in actions:
            assert {artifact["Name"] for artifact in action.get("InputArtifacts", [])} <= made
            made |= {artifact["Name"] for artifact in action.get("OutputArtifacts", [])}
    assert RESOURCES["Pipeline"]["Properties"]["PipelineType"] == "V2"


def order(action: dict[str, Any]) -> int:
    return action.get("RunOrder", 1)


def test_github_does_the_same() -> None:
    specs = {name: commands(read(ROOT / f"buildspec/{name}.yml"))[-1] for name in ("test", "deploy", "smoke")}
    specs["deploy"] = specs["deploy"].replace("$CODEBUILD_BUILD_NUMBER", "$NUMBER")
    jobs = WORKFLOW["jobs"]
    ran = {name: [step["run"] for step in job["steps"] if "run" in step] for name, job in jobs.items()}
    assert ran == {"test": [specs["test"]], "dev": [specs["deploy"], specs["smoke"]], "prod": [specs["deploy"]]}
    assert (jobs["dev"]["needs"], jobs["prod"]["needs"]) == ("test", "dev")
    # An environment's required reviewers are GitHub's approval, and its name is in the token that AWS is shown.
    assert (jobs["dev"]["environment"], jobs["prod"]["environment"]) == ("dev", "prod")
    for name in ("dev", "prod"):
        named = set(re.findall(r"\$(\w+)", " ".join(ran[name])))
        assert named == set(jobs[name]["env"])
        assert jobs[name]["env"]["CONFIG"] == name


def test_only_jobs_of_an_environment_get_credentials() -> None:
    assert WORKFLOW["permissions"] == {"contents": "read"}
    asking = {name for name, job in WORKFLOW["jobs"].items() if job.get("permissions", {}).get("id-token") == "write"}
    assert asking == {"dev", "prod"}
    (trust,) = STACKS["github"]["Resources"]["Role"]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Condition"] == {
        "StringEquals": {
            "token.actions.githubusercontent.com:aud": "sts.amazonaws.com",
            "token.actions.githubusercontent.com:sub": {"Fn::Sub": "repo:${Repository}:environment:${Environment}"},
        }
    }
    assert "secrets." not in (ROOT / ".github/workflows/deploy.yml").read_text()


POLICED = [
    (stack, name)
    for stack, template in STACKS.items()
    for name, resource in template["Resources"].items()
    if resource["Type"] in {"AWS::IAM::Role", "AWS::IAM::ManagedPolicy"}
]


@pytest.mark.parametrize(("stack", "name"), POLICED)
def test_nobody_is_an_administrator(stack: str, name: str) -> None:
    resource = STACKS[stack]["Resources"][name]
    attached = resource["Properties"].get("ManagedPolicyArns", [])
    assert not [arn for arn in attached if isinstance(arn, str)], "policies of ours only"
    for statement in statements(resource):
        assert statement["Sid"]
        actions = as_list(statement["Action"])
        assert not [action for action in actions if re.fullmatch(r"\*|\w+:\*", action)], statement["Sid"]
        if statement["Resource"] == "*" and "Condition" not in statement:
            nameless = r"logs:.*(LogDelivery|LogDeliveries|ResourcePolic(y|ies)|LogGroups)|sqs:ListQueues"
            nameless += r"|sns:((Get|Set)SubscriptionAttributes|Unsubscribe)"
            assert all(re.fullmatch(nameless, action) for action in actions), statement["Sid"]
        if any(action == "iam:PassRole" for action in actions):
            assert "iam:PassedToService" in statement["Condition"]["StringEquals"]


def test_what_a_stage_may_do_is_named_after_it() -> None:
    """All but what has no name, or one that both stages share; docs/ci-cd.md lists that."""
    elsewhere = {
        "TranslateNestedStacks", "TranslateTheTemplate", "ReadWhatWasBuilt", "DecryptWhatWasBuilt", "Layers",
        "DeliverLogs", "MakeAKey", "ManageTheKey", "Catalog", "LetCloudFormationDoIt", "PutWhatWasBuilt",
        "TellNewFromOld", "EncryptWhatWasBuilt", "EncryptAndDecryptObjects", "UnsubscribeAndFindQueues",
        "Subscriptions", "LookAtAlarms",
    }  # fmt: skip
    for stack, name in POLICED:
        if stack == "stage":
            for statement in statements(STACKS["stage"]["Resources"][name]):
                named = [str(arn.get("Fn::Sub")) for arn in as_list(statement["Resource"]) if isinstance(arn, dict)]
                held = named and all(
                    re.search(r"[:/]\$\{StageStackName\}[-/\"]|/\$\{StageStackName\}$", arn) for arn in named
                )
                assert bool(held) or statement["Sid"] in elsewhere, statement["Sid"]


def test_policies_fit_into_iam() -> None:
    known = {
        "StageStackName": "suspicious-lines-dev",
        "ArtifactBucket": "suspicious-lines-ci-artifacts-000000000000-us-east-1",
    }
    known |= {"AWS::Partition": "aws", "AWS::Region": "us-east-1", "AWS::AccountId": "000000000000"}
    for name, resource in STACKS["stage"]["Resources"].items():
        if resource["Type"] == "AWS::IAM::ManagedPolicy":
            document = replaced(resource["Properties"]["PolicyDocument"], known)
            written = re.sub(r'\{"Fn::Sub": ("[^"]*")\}', r"\1", json.dumps(document))
            assert len(re.sub(r"\s", "", written)) < POLICY_CHARACTERS, name


def test_cloudformation_may_make_all_that_the_stack_is_made_of(translated: dict[str, Any]) -> None:
    allowed = {
        action
        for name in ("ComputePolicy", "DataPolicy")
        for statement in statements(STACKS["stage"]["Resources"][name])
        for action in as_list(statement["Action"])
    }
    kinds = {resource["Type"] for resource in translated["Resources"].values()}
    kinds = {kind for kind in kinds if not kind.startswith(BY_AN_OPERATOR)}
    assert kinds - set(MADE_BY) == set(), "say in MADE_BY what CloudFormation calls, and allow it in stacks/stage.yaml"
    missing = {kind for kind in kinds if not any(re.fullmatch(a.replace("*", ".*"), MADE_BY[kind]) for a in allowed)}
    assert missing == set()


def test_roles_are_passed_to_all_services_that_take_one(translated: dict[str, Any]) -> None:
    (passed,) = [s for s in statements(STACKS["stage"]["Resources"]["ComputePolicy"]) if s["Action"] == "iam:PassRole"]
    services = set()
    for resource in translated["Resources"].values():
        if resource["Type"] == "AWS::IAM::Role":
            for trust in resource["Properties"]["AssumeRolePolicyDocument"]["Statement"]:
                services |= set(as_list(trust["Principal"]["Service"]))
    assert services == set(passed["Condition"]["StringEquals"]["iam:PassedToService"])


@pytest.mark.parametrize("stack", ["pipeline", "github"])
def test_what_is_handed_on_is_encrypted_private_and_forgotten(stack: str) -> None:
    resources = STACKS[stack]["Resources"]
    bucket = resources["ArtifactBucket"]["Properties"]
    (encryption,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert encryption["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms"
    assert all(bucket["PublicAccessBlockConfiguration"].values())
    assert all(rule["ExpirationInDays"] for rule in bucket["LifecycleConfiguration"]["Rules"])
    (deny,) = resources["ArtifactBucketPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    assert (deny["Effect"], deny["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})
    assert resources["ArtifactKey"]["Properties"]["EnableKeyRotation"] is True
