"""Make a machine instance: its disks, its definition, and its first start."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Callable, Optional, Union

from cloudmasterd.errors import Conflict, Invalid
from cloudmasterd.model import Step
from cloudmasterd.operations import Resources
from cloudmasterd.recipes import install
from cloudmasterd.recipes.origin import Origin
from cloudmasterd.recipes.tools import Tools, path_of, summary
from cloudmasterd.seed import seed_iso
from cloudmasterd.spec import MachineSpec
from cloudmasterd.tasks.recipe import Done, Lane, Later, Recipe, StepContext, StepKind

DISK_FORMAT = "qcow2"

# What a machine instance of each source tries to boot from, in this order. An empty disk boots nothing, so
# the same order installs it the first time and starts what was installed from then on.
BOOT_ORDERS: Mapping[str, Sequence[str]] = {
    "blank": ("hd", "network"),
    "iso": ("hd", "cdrom", "network"),
    "image": ("hd",),
}


def arguments_of(
    spec: MachineSpec,
    new_mac: Callable[[], str],
    origin: Origin = Origin(),  # noqa: B008  frozen
) -> dict[str, Any]:
    """What the task is told, as JSON; MAC addresses are chosen here so that they stay the same."""
    return {
        "name": spec.name,
        "memory_mb": spec.memory_mb,
        "vcpus": spec.vcpus,
        "disks": [{"size_gb": disk.size_gb, "pool": disk.pool} for disk in spec.disks],
        "networks": [{"network": network, "mac": new_mac()} for network in spec.networks],
        "firmware": spec.firmware,
        "arch": spec.arch,
        "source": {"kind": spec.source.kind, "volume": spec.source.volume, **origin.arguments()},
        "tags": dict(spec.tags),
        "notes": spec.notes,
        "autostart": spec.autostart,
        "start": spec.start,
        "flavor": spec.flavor,
        "groups": list(spec.groups),
    }


def secrets_of(spec: MachineSpec, new_token: Callable[[], str]) -> dict[str, Optional[str]]:
    """What is for the steps alone, for NewTask: user data may hold passwords, metadata may hold tokens."""
    if spec.source.kind == "image":
        return {"secret": json.dumps(dict(spec.source.cloud_init))}
    if spec.source.kind == "profile":
        token = new_token()
        return {"secret": install.secret_of(spec, token), "report_token": token}
    return {}


def steps(spec: MachineSpec, cloud: str) -> tuple[Step, ...]:
    """The steps for NewTask."""
    disks = [
        Step(f"disk:{number}", f"Make disk {number + 1} of {disk.size_gb} GB on {cloud}")
        for number, disk in enumerate(spec.disks)
    ]
    start = [Step("start", f"Start {spec.name}")] if spec.start else []
    clones = spec.source.kind == "image"
    send = [Step("image", f"Bring the image {spec.source.image} to {cloud}")] if clones else []
    seed = [Step("seed", f"Write what cloud-init is to set up in {spec.name}")] if clones else []
    define = [Step("define", f"Define {spec.name} on {cloud}")]
    installs = spec.source.kind == "profile"
    return (
        Step("check", f"Look what {cloud} has"),
        *send,
        *disks,
        *seed,
        *(install.steps(spec, cloud) if installs else define),
        *start,
        Step("see", f"See {spec.name} in what {cloud} reports"),
    )


def recipe(tools: Tools) -> Recipe:
    """How machine.create is done and undone."""
    return Recipe(
        {
            "check": StepKind(partial(_check, tools), light=True),
            "image": StepKind(partial(_send_image, tools)),
            "seed": StepKind(partial(_put_seed, tools), partial(_delete_seed, tools)),
            "disk": StepKind(partial(_make_disk, tools), partial(_delete_disk, tools)),
            "define": StepKind(partial(_define, tools), partial(_undefine, tools)),
            **install.kinds(tools, _disks),
            "start": StepKind(partial(_start, tools), partial(_power_off, tools)),
            "see": StepKind(partial(_see, tools), final=True),
        },
        lane=Lane.LONG,
        summary=summary,
    )


def _check(tools: Tools, ctx: StepContext) -> Done:
    resources, age_s = tools.resources.get(ctx.cloud)
    missing = _missing(ctx.arguments, resources, ctx.cloud)
    if missing and age_s > 0:  # what it had a minute ago is no reason to refuse
        resources, _ = tools.resources.get(ctx.cloud, fresh=True)
        missing = _missing(ctx.arguments, resources, ctx.cloud)
    if missing:
        raise Invalid("; ".join(text for _, text in missing), missing)
    pools = [disk["pool"] or resources.default_pool for disk in ctx.arguments["disks"]]
    # Kept, because an operation that is sent again must be the same to the letter.
    return Done({"pools": pools, "arch": ctx.arguments["arch"] or resources.arch})


def _missing(arguments: Mapping[str, Any], resources: Resources, cloud: str) -> list[tuple[str, str]]:
    """(field, text) for each thing that is wanted and not there."""
    found = []
    for number, wanted in enumerate(arguments["networks"]):
        if wanted["network"] not in (*resources.networks, *resources.bridges):
            found.append(
                (f"networks[{number}]", _absent("network", wanted["network"], cloud, resources.networks))
            )
    pools = [pool.name for pool in resources.pools]
    for number, disk in enumerate(arguments["disks"]):
        if disk["pool"] is None and resources.default_pool is None:
            found.append((f"disks[{number}].pool", f"{cloud} has no storage pool: make one there with virsh"))
        elif disk["pool"] is not None and disk["pool"] not in pools:
            found.append((f"disks[{number}].pool", _absent("storage pool", disk["pool"], cloud, pools)))
    volume = arguments["source"]["volume"]
    if volume is not None and volume not in resources.isos:
        found.append(("source.volume", _absent("ISO image", volume, cloud, resources.isos)))
    if arguments["firmware"] is not None and arguments["firmware"] not in resources.firmwares:
        found.append(("firmware", _absent("firmware", arguments["firmware"], cloud, resources.firmwares)))
    if arguments["source"]["kind"] == "profile" and not resources.koan:
        found.append(
            ("source.profile", f"{cloud} has no koan, which installs from profiles: install it there")
        )
    if arguments["arch"] is not None and arguments["arch"] != resources.arch:
        found.append(("arch", f"{cloud} is {resources.arch}, not {arguments['arch']}"))
    return found


def _absent(what: str, wanted: str, cloud: str, there: Sequence[str]) -> str:
    known = ", ".join(sorted(there)[:20]) or "none"
    return f"{cloud} has no {what} {wanted!r}; it has {known}"


def _volume(ctx: StepContext, number: int) -> dict[str, Any]:
    """Which volume a disk is; with the uuid in its name, so one kept from an older machine is another."""
    name = f"{ctx.arguments['name']}-{ctx.machine[:8]}-{number + 1}.{DISK_FORMAT}"
    return {"pool": ctx.result_of("check")["pools"][number], "volume": name}


def _disks(ctx: StepContext) -> list[dict[str, Any]]:
    return [{**_volume(ctx, n), "format": DISK_FORMAT} for n in range(len(ctx.arguments["disks"]))]


def _send_image(tools: Tools, ctx: StepContext) -> Union[Done, Later]:
    source = ctx.arguments["source"]
    if tools.image_push is None:
        raise Conflict("this cloud master has no images any more")
    underway = tools.image_push.advance(ctx.cloud, source["image"], source["sha256"])
    if underway is not None:
        return Later(underway.after_s, underway.detail, underway.percent)
    return Done()


def _put_seed(tools: Tools, ctx: StepContext) -> Done:
    cloud_init = json.loads(tools.store.tasks.get_secret(ctx.task.id) or "{}")
    iso = seed_iso(ctx.machine, ctx.arguments["name"], cloud_init)
    tools.operations.ask_image(ctx.cloud, "put_seed", ctx.machine, base64.b64encode(iso).decode("ascii"))
    return Done()


def _delete_seed(tools: Tools, ctx: StepContext) -> str:
    tools.operations.ask_image(ctx.cloud, "delete_seed", ctx.machine)
    return "seed removed"


def _make_disk(tools: Tools, ctx: StepContext) -> Done:
    number = int(ctx.key)
    image = ctx.arguments["source"].get("sha256") if number == 0 else None
    made = tools.perform(
        ctx,
        "create_disk",
        **_volume(ctx, number),
        size_gb=ctx.arguments["disks"][number]["size_gb"],
        format=DISK_FORMAT,
        backing=None if image is None else {"image": image},
    )
    return Done({"pool": made.get("pool"), "volume": made.get("volume")}, str(made.get("path", "")))


def _delete_disk(tools: Tools, ctx: StepContext) -> str:
    volume = _volume(ctx, int(ctx.key))
    tools.perform(ctx, "delete_disk", **volume)
    return f"volume {volume['pool']}/{volume['volume']} deleted"


def _define(tools: Tools, ctx: StepContext) -> Done:
    wanted = ctx.arguments
    answer = tools.perform(
        ctx,
        "define",
        name=wanted["name"],
        memory_mb=wanted["memory_mb"],
        max_memory_mb=wanted["memory_mb"],
        vcpus=wanted["vcpus"],
        arch=ctx.result_of("check")["arch"],
        firmware=wanted["firmware"],
        disks=_disks(ctx),
        cdrom=_cdrom(wanted["source"]["volume"]),
        seed=True if wanted["source"]["kind"] == "image" else None,
        networks=wanted["networks"],
        boot=list(BOOT_ORDERS[wanted["source"]["kind"]]),
        autostart=wanted["autostart"],
        graphics=True,
        metadata={"task": ctx.task.id, "managed": True},
    )
    tell = {"firmware": answer.get("firmware"), "machine_type": answer.get("machine_type")}
    return Done(
        {"tell": tell}, ", ".join(str(value) for value in (tell["machine_type"], tell["firmware"]) if value)
    )


def _cdrom(volume: Optional[str]) -> Optional[dict[str, str]]:
    if volume is None:
        return None
    pool, _, name = volume.partition("/")
    return {"pool": pool, "volume": name}


def _undefine(tools: Tools, ctx: StepContext) -> str:
    tools.perform(ctx, "undefine")
    tools.look(ctx)  # what was seen of it would stand against its name when it is tried again
    return "definition removed"


def _start(tools: Tools, ctx: StepContext) -> Done:
    tools.perform(ctx, "start")
    return Done()


def _power_off(tools: Tools, ctx: StepContext) -> str:
    tools.perform(ctx, "poweroff")
    return "powered off"


def _see(tools: Tools, ctx: StepContext) -> Done:
    tools.seen(ctx)
    machine = tools.store.change_machine(
        ctx.machine,
        tags=ctx.arguments["tags"],
        notes=ctx.arguments["notes"],
        groups=ctx.arguments["groups"],
        image=ctx.arguments["source"].get("image"),
        profile=ctx.arguments["source"].get("profile"),
        managed=True,
    )
    tell = {
        "machine": path_of(machine.name),
        "uuid": machine.uuid,
        "cloud": ctx.cloud,
        "state": machine.state.value,
    }
    return Done({"tell": tell}, f"{machine.name} is {machine.state.value}")
