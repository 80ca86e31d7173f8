"""Commands by hand find the stack that runs in their checkout, and nothing else finds it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.harness.service import CHECKOUT
from tools.stack.addresses import left_in
from tools.stack.ports import free_port

FLASK = Path(sys.executable).with_name("flask")
PARTS = ("app", "migrations", "docs/examples", "run.py", "gunicorn.conf.py", "pyproject.toml", ".flaskenv")
HIDDEN = ("FLASK_APP", "DATABASE_URL", "KAFKA_BOOTSTRAP_SERVERS", "ORDER_SERVICE")
SETTINGS = "from run import app; print(app.extensions['settings'])"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout of its own: the stack of the real one may be running."""
    folder = tmp_path_factory.mktemp("checkout") / "inside"
    for part in PARTS:
        (folder / part).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (CHECKOUT / part).is_dir() else shutil.copy
        copy(CHECKOUT / part, folder / part)
    return folder


@contextmanager
def running(checkout: Path, database_url: str) -> Iterator[None]:
    """A stack that has left its addresses."""
    addresses = {"DATABASE_URL": database_url, "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", "ORDER_SERVICE": "http://h:7"}
    with left_in(checkout / ".stack" / "addresses.env", addresses):
        yield


def run(checkout: Path, *command: object, **environment: str) -> tuple[int, str, str]:
    """Exit code and both streams of a command in the checkout."""
    inherited = {name: value for name, value in os.environ.items() if name not in HIDDEN}
    done = subprocess.run(
        [str(word) for word in command],
        cwd=checkout,
        env=inherited | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_flask_orders_uses_the_running_stack_and_says_so(checkout: Path) -> None:
    url = f"postgresql://u:p@127.0.0.1:{free_port()}/of_the_stack"
    with running(checkout, url):
        code, _, said = run(checkout, FLASK, "orders", "list")
    assert code == 1
    assert said.startswith(f"Using the stack that runs in this checkout: DATABASE_URL={url}, KAFKA_BOOTSTRAP_SERVERS=")
    assert "of_the_stack" in said.splitlines()[-1]


@pytest.mark.parametrize("name", ["DATABASE_URL", "KAFKA_BOOTSTRAP_SERVERS"])
def test_the_environment_wins_and_the_two_worlds_are_not_mixed(checkout: Path, name: str) -> None:
    values = {"DATABASE_URL": "postgresql://u:p@127.0.0.1:1/mine", "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:2"}
    with running(checkout, "postgresql://u:p@127.0.0.1:1/of_the_stack"):
        _, printed, said = run(checkout, FLASK, "shell", **{name: values[name]})
    assert "Using" not in said
    assert "of_the_stack" not in printed + said


def test_the_service_itself_never_looks(checkout: Path) -> None:
    with running(checkout, "postgresql://u:p@127.0.0.1:1/of_the_stack"):
        _, printed, said = run(checkout, sys.executable, "-c", SETTINGS)
    assert "localhost:5432/order_db" in printed
    assert said == ""


def test_a_stack_that_was_killed_is_not_found(checkout: Path) -> None:
    file = checkout / ".stack" / "addresses.env"
    file.parent.mkdir(exist_ok=True)
    file.write_text("export DATABASE_URL=postgresql://u:p@127.0.0.1:1/killed\n")
    try:
        _, _, said = run(checkout, FLASK, "orders", "list")
    finally:
        file.unlink()
    assert "Using" not in said
    assert "killed" not in said


def test_the_file_is_gone_with_the_stack_and_a_shell_can_read_it(checkout: Path) -> None:
    file = checkout / ".stack" / "addresses.env"
    with running(checkout, "postgresql://u:p%40s'x@127.0.0.1:1/d"):
        _, printed, _ = run(checkout, "sh", "-c", f". {file}; echo $DATABASE_URL $ORDER_SERVICE")
    assert printed == "postgresql://u:p%40s'x@127.0.0.1:1/d http://h:7\n"
    assert not file.exists()


def test_the_examples_find_it_too(checkout: Path) -> None:
    ask = "from addresses import address; print(address('ORDER_SERVICE', 'no'))"
    show = f"import sys; sys.path[0] = 'docs/examples'; {ask}"
    with running(checkout, "postgresql://u:p@127.0.0.1:1/d"):
        assert run(checkout, sys.executable, "-c", show)[1] == "http://h:7\n"
        assert run(checkout, sys.executable, "-c", show, ORDER_SERVICE="http://mine")[1] == "http://mine\n"
    assert run(checkout, sys.executable, "-c", show)[1] == "no\n"


def test_flask_reads_no_env_file_of_a_folder_above(checkout: Path) -> None:
    above = checkout.parent / ".env"
    above.write_text("DATABASE_URL=postgresql://u:p@127.0.0.1:1/of_somebody_else\nROLES=nobody\n")
    try:
        _, _, said = run(checkout, FLASK, "orders", "list")
        given = run(checkout, FLASK, "orders", "list", DATABASE_URL="postgresql://u:p@127.0.0.1:1/of_somebody_else")
    finally:
        above.unlink()
    assert "of_somebody_else" not in said
    assert "ROLES" not in said
    assert "of_somebody_else" in given[2]


def test_alembic_reads_the_env_file_beside_the_service_too(checkout: Path) -> None:
    beside = checkout / ".env"
    beside.write_text("DATABASE_URL=nonsense://\n")
    try:
        _, _, said = run(checkout, FLASK.with_name("alembic"), "current")
    finally:
        beside.unlink()
    assert said.splitlines()[-1].startswith("The service cannot start: DATABASE_URL must ")


def test_flask_run_says_that_it_answers_http_only(checkout: Path) -> None:
    code, _, said = run(checkout, FLASK, "run", "--port", "0", "--help")
    assert code == 0
    code, _, said = run(checkout, "timeout", "20", FLASK, "run", "--port", str(free_port()))
    assert said.splitlines()[0].startswith("`flask run` answers HTTP and does nothing else")
