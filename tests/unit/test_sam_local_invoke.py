"""scripts/sam_local_invoke.py writes a template that SAM can run a function of a nested stack from."""

import importlib.util
from pathlib import Path

import pytest
import yaml

SCRIPT = Path(__file__).parents[2] / "scripts" / "sam_local_invoke.py"
ROOT_TEMPLATE = {
    "Resources": {
        "CoreLayer": {"Type": "AWS::Serverless::LayerVersion", "Properties": {"ContentUri": "CoreLayer"}},
        "DataLayer": {"Type": "AWS::Serverless::LayerVersion", "Properties": {"ContentUri": "DataLayer"}},
        "Train": {"Type": "AWS::Serverless::Application", "Properties": {"Location": "Train/template.yaml"}},
        "Score": {"Type": "AWS::Serverless::Application", "Properties": {"Location": "Score/template.yaml"}},
    }
}
SHARED = {
    "Runtime": "python3.13", "Handler": "app.handler", "Architectures": ["x86_64"], "MemorySize": 256, "Timeout": 60,
    "Layers": [{"Ref": "CoreLayer"}], "VpcConfig": {"Ref": "Network"},
}  # fmt: skip
OWN = {"CodeUri": "EncodeLinesFunction", "Timeout": 900, "Layers": [{"Ref": "DataLayer"}]}
SCORE = {
    "Globals": {"Function": SHARED},
    "Resources": {"EncodeLinesFunction": {"Type": "AWS::Serverless::Function", "Properties": OWN}},
}


@pytest.fixture
def script():
    spec = importlib.util.spec_from_file_location("sam_local_invoke", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def build(tmp_path):
    for name, template in ((".", ROOT_TEMPLATE), ("Train", {"Resources": {}}), ("Score", SCORE)):
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / "template.yaml").write_text(yaml.safe_dump(template))
    return tmp_path


def test_a_function_of_a_nested_stack_stands_beside_its_layers(script, build):
    path = script.write_local_template(build, "EncodeLinesFunction", {"DATA_BUCKET": "b"})

    resources = yaml.safe_load(path.read_text())["Resources"]
    assert set(resources) == {"CoreLayer", "DataLayer", "EncodeLinesFunction"}
    assert resources["CoreLayer"]["Properties"]["ContentUri"] == "CoreLayer"  # beside the template
    assert path.parent == build
    assert resources["EncodeLinesFunction"]["Properties"] == {
        "Runtime": "python3.13", "Handler": "app.handler", "Architectures": ["x86_64"], "MemorySize": 256,
        "Timeout": 900, "Layers": [{"Ref": "CoreLayer"}, {"Ref": "DataLayer"}],
        "CodeUri": str(build / "Score" / "EncodeLinesFunction"), "Environment": {"Variables": {"DATA_BUCKET": "b"}},
    }  # fmt: skip


def test_a_function_that_is_nowhere_is_an_error(script, build):
    with pytest.raises(LookupError, match="no OtherFunction"):
        script.write_local_template(build, "OtherFunction", {})
