"""Whatever is promoted, refused, gone back to or broken off: who serves exists, and who is not kept does not."""

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from suspicious_lines import parking, promotion, restoring, store
from suspicious_lines.errors import ChampionChangedError, NoFormerModelError
from suspicious_lines.messages import Upload
from suspicious_lines.model_messages import LiveModel, PromoteRequest, RefuseRequest, RestoreOrder, RestoreRequest
from suspicious_lines.model_settings import PromoteSettings, RefuseSettings, RestoreSettings
from suspicious_lines.promotion import promote_model, refuse_model
from suspicious_lines.restoring import restore_model
from suspicious_lines.settings import ScalingSettings

UPLOAD = Upload(bucket="bucket", key="incoming/x.csv", etag="e", size=1)


class LostError(Exception):
    """The function ended in the middle."""


class Models(RuleBasedStateMachine):
    """An account in memory: endpoints, and models/current.json with a version for its ETag."""

    def __init__(self):
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.endpoints, self.document, self.number, self.lost = set(), None, 0, False
        self.unfinished, self.something_left = [], False
        self.patch.setattr(promotion, "can_score", self.endpoints.__contains__)
        self.patch.setattr(restoring, "can_score", self.endpoints.__contains__)
        self.patch.setattr(promotion, "delete_endpoint", self.delete)
        self.patch.setattr(promotion, "publish", lambda *args: "id")
        self.patch.setattr(restoring, "publish", lambda *args: "id")
        self.patch.setattr(parking, "start_parked", lambda *args: None)
        self.patch.setattr(
            store, "get_json", lambda bucket, key: {"threshold": {"value": 1}, "reason": "", "champion": ""}
        )
        self.patch.setattr(store, "get_with_etag", lambda bucket, key: self.document)
        self.patch.setattr(store, "replace", self.replace)

    def teardown(self):
        self.patch.undo()

    def delete(self, name):
        if self.lost:
            raise LostError
        assert name != self.live_endpoint(), "the live model's endpoint was deleted"
        self.endpoints.discard(name)
        return []

    def replace(self, bucket, key, body, etag):
        assert etag == (self.document[1] if self.document else None)
        self.document = (body.encode(), str(int(etag or 0) + 1))
        return True

    def live(self):
        return msgspec.json.decode(self.document[0], type=LiveModel) if self.document else None

    def live_endpoint(self):
        return self.live().endpoint_name if self.document else None

    @initialize(kept=st.integers(1, 4))
    def begin(self, kept):
        common = {"data_bucket": "bucket", "models_kept": kept}
        topic = {"operators_topic_arn": "arn:aws:sns:us-east-1:000000000000:operators"}
        machine = "arn:aws:states:us-east-1:000000000000:stateMachine:score"
        self.kept = kept
        scaling = msgspec.to_builtins(ScalingSettings.from_environment())
        self.promoting = PromoteSettings(**scaling | common, score_state_machine_arn=machine)
        self.restoring, self.refusing = (
            RestoreSettings(**common, **topic),
            RefuseSettings(data_bucket="bucket", **topic),
        )

    def train(self):
        self.number += 1
        self.endpoints.add(f"endpoint-{self.number}")
        live = self.live()
        return PromoteRequest(
            run=str(self.number),
            endpoint_name=f"endpoint-{self.number}",
            max_concurrency=1,
            live_run=live.run if live else None,
            reason="good",
        )

    @rule(lost=st.booleans())
    def promote(self, lost):
        request, self.lost = self.train(), lost
        try:
            promote_model(request, self.promoting)
            self.something_left = False
        except LostError:
            self.unfinished.append(request)
            self.something_left = True
        self.lost = False

    @precondition(lambda self: self.unfinished)
    @rule()
    def retry(self):
        promote_model(self.unfinished.pop(), self.promoting)
        self.something_left = False

    @rule()
    def promote_too_late(self):
        request = self.train()
        self.promote(lost=False)
        with pytest.raises(ChampionChangedError):
            promote_model(request, self.promoting)
        refuse_model(RefuseRequest(run=request.run, upload=UPLOAD, endpoint_name=request.endpoint_name), self.refusing)

    @rule()
    def refuse(self):
        request = self.train()
        refuse_model(RefuseRequest(run=request.run, upload=UPLOAD, endpoint_name=request.endpoint_name), self.refusing)

    @rule(back=st.integers(0, 30))
    def roll_back(self, back):
        self.number += 1
        wanted = str(self.number - back) if back else ""
        before = self.document
        try:
            restore_model(RestoreRequest(run=f"rollback-{self.number}", order=RestoreOrder(run=wanted)), self.restoring)
        except NoFormerModelError:
            assert self.document == before

    @precondition(lambda self: self.document and self.live().former)
    @rule(place=st.integers(0, 3))
    def delete_a_former_endpoint_by_hand(self, place):
        former = self.live().former
        self.endpoints.discard(former[place % len(former)].endpoint_name)

    @invariant()
    def who_serves_exists_and_who_is_not_kept_does_not(self):
        live = self.live()
        if live is None:
            assert self.endpoints == set()
            return
        assert live.endpoint_name in self.endpoints
        assert len(live.former) <= self.kept - 1
        versions = [live, *live.former, *live.dropped]
        assert len({version.run for version in versions}) == len(versions)
        if not self.something_left:
            assert self.endpoints <= {live.endpoint_name, *(former.endpoint_name for former in live.former)}


TestModels = Models.TestCase
TestModels.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
