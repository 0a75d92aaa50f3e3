"""A second console process on the database of the test, such as is killed with -9 or races with another."""

import subprocess
import sys
from pathlib import Path

from django.conf import settings
from django.db import connection as database

_ROOT = Path(__file__).parents[1]
_SET_UP = """
import os, sys, uuid
os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
import django; django.setup()
from pathlib import Path
from django.conf import settings
from django.db import connections
settings.DATA_DIR = Path(sys.argv[2])
connections["default"].close()
connections["default"].settings_dict["NAME"] = sys.argv[1]
settings.SECRET_KEY = sys.argv[3]
arguments = sys.argv[4:]
"""


def begin_process(code: str, *arguments: str) -> "subprocess.Popen[str]":
    """`code` at work beside the test; it finds `arguments` in the list of that name, and what it prints in stdout."""
    place = (str(database.settings_dict["NAME"]), str(settings.DATA_DIR), settings.SECRET_KEY)
    command = [sys.executable, "-c", _SET_UP + code, *place, *arguments]
    return subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, text=True)
