"""The processes of the local cloud: they start together, tell what is wrong, and never outlive their parent."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from local.cloud import ROOT, Cloud, CloudError

STACK = Path(__file__).parent / "stack" / "template.yaml"

_PROGRAM = """
import json, sys, time
from pathlib import Path
from local.cloud import Cloud
with Cloud(Path(sys.argv[1]), 0, 0, template=Path(sys.argv[2]), engine=("tests.emulator.stand_in",)) as cloud:
    cloud.client("lambda").invoke(FunctionName=cloud.outputs["Act"], Payload=b"{}")
    print("ready", flush=True)
    time.sleep(600)
"""


def test_what_is_written(cloud):
    home = cloud.outbox.parent
    written = json.loads((home / "outputs.json").read_text())
    assert written["endpoint_url"] == cloud.endpoint_url
    assert written["engine_url"] == cloud.engine_url
    assert written["outputs"] == cloud.outputs
    assert written["outbox"] == str(cloud.outbox)
    variables = json.loads((home / "env.json").read_text())
    assert variables["ActFunction"]["LABEL"] == "first"
    assert variables["ActFunction"]["AWS_ENDPOINT_URL"] == cloud.endpoint_url
    assert variables["ActFunction"]["AWS_ENDPOINT_URL_SAGEMAKER"] == cloud.engine_url
    assert {path.name for path in (home / "logs").iterdir()} == {"emulator.log", "sagemaker.log"}


def test_sagemakers_clients_go_to_the_engine(cloud):
    described = cloud.client("sagemaker").describe_training_job(TrainingJobName="known")
    assert described["TrainingJobStatus"] == "Completed"


def test_only_loopback_is_listened_on(cloud):
    port = int(cloud.endpoint_url.rsplit(":", 1)[1])
    listening = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    addresses = {fields[1].split(":")[0] for fields in listening if int(fields[1].split(":")[1], 16) == port}
    assert addresses == {"0100007F"}


def test_a_port_in_use_is_named(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(CloudError, match=rf"(?s)Port {port}.*in use.*Stop"), Cloud(tmp_path, port, 0):
            pass


def test_an_engine_that_does_not_start_is_reported(tmp_path):
    with (
        pytest.raises(CloudError, match="No module named"),
        Cloud(tmp_path, 0, 0, template=STACK, engine=("tests.emulator.not_there",)),
    ):
        pass


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM], ids=lambda how: how.name)
def test_nothing_outlives_the_parent(tmp_path, how):
    command = [sys.executable, "-c", _PROGRAM, str(tmp_path), str(STACK)]
    parent = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert parent.stdout.readline() == b"ready\n"
    children = {pid for pid in descendants(parent.pid) if pid != parent.pid}
    assert len(children) == 3, "the emulator, the engine and one Lambda environment"
    parent.send_signal(how)
    parent.wait(10)
    parent.stdout.close()
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and any(alive(pid) for pid in children):
        time.sleep(0.05)
    assert not [pid for pid in children if alive(pid)]


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def descendants(root):
    found, parents = {root}, {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        parents[int(stat.parent.name)] = int(fields[1])
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found
