"""`python -m monitor`, and the command `kubearmor-monitor`."""

import os
import sys
from io import TextIOWrapper

from monitor import cli


def main() -> None:
    # The C core of gRPC writes to standard error past our log; it reads this when it is loaded.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # JSON is UTF-8 whatever the locale is, and no locale may end a command half-way.
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    sys.exit(cli.main(sys.argv[1:]))


if __name__ == "__main__":
    main()
