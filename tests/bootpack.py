"""`python -m tests.bootpack` packs the boot stub, for each kind of store, into stacks/boot.json.

Packed once and kept, so that user data is the same bytes whatever compressor a machine has.
"""

from __future__ import annotations

import ast
import base64
import json
import zlib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKED = ROOT / "stacks" / "boot.json"
STORES = ("azblob", "gcs", "s3")
BAKE = "bake-"
KINDS = (*STORES, *(BAKE + kind for kind in STORES))
LEFT_OUT = ("__future__", "typing", "runtime.image.boot")
BAKED = "B=json.loads(sys.argv[1])\nbake(B,lambda name:fetch(B['link']['store'],name))\n"
END = "B=json.loads(sys.argv[1])\nstart(B,whoami,lambda name:fetch(B['link']['store'],name))\n"


def source(kind: str) -> str:
    """One module of both halves, without what only people need."""
    body: list[ast.stmt] = []
    bakes = kind.startswith(BAKE)
    for name in (f"boot_{kind.removeprefix(BAKE)}", "boot", *(["bake"] if bakes else [])):
        tree = ast.parse((ROOT / "runtime" / "image" / f"{name}.py").read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                node.returns = None
                for argument in node.args.args:
                    argument.annotation = None
            if isinstance(node, (ast.Module, ast.FunctionDef)) and ast.get_docstring(node) is not None:
                node.body = node.body[1:]
        body += [
            node for node in tree.body if not (isinstance(node, ast.ImportFrom) and node.module in LEFT_OUT)
        ]
    lines = ast.unparse(ast.Module(body, [])).splitlines()
    short = [" " * ((len(line) - len(line.lstrip())) // 4) + line.lstrip() for line in lines if line.strip()]
    return "\n".join(short) + "\n" + (BAKED if bakes else END)


def unpacked(text: str) -> str:
    return zlib.decompress(base64.b85decode(text)).decode()


def main() -> None:
    packed = {kind: base64.b85encode(zlib.compress(source(kind).encode(), 9)).decode() for kind in KINDS}
    PACKED.write_text(json.dumps(packed, indent=1) + "\n")
    print({kind: len(text) for kind, text in packed.items()})


if __name__ == "__main__":
    main()
