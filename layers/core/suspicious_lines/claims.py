"""Which run owns which upload: one item an upload, put only if absent."""

import time

from botocore.exceptions import ClientError

from suspicious_lines.aws import client, error_code
from suspicious_lines.messages import Upload

KEEP_SECONDS = 90 * 24 * 3600


def claim(table: str, upload: Upload, run: str) -> bool:
    """True if `run` now owns `upload`, or did already (a retry after a lost answer)."""
    now = int(time.time())
    item = {
        "upload": {"S": upload.claim_id},
        "run": {"S": run},
        "claimed_at": {"N": str(now)},
        "expires_at": {"N": str(now + KEEP_SECONDS)},
    }
    dynamodb = client("dynamodb")
    try:
        dynamodb.put_item(TableName=table, Item=item, ConditionExpression="attribute_not_exists(upload)")
    except ClientError as error:
        if error_code(error) != "ConditionalCheckFailedException":
            raise
        found = dynamodb.get_item(TableName=table, Key={"upload": item["upload"]}, ConsistentRead=True)
        return found.get("Item", {}).get("run") == item["run"]
    return True


def release(table: str, upload: Upload, run: str) -> bool:
    """Gives an upload back, so that dropping it again starts a new run. False if another run owns it."""
    try:
        client("dynamodb").delete_item(
            TableName=table,
            Key={"upload": {"S": upload.claim_id}},
            ConditionExpression="#run = :run",
            ExpressionAttributeNames={"#run": "run"},
            ExpressionAttributeValues={":run": {"S": run}},
        )
    except ClientError as error:
        if error_code(error) != "ConditionalCheckFailedException":
            raise
        return False
    return True
