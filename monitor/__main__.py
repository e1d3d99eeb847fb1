"""`python -m monitor`, and the command `kubearmor-monitor`."""

import sys

from monitor import cli


def main() -> None:
    sys.exit(cli.main(sys.argv[1:]))


if __name__ == "__main__":
    main()
