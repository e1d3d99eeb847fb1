"""`python -m tests.bench.watcher URL TOKEN CA`: when the API server tells of running Pods.

A second reader of the watch, in a process of its own: for each Pod it prints its uid and the
instant at which the first line that names its container was there.
"""

import asyncio
import re
import sys
import time
from pathlib import Path

from tests.rig.api import PODS, Api

UID = re.compile(r'"uid":"([^"]+)","resourceVersion"')


async def watch(url: str, token: str, ca_file: Path) -> None:
    seen: set[str] = set()
    async with Api(url=url, token=token, ca_file=ca_file) as api:
        version = (await api.page(PODS))["metadata"]["resourceVersion"]
        query = {"watch": "true", "resourceVersion": version}
        async for line in api._lines(PODS.path(), query=query):
            now = time.time()
            found = UID.search(line) if '"containerID"' in line else None
            if found and found[1] not in seen:
                seen.add(found[1])
                sys.stdout.write(f"{found[1]} {now:.6f}\n")
                sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(watch(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
