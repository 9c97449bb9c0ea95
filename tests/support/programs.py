"""Programs that xtask unpacks below .tools instead of installing them, since their packages would start services."""

from .processes import TOOLS


def haproxy():
    """HAProxy's program and the environment in which it finds its libraries."""
    unpacked = TOOLS / "unpacked"
    program = unpacked / "usr/sbin/haproxy"
    if not program.exists():
        raise FileNotFoundError(f"{program} is missing; run: cargo xtask install")
    libraries = ":".join(str(path) for path in sorted((unpacked / "usr/lib").glob("*-linux-gnu")))
    return program, {"LD_LIBRARY_PATH": libraries}


def haproxy_wrapper(path):
    """Writes a script that is HAProxy, for whoever looks for it in PATH."""
    program, environment = haproxy()
    variables = " ".join(f'{name}="{value}"' for name, value in environment.items())
    path.write_text(f'#!/bin/sh\n{variables} exec "{program}" "$@"\n')
    path.chmod(0o755)
