"""Everyone that tests here may need, see tests/people.py."""

from tests import chance, steady  # noqa: F401
from tests.keyspace.failing import call  # noqa: F401
from tests.people import *  # noqa: F403
from tests.people import _audit_lets_the_flush_through, _nothing_known_of_servers  # noqa: F401
