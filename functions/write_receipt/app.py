"""Writes the receipt of a run that succeeded."""

from suspicious_lines.messages import ReceiptRequest
from suspicious_lines.observability import entry_point, gauge
from suspicious_lines.receipts import Receipt, write_receipt
from suspicious_lines.settings import WriteReceiptSettings

settings = WriteReceiptSettings.from_environment()


@entry_point(ReceiptRequest)
def handler(request: ReceiptRequest) -> Receipt:
    receipt = write_receipt(request, settings)
    gauge(EstimatedCost=receipt.estimated_cost.total)
    return receipt
