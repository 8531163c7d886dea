"""Encodes a training run's lines for the live model, so that it can be compared with the new one."""

from suspicious_lines.champion import encode_for_champion
from suspicious_lines.model_messages import ChampionRequest, Contest
from suspicious_lines.observability import entry_point
from suspicious_lines.settings import BucketSettings

settings = BucketSettings.from_environment()


@entry_point(ChampionRequest)
def handler(request: ChampionRequest) -> Contest:
    return encode_for_champion(request, settings)
