"""The patches notice another ministack before anything runs."""

import subprocess
import sys

from local.cloud import ROOT

_PROGRAM = """
from local.emulator import patches
patches.check()
from ministack.services import sns, stepfunctions
sns._fanout = lambda topic_arn: None
del stepfunctions._call_lambda
patches.check()
"""


def test_a_changed_name_is_reported_with_the_pin():
    done = subprocess.run([sys.executable, "-c", _PROGRAM], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    last = done.stderr.split("PatchError: ")[1]
    assert "ministack==1.5.33" in last
    assert "stepfunctions._call_lambda is gone" in last
    assert "sns._fanout(topic_arn) was (topic_arn msg_id message" in last
