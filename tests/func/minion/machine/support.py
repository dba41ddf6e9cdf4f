"""A host of libvirt's test driver with networks and pools, and the module `machine` on it."""

from __future__ import annotations

import itertools
import json
import struct
from pathlib import Path
from typing import Any, Optional

from func.minion.libvirt_connection import Link
from func.minion.modules.machine import Machine

OFF = "11111111-1111-1111-1111-111111111111"
RUN = "22222222-2222-2222-2222-222222222222"
PAUSED = "33333333-3333-3333-3333-333333333333"
NEW = "44444444-4444-4444-4444-444444444444"

NODE = """<node>
 <domain type='test'><name>off1</name><uuid>11111111-1111-1111-1111-111111111111</uuid>
  <test:runstate xmlns:test='http://libvirt.org/schemas/domain/test/1.0'>5</test:runstate>
  <memory unit='MiB'>512</memory><currentMemory unit='MiB'>256</currentMemory><vcpu>2</vcpu>
  <os><type>hvm</type></os><devices>
   <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/pool/off1.qcow2'/>
    <target dev='vda' bus='virtio'/></disk>
   <disk type='file' device='cdrom'><target dev='sda' bus='sata'/></disk>
   <interface type='network'><mac address='52:54:00:00:00:01'/><source network='default'/></interface>
   <interface type='bridge'><mac address='52:54:00:00:00:02'/><source bridge='br0'/></interface>
  </devices></domain>
 <domain type='test'><name>run1</name><uuid>22222222-2222-2222-2222-222222222222</uuid>
  <memory unit='MiB'>1024</memory><vcpu current='1'>4</vcpu><os><type>hvm</type></os><devices>
   <disk type='file' device='disk'><source file='/pool/run1.qcow2'/><target dev='vda' bus='virtio'/></disk>
   <disk type='volume' device='disk'><source pool='fast' volume='shared.raw'/>
    <target dev='vdb' bus='virtio'/></disk></devices></domain>
 <domain type='test'><name>paused1</name><uuid>33333333-3333-3333-3333-333333333333</uuid>
  <test:runstate xmlns:test='http://libvirt.org/schemas/domain/test/1.0'>3</test:runstate>
  <memory unit='MiB'>2048</memory><vcpu>1</vcpu><os><type>hvm</type></os><devices>
   <disk type='file' device='disk'><source file='/fast/shared.raw'/><target dev='vda' bus='virtio'/></disk>
  </devices></domain>
 <network><name>default</name><bridge name='virbr0'/><forward/>
  <ip address='192.168.122.1' netmask='255.255.255.0'/></network>
 <network><name>idle</name><bridge name='virbr1'/><forward/>
  <ip address='192.168.123.1' netmask='255.255.255.0'/></network>
 <pool type='dir'><name>fast</name><target><path>/fast</path></target>
  <volume><name>shared.raw</name><capacity unit='GiB'>1</capacity><allocation>0</allocation></volume></pool>
 <pool type='dir'><name>default</name><target><path>/pool</path></target>
  <volume><name>off1.qcow2</name><capacity unit='GiB'>4</capacity><allocation>0</allocation>
   <target><format type='qcow2'/></target></volume>
  <volume><name>run1.qcow2</name><capacity unit='GiB'>4</capacity><allocation>0</allocation>
   <target><format type='qcow2'/></target></volume>
  <volume><name>base.qcow2</name><capacity unit='GiB'>2</capacity><allocation>0</allocation>
   <target><format type='qcow2'/></target></volume>
  <volume><name>above.qcow2</name><capacity unit='GiB'>2</capacity><allocation>0</allocation>
   <target><format type='qcow2'/></target>
   <backingStore><path>/pool/base.qcow2</path><format type='qcow2'/></backingStore></volume>
  <volume><name>Boot CD &amp; more.ISO</name><capacity unit='MiB'>9</capacity>
   <allocation>0</allocation></volume>
 </pool>
 <pool type='dir'><name>cold</name><target><path>/cold</path></target></pool>
 <cpu><mhz>2400</mhz><model>x86_64</model><active>16</active>
  <nodes>1</nodes><sockets>1</sockets><cores>8</cores><threads>2</threads></cpu>
 <memory>16777216</memory>
</node>
"""


class Cloud:
    """The module on a host, and the host's own connection, as an administrator with virsh would have one."""

    def __init__(self, root: Path, uri: str, link: Optional[Link] = None, **options: Any) -> None:
        (root / "etc/func/modules").mkdir(parents=True, exist_ok=True)
        (root / "etc/func/modules/Virt.conf").write_text(f"[main]\nuri = {uri}\n")
        self.link = link or Link(uri)
        self.module = Machine(root, lambda _: self.link, **options)
        self._numbers = itertools.count(1)

    @property
    def connection(self) -> Any:
        return self.link.connection()

    def do(self, verb: str, operation: str = "", **arguments: Any) -> dict[str, Any]:
        """What a verb answers; a new operation unless one is named."""
        operation = operation or f"operation-{next(self._numbers)}"
        return dict(json.loads(self.module.perform(operation, verb, json.dumps(arguments))))

    def domain(self, uuid: str) -> Any:
        return self.connection.lookupByUUIDString(uuid)

    def volumes(self, pool: str = "default") -> set[str]:
        return set(self.connection.storagePoolLookupByName(pool).listVolumes())

    def machines(self) -> set[str]:
        return {domain.name() for domain in self.connection.listAllDomains()}


def spec(**changes: Any) -> dict[str, Any]:
    """The arguments of a `define` that works on the host above."""
    return {
        "uuid": NEW, "name": "new1.example.org", "memory_mb": 256, "max_memory_mb": 512, "vcpus": 2,
        "disks": [{"pool": "default", "volume": "above.qcow2", "format": "qcow2"}],
        "networks": [{"network": "default", "mac": "52:54:00:aa:bb:cc"}], "boot": ["hd", "network"],
        "autostart": True, "graphics": True, "metadata": {"task": 17, "managed": True}, **changes,
    }  # fmt: skip


def write_qcow2(path: Path, backing: str) -> None:
    """A QCOW2 file as far as it says what it stands on."""
    name = backing.encode()
    head = b"QFI\xfb" + struct.pack(">IQI", 3, 112, len(name))
    path.write_bytes(head.ljust(112, b"\0") + name)
