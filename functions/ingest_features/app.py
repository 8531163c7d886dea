"""Puts the lines of a run into the feature store."""

from suspicious_lines.feature_messages import Ingested, IngestRequest
from suspicious_lines.feature_settings import IngestSettings
from suspicious_lines.ingesting import ingest_features
from suspicious_lines.observability import entry_point

settings = IngestSettings.from_environment()


@entry_point(IngestRequest)
def handler(request: IngestRequest) -> Ingested:
    return ingest_features(request, settings)
