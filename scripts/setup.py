"""Make this checkout ready: `python3 scripts/setup.py run|dev|test|lint`. Standard library only; every step once.

run   .venv with requirements.lock, the front end in static/build/, all that is served in staticfiles/
dev   the same without staticfiles/, so that a change of a source is seen at the next reload
test  .venv with requirements-dev.lock, the front end, a Chromium, a redis-server and a Postgres
lint  requirements-dev.lock alone

A step leaves the SHA-256 of what it depends on behind; while that holds it is skipped, so a second run costs
milliseconds.
"""

import sys

OLDEST = (3, 11)


def prepare(goal: str) -> None:
    import front_end
    import machine
    import packages

    packages.make_venv()
    packages.install("requirements.lock" if goal in ("run", "dev") else "requirements-dev.lock")
    if goal != "lint":
        front_end.build()
    if goal == "run":
        front_end.collect()
    if goal == "dev":
        front_end.forget_collected()
    if goal == "test":
        machine.find_or_install_chromium()
        machine.find_or_install_redis()
        machine.find_or_install_postgres()


def main() -> None:
    if sys.version_info < OLDEST:
        sys.exit(
            f"Keyspace Console needs Python 3.11 or newer; {sys.executable} is {sys.version.split()[0]}."
        )
    from steps import SetupFailed, one_at_a_time

    goal = sys.argv[1] if len(sys.argv) == 2 else ""
    if goal not in ("run", "dev", "test", "lint"):
        sys.exit(__doc__)
    try:
        with one_at_a_time():
            prepare(goal)
    except SetupFailed as failure:
        sys.exit(f"\n{failure}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
