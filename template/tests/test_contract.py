from pilot.testing import TeamContract


class TestContract(TeamContract):
    """What the wrapper relies on in our code. Override a fixture to test it with other examples or another model."""
