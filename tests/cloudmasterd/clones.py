"""A cloud master over real minions: modules on libvirt's test driver, the wire in between, no sockets."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Callable, Optional

from cloudmasterd.clock import SystemClock
from cloudmasterd.fleet import Fleet
from cloudmasterd.func_fabric import FuncFabric
from cloudmasterd.image_push import ImagePush
from cloudmasterd.images import Images
from cloudmasterd.machines import Machines, Rules
from cloudmasterd.model import Task
from cloudmasterd.operations import Operations, ResourceCache
from cloudmasterd.recipes import Tools, build_recipes
from cloudmasterd.spec import DiskSpec, Source
from cloudmasterd.store import Store
from cloudmasterd.tasks import TaskRunner
from func import wire
from func.errors import MinionTimeout
from func.minion import registry
from func.overlord.fanout import Result
from tests.blank import blank
from tests.cloudmasterd.works import ASKER, spec

NODE = """<node>
 <network><name>default</name><bridge name='virbr0'/><forward/>
  <ip address='192.168.122.1' netmask='255.255.255.0'/></network>
 <pool type='dir'><name>default</name><target><path>/pool</path></target></pool>
 <cpu><mhz>2400</mhz><model>x86_64</model><active>16</active>
  <nodes>1</nodes><sockets>1</sockets><cores>8</cores><threads>2</threads></cpu>
 <memory>16777216</memory>
</node>
"""
MIB = 2**20
WAIT_S = 60.0


class LocalFanout:
    """Calls minions of this process through the codecs of the wire; counts calls and loses them as told."""

    def __init__(self) -> None:
        self.minions_: dict[str, registry.Registry] = {}
        self.calls: Counter[str] = Counter()
        self.before: Callable[[str, str, tuple[Any, ...]], None] = lambda minion, method, args: None
        self.after: Callable[[str, str, tuple[Any, ...]], None] = lambda minion, method, args: None
        self._lock = threading.Lock()

    def minions(self) -> list[str]:
        return sorted(self.minions_)

    def knows(self, minion: str) -> bool:
        return minion in self.minions_

    def certificate_expires_at(self, minion: str) -> None:
        return None

    def call(
        self, minion: str, method: str, *args: Any, timeout_s: Optional[float] = None, request_id: str = ""
    ) -> Any:
        with self._lock:
            self.calls[f"{minion} {method}"] += 1
        self.before(minion, method, args)
        name, given = wire.decode_call(wire.encode_call(method, args))
        value = wire.decode_response(wire.encode_result(self.minions_[minion].call(name, given)))
        self.after(minion, method, args)
        if wire.is_remote_error(value):
            raise wire.to_remote_fault(value)
        return value

    def ask(
        self,
        calls: Mapping[str, tuple[str, tuple[Any, ...]]],
        timeout_s: Optional[float] = None,
        request_id: str = "",
    ) -> Iterator[list[Result]]:
        for minion, (method, args) in calls.items():
            yield [Result(minion, self.call(minion, method, *args), None)]

    def close(self) -> None:
        for each in self.minions_.values():
            each.close()


class Clones:
    """The cloud master, and minions cloud1, cloud2 ... below `folder`."""

    def __init__(
        self, folder: Path, clouds: int = 1, turn_s: float = 0.0, conf: str = "", uri: str = ""
    ) -> None:
        self.folder = folder
        self.uri = uri
        self.fanout = LocalFanout()
        for number in range(1, clouds + 1):
            self.start_minion(f"cloud{number}", conf)
        self.clock = SystemClock()
        self.turn_s = turn_s
        self.start_master()

    def start_minion(self, name: str, conf: str = "") -> None:
        root = self.root(name)
        (root / "etc/func/modules").mkdir(parents=True, exist_ok=True)
        node = root / "node.xml"
        node.write_text(NODE)
        (root / "etc/func/modules/Virt.conf").write_text(f"[main]\nuri = {self.uri or f'test://{node}'}\n")
        (root / "etc/func/modules/Image.conf").write_text(f"[main]\n{conf}\n")
        self.fanout.minions_[name] = registry.load(root)

    def start_master(self) -> None:
        fabric = FuncFabric(self.fanout, 60.0)  # type: ignore[arg-type]
        self.store = Store(blank(self.folder / "db"), clock=self.clock)
        self.fleet = Fleet(self.store, fabric, self.clock)
        operations = Operations(fabric)
        resources = ResourceCache(operations, self.clock)
        self.images = Images(self.store, self.folder / "images", self.clock)
        push = ImagePush(operations, self.images, self.clock, self.turn_s)
        recipes = build_recipes(Tools(self.store, self.fleet, operations, resources, 30.0, push))
        self.runner = TaskRunner(self.store, recipes, self.clock, backoff_s=(0.01,))
        self.machines = Machines(self.store, self.runner, resources, self.clock, Rules(), self.images)
        self.fleet.discover()
        self.fleet.refresh(self.fanout.minions())
        self.runner.start()

    def stop_master(self) -> None:
        self.runner.stop(5)
        self.fleet.close()
        self.store.close()

    def close(self) -> None:
        self.stop_master()
        self.fanout.close()

    def root(self, cloud: str) -> Path:
        return self.folder / cloud

    def kept(self, cloud: str = "cloud1") -> Path:
        return self.root(cloud) / "var/lib/func/images"

    def seeds(self, cloud: str = "cloud1") -> list[str]:
        folder = self.root(cloud) / "var/lib/func/seeds"
        return sorted(file.name for file in folder.iterdir()) if folder.is_dir() else []

    def upload(self, name: str, data: bytes, form: str = "raw", **more: Any) -> str:
        sha256 = hashlib.sha256(data).hexdigest()
        self.images.create({"name": name, "format": form, "sha256": sha256, "size_bytes": len(data), **more})
        self.images.receive(name, 0, data)
        return sha256

    def create(self, name: str, image: str, size_gb: int = 1, **changes: Any) -> Task:
        cloud_init = changes.pop("cloud_init", {})
        source = Source("image", image=image, cloud_init=cloud_init)
        return self.machines.create(spec(name, disks=(DiskSpec(size_gb),), source=source, **changes), ASKER)

    def ended(self, task: Task) -> Task:
        found = self.machines.wait(task.id, WAIT_S)
        assert found.ended_at is not None, f"task {task.id} has not ended: {found.steps}"
        return found

    def domain_xml(self, cloud: str, uuid: str) -> str:
        answer = self.fanout.call(cloud, "virt.get_xml", self.store.get_machine(uuid).name)
        return str(answer)

    def ask(self, cloud: str, method: str, *args: Any) -> Any:
        return json.loads(self.fanout.call(cloud, method, *args))


def lose(*methods: str, times: int = 1) -> Callable[[str, str, tuple[Any, ...]], None]:
    """For `before` and `after`: the first calls of these methods get lost there."""
    left = [times]

    def pass_by(minion: str, method: str, args: tuple[Any, ...]) -> None:
        if method in methods and left[0] > 0:
            left[0] -= 1
            raise MinionTimeout(f"{minion} did not answer")

    return pass_by
