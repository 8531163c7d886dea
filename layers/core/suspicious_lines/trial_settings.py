"""Settings of the functions that try a model beside the live one."""

from suspicious_lines.settings import BucketSettings, HostingMode, ResourcePrefix


class AbandonTrialSettings(BucketSettings):
    resource_prefix: ResourcePrefix


class PrepareTrialSettings(AbandonTrialSettings):
    hosting_mode: HostingMode
