"""The shapes of bodies that are sent to us, in the OpenAPI document; spec.py is what reads them."""

from __future__ import annotations

from typing import Any

from cloudmasterd.web.schemas import Schema, nullable, text, whole

_NAME = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$"
_WORD = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"
_TAG = r"^[A-Za-z0-9]([A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?$"


def _or_null(schema: Schema) -> Schema:
    return {**schema, "type": [schema["type"], "null"]}


def _list(items: Schema, most: int, description: str) -> Schema:
    return {"type": "array", "items": items, "maxItems": most, "description": description}


def _object(description: str, required: list[str], **properties: Any) -> Schema:
    return {
        "type": "object",
        "description": description,
        "required": required,
        "properties": properties,
        "additionalProperties": False,
    }


_MEMORY = whole("Memory, MiB.", minimum=64, maximum=16777216)
_VCPUS = whole("Virtual CPUs.", minimum=1, maximum=1024)
_AUTOSTART: Schema = {"type": "boolean", "description": "Whether it starts with its cloud instance."}
_TAGS: Schema = {
    "type": "object",
    "description": "Words of the owner's, by key; in a change they replace all there were.",
    "maxProperties": 64,
    "propertyNames": {"pattern": _TAG},
    "additionalProperties": {"type": "string", "maxLength": 255},
}
_NOTES = text("Free text.", maxLength=4096)
_MACHINE_NAME = text(
    "A host name in lower case, e.g. jboss1.example.org; neither an address nor a UUID.",
    pattern=_NAME,
    maxLength=63,
)
_POOL = nullable("string", "A storage pool; null: the default one.", pattern=_WORD)
_KEYS = _list({"type": "string"}, 64, "Public keys, one line each, as in id_ed25519.pub.")

_USER = _object(
    "A user to be made. Passwords are not taken.",
    ["name"],
    name=text("Its name.", pattern="^[a-z_][a-z0-9_-]{0,31}$"),
    ssh_keys=_or_null(_KEYS),
    groups=_or_null(_list({"type": "string"}, 32, "Groups it is in.")),
    sudo=nullable("boolean", "Whether it may become root without a password."),
    shell=nullable("string", "The path of its shell."),
)

_CLOUD_INIT = _object(
    "What cloud-init sets up at the first start.",
    [],
    hostname=nullable("string", "The host name; the name of the machine instance when absent.", maxLength=63),
    users=_or_null(
        _list(
            {"anyOf": [{"type": "string"}, {"$ref": "#/components/schemas/User"}]},
            32,
            "Users: names or objects.",
        )
    ),
    ssh_keys=_or_null(_KEYS),
    user_data=nullable(
        "string", "User data as cloud-init reads it: #cloud-config, #! and so on; at most 64 KiB."
    ),
)

_SOURCES: dict[str, Schema] = {
    "SourceBlank": _object(
        "Empty disks: it boots from the network.", ["kind"], kind=text("The kind.", enum=["blank"])
    ),
    "SourceIso": _object(
        "Empty disks, and an ISO image to boot from.",
        ["kind", "volume"],
        kind=text("The kind.", enum=["iso"]),
        volume=text("The image, e.g. default/boot.iso.", pattern=r"^[^/]+/[^/]+\.[Ii][Ss][Oo]$"),
    ),
    "SourceImage": _object(
        "A copy of an image of the catalogue, set up by cloud-init.",
        ["kind", "image"],
        kind=text("The kind.", enum=["image"]),
        image=text("The name of the image.", pattern=_WORD),
        cloud_init={"anyOf": [{"$ref": "#/components/schemas/CloudInit"}, {"type": "null"}]},
    ),
}

_OPTION: Schema = {"type": "string", "pattern": "^[A-Za-z0-9._:/@,+-]+$"}
_METADATA: Schema = {
    "type": "object",
    "description": "For its kickstart: kernel options of at most 1792 characters in all.",
    "maxProperties": 64,
    "propertyNames": {"pattern": "^[a-z][a-z0-9_]{0,63}$"},
    "additionalProperties": {
        "anyOf": [_OPTION, {"type": "array", "items": _OPTION, "minItems": 1, "maxItems": 64}],
    },
}

_SOURCES["SourceProfile"] = _object(
    "An installation from a profile of the cobbler server, by koan on the cloud instance.",
    ["kind", "profile"],
    kind=text("The kind.", enum=["profile"]),
    profile=text("The name of the profile.", pattern=_WORD),
    metadata=_or_null(_METADATA),
)

_CREATE_PROPERTIES: dict[str, Schema] = {
    "name": _MACHINE_NAME,
    "flavor": nullable("string", "A size that has a name, instead of memory_mb, vcpus and disks."),
    "memory_mb": _or_null(_MEMORY),
    "vcpus": _or_null({**_VCPUS, "default": 1}),
    "disks": _or_null(
        _list(
            {"$ref": "#/components/schemas/Disk"}, 16, "Its disks; one of 10 GB when absent, none when empty."
        )
    ),
    "networks": _or_null(
        _list({"type": "string", "pattern": _WORD}, 16, 'One interface in each; ["default"] when absent.')
    ),
    "firmware": nullable("string", "The best there is when absent.", enum=["bios", "uefi", None]),
    "source": {
        "anyOf": [*({"$ref": f"#/components/schemas/{name}"} for name in _SOURCES), {"type": "null"}],
        "description": "What it begins with; blank when absent.",
    },
    "tags": _or_null(_TAGS),
    "notes": _or_null(_NOTES),
    "autostart": _or_null({**_AUTOSTART, "default": False}),
    "start": nullable("boolean", "Whether it is started once it is made.", default=True),
    "cloud": nullable("string", "The cloud instance it must be on; any when absent."),
    "groups": _or_null(
        _list(
            {"type": "string", "pattern": "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"},
            16,
            "No two machine instances of one of these groups are placed on one cloud instance.",
        )
    ),
    "arch": nullable(
        "string",
        "The architecture it needs.",
        enum=["x86_64", "aarch64", "ppc64le", "s390x", "riscv64", None],
    ),
}

REQUEST_SCHEMAS: dict[str, Schema] = {
    "MachineCreate": _object("A machine instance to be made.", ["name"], **_CREATE_PROPERTIES),
    "PlacementRequest": _object("A machine instance that could be made.", [], **_CREATE_PROPERTIES),
    "Disk": _object(
        "A disk to be made.",
        ["size_gb"],
        size_gb=whole("Its size, GiB.", minimum=1, maximum=65536),
        pool=_POOL,
    ),
    "CloudInit": _CLOUD_INIT,
    "User": _USER,
    **_SOURCES,
    "MachineChange": {
        **_object(
            "What is to become different; what is absent stays.",
            [],
            memory_mb=_MEMORY,
            vcpus=_VCPUS,
            autostart=_AUTOSTART,
            tags=_TAGS,
            notes=_NOTES,
            name={**_MACHINE_NAME, "description": "A new name; only while it is off."},
        ),
        "minProperties": 1,
    },
    "CloudChange": {
        **_object(
            "What is to become different; what is absent stays.",
            [],
            maintenance={"type": "boolean", "description": "Whether it takes no new machine instances."},
            maintenance_reason=text("Why, in one line.", maxLength=200),
            reserve_mb=nullable(
                "integer",
                "Memory kept for the cloud instance itself, MiB; null: as configured.",
                minimum=0,
                maximum=16777216,
            ),
            tags=_TAGS,
            notes=_NOTES,
        ),
        "minProperties": 1,
    },
    "CloudRebuild": _object(
        "From what a cloud instance is installed anew, and who may be lost with it.",
        [],
        profile=nullable(
            "string",
            "A cobbler profile; null: the one of the configuration, else the one it was last installed from.",
            pattern=_WORD,
        ),
        lose=_list(
            {"type": "string"},
            1000,
            "The names or UUIDs of exactly all machine instances that live there: they are lost.",
        ),
        metadata=_METADATA,
        reason=text("Why, in one line.", maxLength=200),
    ),
}
