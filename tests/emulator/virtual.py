"""Performs steps on a cluster in virtual time: time goes on only in `Wait`."""

from dataclasses import replace
from functools import singledispatchmethod

from tests.emulator import steps
from tests.emulator.virtual_stage import CLUSTER, POLICIES, PUBLISHED_SECONDS, VirtualStage
from tests.emulator.world import container_id, key_of

__all__ = ["CLUSTER", "VirtualCluster"]


class VirtualCluster(VirtualStage):
    """Perform steps on it; everything that a step leads to happens at its own instant after it."""

    @singledispatchmethod
    def perform(self, step: steps.Step) -> None:
        """Perform one step."""
        raise NotImplementedError(step)

    @perform.register
    def _(self, step: steps.Wait) -> None:
        self.advance(step.seconds)

    @perform.register
    def _(self, step: steps.Namespace) -> None:
        self._namespace(step.name, step.annotations)

    @perform.register
    def _(self, step: steps.Configure) -> None:
        self._configure(step.data)

    @perform.register
    def _(self, step: steps.Apply) -> None:
        self._policy(step.policy, changes_spec=True)

    @perform.register
    def _(self, step: steps.Touch) -> None:
        self._policy(step.policy, changes_spec=False)

    @perform.register
    def _(self, step: steps.Delete) -> None:
        resource = POLICIES[step.policy["kind"]]
        held = self.world.objects[resource][key_of(step.policy)]
        self._change(resource, "DELETED", held, missed_on=step.missed_on)

    @perform.register
    def _(self, step: steps.Run) -> None:
        self._run(step)

    @perform.register
    def _(self, step: steps.StartLate) -> None:
        self._start(self._workloads[step.pod], (step.container,))

    @perform.register
    def _(self, step: steps.Remove) -> None:
        self._remove(step.pod)

    @perform.register
    def _(self, step: steps.Recreate) -> None:
        former = self._remove(step.pod)
        plan = replace(
            former.plan,
            containers=(*former.plan.containers, *former.plan.late),
            late=(),
            node=step.node or former.plan.node,
            labels=former.labels,
            annotations=former.annotations,
        )
        self._run(plan)

    @perform.register
    def _(self, step: steps.Change) -> None:
        workload = self._workloads[step.pod]
        for held, wanted in (
            (workload.labels, step.labels),
            (workload.annotations, step.annotations),
        ):
            for key, value in wanted.items():
                held.pop(key, None)
                if value is not None:
                    held[key] = value
        self._publish(workload)

    @perform.register
    def _(self, step: steps.RestartContainer) -> None:
        workload = self._workloads[step.pod]
        life = workload.lives[step.container]
        life.ended, life.exit_code = self.now, 1
        self._stop(workload, (step.container,))
        self._publish(workload)

        def again() -> None:
            life.restart(self.now, uid=workload.uid, name=step.container)
            self._announce(workload, (step.container,))
            self._later(PUBLISHED_SECONDS, lambda: self._publish(workload))

        self._later(1.0, again)

    @perform.register
    def _(self, step: steps.EndPod) -> None:
        workload = self._workloads[step.pod]
        for life in workload.lives.values():
            life.ended = self.now
        self._stop(workload, tuple(workload.lives))
        self._publish(workload)

    @perform.register
    def _(self, step: steps.Fail) -> None:
        self._failures[step.node] = step.failures
        if step.node in self._stations:
            self._stations[step.node].daemon.failures = step.failures

    @perform.register
    def _(self, step: steps.Kill) -> None:
        station = self._stations[step.node]
        self._read(station)
        station.daemon.kill()
        station.life.ended, station.life.exit_code = self.now, 137
        self._change("pods", "MODIFIED", station.pod())

    @perform.register
    def _(self, step: steps.StartAgain) -> None:
        station = self._stations[step.node]
        uid = str(station.pod()["metadata"]["uid"])
        station.life.restart(self.now, uid=uid, name="kubearmor")
        station.stamp = 0
        self._change("pods", "MODIFIED", station.pod())
        station.daemon = self._daemon(step.node, station.daemon.release.version)
        station.daemon.start(self.now)

    @perform.register
    def _(self, step: steps.Withdraw) -> None:
        self._withdraw(step.node)

    @perform.register
    def _(self, step: steps.Deploy) -> None:
        self._deploy(step.node, step.release, tag=step.image_tag)

    @perform.register
    def _(self, step: steps.Replace) -> None:
        self._withdraw(step.node)
        self._later(2.0, lambda: self._deploy(step.node, ""))

    @perform.register
    def _(self, step: steps.ChangeTemplate) -> None:
        self._version = step.release
        self._template += 1
        self._publish_daemon_set()

    @perform.register
    def _(self, step: steps.AddNode) -> None:
        self._node(step.node, step.labels, step.system)

    @perform.register
    def _(self, step: steps.RelabelNode) -> None:
        held = self.world.objects["nodes"]["", step.node]
        labels = held["metadata"]["labels"] | step.labels
        metadata = held["metadata"] | {"labels": labels}
        self._change("nodes", "MODIFIED", held | {"metadata": metadata})

    @perform.register
    def _(self, step: steps.Act) -> None:
        workload = self._workloads[step.pod]
        life = workload.lives[step.container]
        identity = container_id(workload.uid, step.container, life.restarts)
        daemon = self._stations[workload.plan.node].daemon
        for number in range(step.times):
            daemon.act(identity, step.path, self.now + number / 1000)
        self._work()

    @perform.register
    def _(self, step: steps.LoseEvents) -> None:
        self._stations[step.node].daemon.lose_events(self.now)
        self._work()

    @perform.register
    def _(self, step: steps.Blind) -> None:
        self.tape.source(step.source, "down", step.reason, at=self.now)

    @perform.register
    def _(self, step: steps.See) -> None:
        self.see(step.source)
        if step.missed:
            self.tape.catch_up(step.source, at=self.now)
