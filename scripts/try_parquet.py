"""Writes and reads Parquet through awswrangler, from the folders given as arguments and an S3 of one dictionary.

Trimming and stripping the data layer must not break it: this is run on the built layer, by Lambda's version of Python.
"""

import sys

sys.path[:0] = sys.argv[1:]

import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import awswrangler as wr
import pandas as pd
import pyarrow.csv
import pyarrow.parquet

OBJECTS: dict[str, bytes] = {}


class TinyS3(BaseHTTPRequestHandler):
    """PUT, HEAD and GET (with a range) of whole objects: all that one Parquet file needs."""

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if "aws-chunked" in self.headers.get("Content-Encoding", ""):
            body = unchunked(body)
        OBJECTS[self.path.split("?")[0]] = body
        self.answer(200, b"")

    def do_GET(self) -> None:
        body = OBJECTS[self.path.split("?")[0]]
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        self.answer(206, body[int(wanted[1]) : int(wanted[2]) + 1]) if wanted else self.answer(200, body)

    do_HEAD = do_GET

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", '"0"')
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def unchunked(body: bytes) -> bytes:
    """The payload of an aws-chunked body: size in hexadecimal, a line end, the bytes, and so on until size 0."""
    payload = b""
    while True:
        size, body = body.split(b"\r\n", 1)
        length = int(size.split(b";")[0], 16)
        if length == 0:
            return payload
        payload, body = payload + body[:length], body[length + 2 :]


def main() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), TinyS3)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    wr.config.s3_endpoint_url = f"http://127.0.0.1:{server.server_port}"
    lines = pd.DataFrame(
        {
            "matter": pd.Series(["M-1", "M-2", None], dtype="string"),
            "minutes": [6, 90, 600],
            "amount": [12.5, 300.0, float("nan")],
            "date": pd.to_datetime(["2024-01-01", "2024-02-29", "2024-12-31"]),
            "activity": pd.Categorical(["call", "draft", "call"]),
        }
    )
    wr.s3.to_parquet(lines, "s3://bucket/lines.parquet")
    read = wr.s3.read_parquet(["s3://bucket/lines.parquet"])
    server.shutdown()
    pd.testing.assert_frame_equal(read.astype({"activity": "category", "minutes": "int64"}), lines, check_dtype=False)

    table = pyarrow.csv.read_csv(pyarrow.BufferReader(lines.to_csv(index=False).encode()))
    pyarrow.parquet.write_table(table, sink := pyarrow.BufferOutputStream(), compression="zstd")
    if not pyarrow.parquet.read_table(pyarrow.BufferReader(sink.getvalue())).equals(table):
        sys.exit("the table read back differs from the table written")
    print(f"Parquet goes round: awswrangler {wr.__version__}, pandas {pd.__version__}, pyarrow {pyarrow.__version__}")


if __name__ == "__main__":
    main()
