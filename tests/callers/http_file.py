"""A reader of .http files, as the HTTP clients of IDEs read them: requests with names, and variables.

Of the format it knows what docs/orders.http uses: `###` between requests, `# @name`, `@variable = value`, and in
values, addresses, headers and bodies `{{variable}}`, `{{name.response.headers.Name}}` and
`{{name.response.body.$.member}}`.
A comment `# expect 401 unauthorized; 200 while nobody is asked` is ours: the status, the code of a failure, and the
status in the other case. `# expect body TEXT` is a text that the body has.
"""

import http.client
import json
import re
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

_EXPECT = re.compile(r"# expect (\d{3})(?: ([a-z_]+))?(?:; (\d{3}) while nobody is asked)?")
_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Expected:
    """What a request's comments say. `open_status`: the status while nobody is asked who calls."""

    status: int
    code: str | None
    open_status: int
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Request:
    """One request, with its variables not filled in yet."""

    name: str
    method: str
    url: str
    headers: Mapping[str, str]
    body: str
    expected: Expected


@dataclass(frozen=True, slots=True)
class Answer:
    """What came."""

    status: int
    headers: Mapping[str, str]
    text: str


@dataclass
class Session:
    """The variables of a file, and the answers so far by the names of their requests."""

    variables: dict[str, str]
    answers: dict[str, Answer] = field(default_factory=dict)

    def fill(self, text: str) -> str:
        """Return the text with all variables in it filled in. Raises KeyError for one that is not known."""
        while found := re.search(r"\{\{([^{}]+)\}\}", text):
            text = text[: found.start()] + self._value(found[1].strip()) + text[found.end() :]
        return text

    def send(self, request: Request) -> Answer:
        """Send a request and keep its answer. Raises OSError and http.client's errors."""
        address = urlsplit(self.fill(request.url))
        target = address.path + (f"?{address.query}" if address.query else "")
        headers = {name: self.fill(value) for name, value in request.headers.items()}
        encoded = {name: value.encode() for name, value in headers.items()}
        body = self.fill(request.body).encode() or None
        with closing(http.client.HTTPConnection(str(address.netloc), timeout=_SECONDS)) as connection:
            connection.request(request.method, target, body, encoded)
            with connection.getresponse() as answer:
                self.answers[request.name] = Answer(answer.status, dict(answer.headers), answer.read().decode())
        return self.answers[request.name]

    def _value(self, name: str) -> str:
        if name in self.variables:
            return self.variables[name]
        request, _, path = name.partition(".response.")
        part, _, member = path.partition(".")
        if part == "headers":
            return self.answers[request].headers[member]
        value: Any = json.loads(self.answers[request].text)
        for step in member.removeprefix("$.").split("."):
            value = value[step]
        return str(value)


def parse(text: str) -> tuple[list[Request], dict[str, str]]:
    """Return the requests in their order, and the variables. Raises ValueError with what cannot be understood."""
    variables = dict(re.findall(r"^@(\w+) = (.+)$", text, re.MULTILINE))
    blocks = re.split(r"^###.*\n", text, flags=re.MULTILINE)
    read = (_request(re.sub(r"^@.*\n?", "", block, flags=re.MULTILINE)) for block in blocks)
    return [request for request in read if request is not None], variables


def _request(block: str) -> Request | None:
    lines = block.strip().splitlines()
    comments = [line for line in lines if line.startswith("#")]
    head, _, body = "\n".join(line for line in lines if not line.startswith("#")).strip().partition("\n\n")
    if not head:
        return None
    first, *rest = head.splitlines()
    method, _, url = first.partition(" ")
    name = next((line.removeprefix("# @name ") for line in comments if line.startswith("# @name ")), "")
    matched = [found for line in comments if (found := _EXPECT.fullmatch(line))]
    if not name or len(matched) != 1:
        raise ValueError(f"{first}: needs one # @name and one # expect")
    status, code, open_status = matched[0].groups()
    texts = tuple(line.removeprefix("# expect body ") for line in comments if line.startswith("# expect body "))
    expected = Expected(int(status), code, int(open_status or status), texts)
    return Request(name, method, url, dict(line.split(": ", 1) for line in rest), body, expected)
