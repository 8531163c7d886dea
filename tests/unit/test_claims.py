from suspicious_lines.claims import claim, release
from suspicious_lines.messages import Upload

UPLOAD = Upload(bucket="bucket", key="incoming/a b+c%.csv", etag="e", size=1, version_id="v1")


def test_the_first_run_owns_an_upload_and_keeps_it_on_a_retry(cloud):
    assert claim("claims", UPLOAD, "run-1")
    assert not claim("claims", UPLOAD, "run-2")
    assert claim("claims", UPLOAD, "run-1")


def test_another_version_is_another_upload(cloud):
    assert claim("claims", UPLOAD, "run-1")
    assert claim("claims", UPLOAD.model_copy(update={"version_id": "v2"}), "run-2")


def test_without_versions_etag_and_sequencer_tell_uploads_apart():
    plain = UPLOAD.model_copy(update={"version_id": None, "sequencer": "1"})
    assert plain.claim_id != plain.model_copy(update={"sequencer": "2"}).claim_id
    assert plain.claim_id == plain.model_copy().claim_id


def test_only_the_owner_releases(cloud):
    claim("claims", UPLOAD, "run-1")
    assert not release("claims", UPLOAD, "run-2")
    assert release("claims", UPLOAD, "run-1")
    assert claim("claims", UPLOAD, "run-2")


def test_claims_expire(cloud):
    claim("claims", UPLOAD, "run-1")
    (item,) = cloud.dynamodb.scan(TableName="claims")["Items"]
    assert int(item["expires_at"]["N"]) - int(item["claimed_at"]["N"]) == 90 * 24 * 3600


def test_the_handler_answers_a_duplicate_quietly(cloud, load_handler, context):
    handler = load_handler("claim_upload")
    detail = {"bucket": {"name": "b"}, "object": {"key": "incoming/x.csv", "etag": "e", "size": 3, "version-id": "v"}}
    assert handler({"run": "run-1", "detail": detail}, context)["claimed"] is True
    answer = handler({"run": "run-2", "detail": detail}, context)
    assert answer["claimed"] is False
    assert answer["upload"]["version_id"] == "v"
