"""The optional network: closed, without internet, with the endpoints that the code needs, and not there by default."""

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest
from flatten import APPLICATION
from samtranslator.yaml_helper import yaml_parse

Template = dict[str, Any]
VPC = "arn:${AWS::Partition}:ec2:${AWS::Region}:${AWS::AccountId}:vpc/${Vpc}"
# Service as boto3 names it -> the endpoint's service name after com.amazonaws.<region>.
ENDPOINTS = {
    "s3": "s3",
    "dynamodb": "dynamodb",
    "sagemaker": "sagemaker.api",
    "sagemaker-runtime": "sagemaker.runtime",
    "sns": "sns",
    "stepfunctions": "states",
    "application-autoscaling": "application-autoscaling",
    "cloudwatch": "monitoring",
    "sagemaker-featurestore-runtime": "sagemaker.featurestore-runtime",
    "lambda": "lambda",
}


@pytest.fixture(scope="module")
def network(root: Path) -> Template:
    return yaml_parse((root / "stacks" / "network.yaml").read_text())


def of_type(template: Template, kind: str) -> dict[str, dict[str, Any]]:
    found = {name: r["Properties"] for name, r in template["Resources"].items() if r["Type"] == kind}
    assert found, f"no {kind}"
    return found


# What only the functions import that are in no network, and whose these are.
OUTSIDE = {"executions.py", "orphans.py", "stack_deletion.py", "sweeping.py"}
OUTSIDE |= {"tracking.py", "trial_components.py", "mlflow_runs.py"}
# Counts, medians and quantiles are no lines.
NO_INVOICES = ("/receipt.json", "/models/current.json", "/models/*current.json", "/told/*")
NO_INVOICES += ("/encoder.json", "/results/metrics.json")
STACKS_OUTSIDE = ("upkeep.yaml", "experiments.yaml")


@pytest.fixture
def inside(functions: dict[str, Any], root: Path) -> dict[str, Any]:
    """The functions that are in the network where there is one: all but those of upkeep and tracking."""
    outside = [yaml_parse((root / "stacks" / name).read_text()) for name in STACKS_OUTSIDE]
    assert not any("VpcConfig" in stack["Globals"]["Function"] for stack in outside)
    return {name: f for name, f in functions.items() if not any(name in stack["Resources"] for stack in outside)}


def called_services(root: Path) -> set[str]:
    """The services of which the library makes a client; awswrangler's is S3."""
    paths = [path for path in (root / "layers/core/suspicious_lines").glob("*.py") if path.name not in OUTSIDE]
    trees = [ast.parse(path.read_text()) for path in paths]
    calls = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return {
        call.args[0].value
        for call in calls
        if isinstance(call.func, ast.Name)
        and call.func.id == "client"
        and isinstance(call.args[0], ast.Constant)
        and isinstance(call.args[0].value, str)
    }


def test_by_default_there_is_no_network(root: Path, template: Template, functions: dict[str, Any]) -> None:
    (stack,) = [
        r
        for r in yaml_parse((root / "template.yaml").read_text())["Resources"].values()
        if r["Type"] == APPLICATION and r["Properties"]["Location"] == "stacks/network.yaml"
    ]
    assert stack["Condition"] == "HasNetwork"
    assert template["Conditions"]["HasNetwork"] == {"Fn::Not": [{"Fn::Equals": [{"Ref": "NetworkPrefixLists"}, ""]}]}
    assert template["Parameters"]["NetworkPrefixLists"]["Default"] == ""
    made = [r for r in template["Resources"].values() if r["Type"].startswith("AWS::EC2::")]
    assert made
    assert {r.get("Condition") for r in made} == {"HasNetwork"}
    condition, _, otherwise = template["Globals"]["Function"]["VpcConfig"]["Fn::If"]
    assert (condition, otherwise) == ("HasNetwork", {"Ref": "AWS::NoValue"})
    variables = functions["StartTrainingFunction"]["Environment"]["Variables"]
    for name in ("TRAINING_SUBNET_IDS", "TRAINING_GROUP_ID"):
        assert variables[name]["Fn::If"][0::2] == ["HasNetwork", ""]


def test_functions_outside_the_network_read_no_invoices(functions: dict[str, Any], inside: dict[str, Any]) -> None:
    for name in set(functions) - set(inside):
        statements = [s for policy in functions[name]["Policies"] for s in policy["Statement"]]
        resources = [s["Resource"] for s in statements if "s3:GetObject" in s["Action"]]
        each = [key for some in resources for key in (some if isinstance(some, list) else [some])]
        read = [key["Fn::Sub"] for resource in each for key in resource.get("Fn::If", ["", resource])[1:]]
        for key in read:
            assert key.endswith(NO_INVOICES), (name, key)


def test_nothing_in_the_network_imports_what_is_for_functions_outside(root: Path, inside: dict[str, Any]) -> None:
    modules = {name.removesuffix(".py") for name in OUTSIDE}
    sources = [root / function["CodeUri"] / "app.py" for function in inside.values()]
    sources += [p for p in (root / "layers/core/suspicious_lines").glob("*.py") if p.name not in OUTSIDE]
    for source in sources:
        tree = ast.walk(ast.parse(source.read_text()))
        imported = {
            name
            for node in tree
            if isinstance(node, ast.ImportFrom)
            for name in [(node.module or "").rpartition(".")[2], *(alias.name for alias in node.names)]
        }
        assert not imported & modules, source


def test_every_other_function_is_in_the_network(template: Template, functions: dict[str, Any]) -> None:
    inside = template["Globals"]["Function"]["VpcConfig"]["Fn::If"][1]
    assert inside["SecurityGroupIds"] == [{"Ref": "FunctionsGroup"}]
    assert inside["SubnetIds"] == {
        "Fn::Split": [",", {"Fn::Join": [",", [{"Ref": "FirstSubnet"}, {"Ref": "SecondSubnet"}]]}]
    }
    assert not [name for name, function in functions.items() if "VpcConfig" in function]


def test_there_is_no_way_to_the_internet(network: Template) -> None:
    kinds = {r["Type"] for r in network["Resources"].values()}
    assert kinds == {
        "AWS::EC2::VPC", "AWS::EC2::Subnet", "AWS::EC2::RouteTable", "AWS::EC2::SubnetRouteTableAssociation",
        "AWS::EC2::SecurityGroup", "AWS::EC2::SecurityGroupIngress", "AWS::EC2::VPCEndpoint",
    }, "no gateway, no NAT, no route of ours"  # fmt: skip
    for name, subnet in of_type(network, "AWS::EC2::Subnet").items():
        assert not subnet.get("MapPublicIpOnLaunch"), name
    zones = [json.dumps(subnet["AvailabilityZone"]) for subnet in of_type(network, "AWS::EC2::Subnet").values()]
    assert len(zones) == len(set(zones)) == 2


def test_security_groups_are_closed(network: Template) -> None:
    s3, dynamodb = ({"Fn::Select": [i, {"Fn::Split": [",", {"Ref": "NetworkPrefixLists"}]}]} for i in (0, 1))
    reached = {
        "FunctionsGroup": [{"DestinationSecurityGroupId": {"Ref": "EndpointsGroup"}}]
        + [{"DestinationPrefixListId": prefix} for prefix in (s3, dynamodb)],
        "TrainingGroup": [{"DestinationPrefixListId": s3}],
        "EndpointsGroup": [{"CidrIp": "255.255.255.255/32"}],  # an address that nobody has
    }
    groups = of_type(network, "AWS::EC2::SecurityGroup")
    assert set(groups) == set(reached)
    for name, group in groups.items():
        assert "SecurityGroupIngress" not in group, name
        rules = [dict(rule) for rule in group["SecurityGroupEgress"]]
        for rule in rules:
            rule.pop("Description")
            if rule.pop("IpProtocol") == "tcp":
                assert (rule.pop("FromPort"), rule.pop("ToPort")) == (443, 443), name
        assert rules == reached[name], name
    (ingress,) = of_type(network, "AWS::EC2::SecurityGroupIngress").values()
    assert ingress["SourceSecurityGroupId"] == {"Ref": "FunctionsGroup"}
    assert ingress["GroupId"] == {"Ref": "EndpointsGroup"}
    assert (ingress["IpProtocol"], ingress["FromPort"], ingress["ToPort"]) == ("tcp", 443, 443)


def test_there_is_an_endpoint_for_each_service_that_the_code_calls(network: Template, root: Path) -> None:
    called = called_services(root)
    assert called == set(ENDPOINTS)
    names = [e["ServiceName"]["Fn::Sub"] for e in of_type(network, "AWS::EC2::VPCEndpoint").values()]
    assert sorted(names) == sorted(f"com.amazonaws.${{AWS::Region}}.{ENDPOINTS[service]}" for service in called)
    gateways = {
        e["ServiceName"]["Fn::Sub"].rsplit(".", 1)[1]
        for e in of_type(network, "AWS::EC2::VPCEndpoint").values()
        if e["VpcEndpointType"] == "Gateway"
    }
    assert gateways == {"s3", "dynamodb"}, "which cost nothing"
    for name, endpoint in of_type(network, "AWS::EC2::VPCEndpoint").items():
        if endpoint["VpcEndpointType"] == "Interface":
            assert endpoint["PrivateDnsEnabled"] is True, name
            assert endpoint["SecurityGroupIds"] == [{"Ref": "EndpointsGroup"}], name


def test_endpoints_lead_to_this_stacks_things_for_this_accounts_principals(network: Template) -> None:
    named = {
        "S3Endpoint": r":s3:::\$\{DataBucket\}(/\*)?$",
        "DynamoDBEndpoint": r"^ClaimTableArn$",
        "SNSEndpoint": r"^(Reviewers|Operators)Topic$",
        "AutoScalingEndpoint": r"^\*$",  # its resources have names of the service's own
    }
    for name, endpoint in of_type(network, "AWS::EC2::VPCEndpoint").items():
        for statement in endpoint["PolicyDocument"]["Statement"]:
            assert statement["Effect"] == "Allow", name
            assert statement["Condition"] == {"StringEquals": {"aws:PrincipalAccount": {"Ref": "AWS::AccountId"}}}, name
            if statement["Action"] == "sagemaker:List*":
                continue
            resources = statement["Resource"] if isinstance(statement["Resource"], list) else [statement["Resource"]]
            for resource in resources:
                pattern = named.get(name, r":\$\{AWS::Region\}:\$\{AWS::AccountId\}:.*[:/]\$\{RootStackName\}-\*$")
                written = resource if isinstance(resource, str) else next(iter(resource.values()))
                assert re.search(pattern, written), f"{name}: {resource}"


def test_functions_make_no_network_interfaces_themselves(translated: Template, inside: dict[str, Any]) -> None:
    policies = [
        p
        for p in of_type(translated, "AWS::IAM::Policy").values()
        if p["PolicyDocument"]["Statement"][0]["Sid"] == "LeaveTheNetworkToLambda"
    ]
    assert sorted(role["Ref"] for p in policies for role in p["Roles"]) == sorted(f"{name}Role" for name in inside)
    for policy in policies:
        (statement,) = policy["PolicyDocument"]["Statement"]
        assert (statement["Effect"], statement["Resource"]) == ("Deny", "*")
        # https://docs.aws.amazon.com/aws-managed-policy/latest/reference/AWSLambdaVPCAccessExecutionRole.html
        assert set(statement["Action"]) == {
            "ec2:CreateNetworkInterface", "ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets",
            "ec2:DeleteNetworkInterface", "ec2:AssignPrivateIpAddresses", "ec2:UnassignPrivateIpAddresses",
        }  # fmt: skip
        assert list(statement["Condition"]["ArnLike"]) == ["lambda:SourceFunctionArn"]


def test_sagemaker_makes_network_interfaces_in_the_network_only(template: Template) -> None:
    for role in ("SageMakerRole", "BatchRole"):
        policies = [p for p in of_type(template, "AWS::IAM::Policy").values() if {"Ref": role} in p["Roles"]]
        plugging = [s for p in policies for s in p["PolicyDocument"]["Statement"] if "ec2:" in str(s["Action"])]
        assert plugging
        for statement in plugging:
            looks = all(action.startswith("ec2:Describe") for action in statement["Action"])
            vpc = {"Fn::If": ["HasNetwork", {"Fn::Sub": VPC}, ""]}
            assert looks or statement["Condition"] == {"ArnEquals": {"ec2:Vpc": vpc}}
