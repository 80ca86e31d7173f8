"""nginx and HAProxy in front of instances of the service (Debian's packages `nginx-light` and `haproxy`)."""

import os
import shutil
import socket
from collections.abc import Sequence
from pathlib import Path

from tools.stack.errors import StackError
from tools.stack.server import Server

NGINX = """
{account}
daemon off;
worker_processes 1;
pid {folder}/pid;
error_log stderr warn;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    upstream orders {{
{servers}
        {upstream}
    }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://orders;
            {proxied}
        }}
        location /shop/ {{
            proxy_pass http://orders/;
            {proxied}
        }}
    }}
}}
"""
KEPT = "proxy_http_version 1.1; proxy_set_header Connection '';"

HAPROXY = """
defaults
    mode http
    timeout connect 5s
    timeout client 50s
    timeout server 50s
{defaults}
frontend callers
    bind 127.0.0.1:{port}
    default_backend orders
backend orders
{backend}
{servers}
"""


class Balancer(Server):
    """One in front of instances at these ports. Raises StackError where its program is not installed."""

    program: str
    start_seconds = 30.0
    stop_seconds = 5.0

    def __init__(self, folder: Path, ports: Sequence[int]) -> None:
        super().__init__(folder)
        self.name = self.program
        self._ports = ports

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True

    def _found(self) -> str:
        found = shutil.which(self.program, path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
        if found is None:
            raise StackError(f"{self.program} is not installed: `apt-get install nginx-light haproxy` on Debian.")
        return found

    def _write(self, name: str, text: str) -> Path:
        file = self.folder / name
        file.write_text(text)
        return file


class Nginx(Balancer):
    """`keeps`: it keeps its connections to the service; by default it makes one for each request, in HTTP/1.0."""

    program = "nginx"

    def __init__(self, folder: Path, ports: Sequence[int], *, keeps: bool = False) -> None:
        super().__init__(folder, ports)
        self._keeps = keeps

    def _prepare(self) -> list[str]:
        text = NGINX.format(
            account="user root;" if os.geteuid() == 0 else "",  # else its worker may not write where we may
            folder=self.folder,
            port=self.port,
            servers="\n".join(f"        server 127.0.0.1:{port};" for port in self._ports),
            upstream="keepalive 16;" if self._keeps else "",
            proxied=KEPT if self._keeps else "",
        )
        return [self._found(), "-p", str(self.folder), "-e", "stderr", "-c", str(self._write("nginx.conf", text))]


class Haproxy(Balancer):
    """`careful`: with checks, and another server for a request that found its own away; by default with neither."""

    program = "haproxy"

    def __init__(self, folder: Path, ports: Sequence[int], *, careful: bool = False) -> None:
        super().__init__(folder, ports)
        self._careful = careful

    def _prepare(self) -> list[str]:
        check = " check inter 200ms" if self._careful else ""
        text = HAPROXY.format(
            port=self.port,
            defaults="    option redispatch 1\n    option forwardfor" if self._careful else "",
            backend="    option httpchk GET /livez" if self._careful else "",
            servers="\n".join(f"    server s{port} 127.0.0.1:{port}{check}" for port in self._ports),
        )
        return [self._found(), "-db", "-f", str(self._write("haproxy.cfg", text))]
