"""`python -m monitor`, and the command `kubearmor-monitor`."""

import os
import sys

from monitor import cli


def main() -> None:
    # The C core of gRPC writes to standard error past our log; it reads this when it is loaded.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    sys.exit(cli.main(sys.argv[1:]))


if __name__ == "__main__":
    main()
