"""The state machine interpreter: Amazon States Language (JSONPath) on top of ministack's records and API."""
