"""What this tier has called: the template's policies are held against a record of it, which must be complete."""

import os

from recorded import missing, read, recorded, together, write

from tests.template.unrecorded import UNRECORDED


def test_the_record_has_all_calls_of_this_tier(workflow, recorded_elsewhere, whole_tier):
    fresh = together([recorded(workflow.calls, workflow.logical), *recorded_elsewhere])
    if os.environ.get("RECORD_CALLS"):
        assert whole_tier, "a record is made by all the tests of the tier"
        write(fresh)
    # What this tier seldom gets to is listed by hand.
    known = together([read(), *({holder: lines} for holder, lines, _ in UNRECORDED)])
    assert missing(fresh, known) == [], "make record-calls; then tests/template says which policies to change"
