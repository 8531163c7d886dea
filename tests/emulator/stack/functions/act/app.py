"""Does what its event says: the ways in which a Lambda function can end."""

import logging
import os
import signal
import sys
import threading

import boto3
import shared


class InvalidUploadError(Exception):
    pass


calls = 0


def handler(event, context):
    global calls
    calls += 1
    match event.get("do"):
        case "raise":
            raise InvalidUploadError(event.get("message", "line 3 has no minutes"))
        case "raise_until":  # the marker outlives this process: several environments may serve the retries
            marker = f"{event['directory']}/{event['name']}"
            with open(marker, "a+") as file:
                file.write("x")
                file.seek(0)
                if len(file.read()) < event["times"]:
                    raise InvalidUploadError("not yet")
        case "break":
            breakpoint()
        case "sleep":
            threading.Event().wait(event["seconds"])  # time.sleep is hurried where calls are written down
        case "exit":
            sys.stdout.write("going")
            sys.stdout.flush()
            os._exit(3)
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "print":
            print("printed line")
            print("to stderr", file=sys.stderr)
            logging.getLogger().warning("logged line")
        case "big":
            return "x" * event["bytes"]
        case "bytes":
            return "Größe ✓"
        case "call":
            answer = getattr(boto3.client(event["service"]), event["method"])(**event["parameters"])
            return answer["Body"].read().decode() if "Body" in answer else {}
        case "environment":
            return dict(os.environ) | {"remaining": context.get_remaining_time_in_millis(), "shared": shared.NAME}
    return {"echo": event, "calls": calls, "pid": os.getpid(), "arn": context.invoked_function_arn}
