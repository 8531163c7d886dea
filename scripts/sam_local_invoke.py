"""Runs one built function in Lambda's own container image (`sam local invoke`) against the embedded AWS.

Usage: sam_local_invoke.py FUNCTION EVENT [OPTION...]; further options go to `sam local invoke`.
The embedded AWS listens on 127.0.0.1 only, which a container cannot reach: on Linux its ports are forwarded from
Docker's bridge for as long as the function runs, elsewhere Docker Desktop's host.docker.internal reaches them.
"""

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / ".aws-sam" / "build"
HOST = "host.docker.internal"
LOCAL_ADDRESS = re.compile(r"127\.0\.0\.1:(\d+)")


def forward(listener: socket.socket, port: int) -> None:
    """Copy bytes between every connection that the listener accepts and 127.0.0.1:port."""
    while True:
        client, _ = listener.accept()
        server = socket.create_connection(("127.0.0.1", port))
        for source, sink in ((client, server), (server, client)):
            threading.Thread(target=copy_bytes, args=(source, sink), daemon=True).start()


def copy_bytes(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # the other side has closed


def open_bridge(ports: set[int]) -> list[str]:
    """Forward the ports from Docker's bridge; SAM's options that name the bridge, or none under Docker Desktop."""
    inspect = ["docker", "network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Gateway}}"]
    gateway = subprocess.run(inspect, capture_output=True, text=True, check=True).stdout.strip()
    try:
        listeners = {port: socket.create_server((gateway, port)) for port in ports}
    except OSError:
        return []  # the bridge is inside Docker Desktop's own machine
    for port, listener in listeners.items():
        threading.Thread(target=forward, args=(listener, port), daemon=True).start()
    return ["--add-host", f"{HOST}:{gateway}"]


def find_function(folder: Path, name: str) -> dict[str, Any]:
    """The properties of a function of the stack built in a folder, or of one nested in it, with those of its Globals.

    Raises:
        LookupError: there is no such function.
    """
    template = yaml.safe_load((folder / "template.yaml").read_text())
    if name in template["Resources"]:
        shared, own = template["Globals"]["Function"], template["Resources"][name]["Properties"]
        # SAM appends a function's own layers to the shared ones.
        layers = [*shared["Layers"], *own.get("Layers", [])]
        return {**shared, **own, "Layers": layers, "CodeUri": str((folder / own["CodeUri"]).resolve())}
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Application":
            with contextlib.suppress(LookupError):
                return find_function((folder / resource["Properties"]["Location"]).parent, name)
    raise LookupError(f"{folder} has no {name}")


def write_local_template(build: Path, name: str, variables: dict[str, str]) -> Path:
    """A template of one built function, its layers and the variables: SAM drops those that a template does not declare,
    and does not find the layers that a nested stack is given."""
    resources = yaml.safe_load((build / "template.yaml").read_text())["Resources"]
    layers = {layer: r for layer, r in resources.items() if r["Type"] == "AWS::Serverless::LayerVersion"}
    found = find_function(build, name)
    used = ("Runtime", "Handler", "Architectures", "MemorySize", "Timeout", "Layers", "CodeUri")
    properties = {key: found[key] for key in used} | {"Environment": {"Variables": variables}}
    template = {
        "Transform": "AWS::Serverless-2016-10-31",
        "Resources": {**layers, name: {"Type": "AWS::Serverless::Function", "Properties": properties}},
    }
    path = build / "local.yaml"
    path.write_text(yaml.safe_dump(template, sort_keys=False))
    return path


def main(function: str, event: str, options: list[str]) -> int:
    settings = (ROOT / ".local" / "env.json").read_text()
    bridge = open_bridge({int(port) for port in LOCAL_ADDRESS.findall(settings)})
    settings = LOCAL_ADDRESS.sub(rf"{HOST}:\1", settings)
    logical_id = "".join(word.capitalize() for word in function.split("_")) + "Function"
    template = write_local_template(BUILD, logical_id, json.loads(settings)[logical_id])
    sam = [str(ROOT / ".venv-sam/bin/sam"), "local", "invoke", logical_id]
    sam += ["--template", str(template), "--event", event]
    environment = os.environ | {"SAM_CLI_TELEMETRY": "0", "AWS_DEFAULT_REGION": "us-east-1"}
    run = subprocess.run([*sam, *bridge, *options], env=environment, stdout=subprocess.PIPE, text=True, check=False)
    print(run.stdout, end="")
    # SAM ends with status 0 even where the handler raised.
    return run.returncode or int('"errorType":' in run.stdout)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
