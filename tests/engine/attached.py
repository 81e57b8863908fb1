"""A Python language runtime for plain `pulumi` in a program's folder, attached instead of installed.

`pulumi-language-python` comes with a full installation of Pulumi; with the engine alone this answers instead:
`with attached(folder) as env: subprocess.run([cli, "preview", ...], env={**os.environ, **env})`.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def attached(folder: Path) -> Iterator[dict[str, str]]:
    """The variables that make the engine use it. Programs run in a process of their own."""
    server = subprocess.Popen(
        [sys.executable, __file__, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        port = int(server.stdout.readline())
        yield {"PULUMI_DEBUG_LANGUAGES": f"python:{port}"}
    finally:
        server.stdin.close()
        server.stdout.close()
        server.kill()
        server.wait()


def serve(folder: Path) -> None:
    """Print a port, then run the program of `folder` whenever an engine asks for it, until stdin ends."""
    import os
    import runpy
    from concurrent import futures

    import grpc
    from pulumi.automation._server import LanguageServer
    from pulumi.runtime.proto import language_pb2, language_pb2_grpc

    class Runtime(LanguageServer):
        def Handshake(self, request, context):
            return language_pb2.LanguageHandshakeResponse()

    os.chdir(folder)
    # As the real one does it: the folder comes first, and the script is run as the main program.
    sys.path[0] = str(folder)
    program = str(folder / "__main__.py")
    runtime = Runtime(lambda: runpy.run_path(program, run_name="__main__"))
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
    language_pb2_grpc.add_LanguageRuntimeServicer_to_server(runtime, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
