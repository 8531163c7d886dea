"""Keeps the event it is called with in the bucket."""

import json
import os
import uuid

import boto3


def handler(event, context):
    key = f"{os.environ['PREFIX']}/{uuid.uuid4().hex}.json"
    boto3.client("s3").put_object(Bucket=os.environ["BUCKET"], Key=key, Body=json.dumps(event).encode())
    return {"key": key}
