"""The console's settings for tests: a data directory of their own, a database in a file, and no server
configured outside.
"""

import atexit
import os
import shutil
import tempfile

_directory = tempfile.mkdtemp(prefix="keyspace-console-")
_made_by = os.getpid()
for _name in [name for name in os.environ if name.startswith(("REDIS_", "CONSOLE_"))]:
    if _name != "CONSOLE_TEST_DATABASE_URL":
        del os.environ[_name]
os.environ |= {"CONSOLE_DATA_DIR": _directory, "CONSOLE_REQUEST_LOG_LEVEL": "WARNING"}

from console.settings import *  # noqa: E402, F403
from console.settings import DATABASES, env  # noqa: E402

DATABASES["default"] |= (
    {"OPTIONS": {}} | env.db_url("CONSOLE_TEST_DATABASE_URL", "sqlite://")
    if "CONSOLE_TEST_DATABASE_URL" in os.environ
    else {}
)
# In a file, not in memory: threads and processes of a test then meet the locks that production has.
DATABASES["default"]["TEST"] = (
    {} if "CONSOLE_TEST_DATABASE_URL" in os.environ else {"NAME": f"{_directory}/test.sqlite3"}
)
CONFIGURED_SERVERS = {}
SAMPLE = False
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
WHITENOISE_AUTOREFRESH = WHITENOISE_USE_FINDERS = True


@atexit.register
def _forget() -> None:
    if os.getpid() == _made_by:
        shutil.rmtree(_directory, ignore_errors=True)
