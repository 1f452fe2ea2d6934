"""Contract tests of the team's code: a test file of the team subclasses `TeamContract`."""

import pytest

pytest.register_assert_rewrite("pilot.testing.contract")

from pilot.testing.contract import TeamContract  # noqa: E402

__all__ = ["TeamContract"]
