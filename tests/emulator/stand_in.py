"""Stands in for the SageMaker engine: knows one training job, throttles another, and nothing else."""

import argparse
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer(200, {})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        name = body.get("TrainingJobName", body.get("EndpointName"))
        if name == "known":
            self.answer(
                200, {"TrainingJobName": name, "TrainingJobStatus": "Completed", "CreationTime": 1700000000.123}
            )
        elif name == "throttled":
            self.answer(400, {"__type": "ThrottlingException", "message": "Rate exceeded"})
        elif name == "full":
            self.answer(400, {"__type": "ResourceLimitExceeded", "Message": "No more"})
        else:
            self.answer(400, {"__type": "ValidationException", "message": f"Could not find {name}"})

    def answer(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int)
    ThreadingHTTPServer(("127.0.0.1", parser.parse_args().port), Handler).serve_forever()
