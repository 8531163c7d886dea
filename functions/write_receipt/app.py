"""Writes the receipt of a run that succeeded."""

from suspicious_lines.messages import ReceiptRequest
from suspicious_lines.observability import entry_point
from suspicious_lines.receipts import Receipt, write_receipt
from suspicious_lines.settings import ReceiptSettings

settings = ReceiptSettings.from_environment()


@entry_point(ReceiptRequest)
def handler(request: ReceiptRequest) -> Receipt:
    return write_receipt(request, settings)
