"""The OpenAPI document's part about images."""

from __future__ import annotations

from cloudmasterd.web.openapi_parts import (
    CURSOR,
    IF_NONE_MATCH,
    LIMIT,
    READ_PROBLEMS,
    UNCHANGED,
    Node,
    answer,
    body,
    in_path,
    in_query,
    names,
    problems,
)
from cloudmasterd.web.represent import IMAGE_FIELDS
from cloudmasterd.web.schemas import Schema, nullable, page_of, text, whole

_IMAGE = in_path("image", "The name of an image.")
_CHANGE = ("400", "403", "405", "406", "409", "411", "413", "500", "503")
_FORMAT = text("What kind of file it is.", enum=["qcow2", "raw"])
_SHA256 = text("The SHA-256 of the whole file.", pattern="^[0-9a-f]{64}$")
_NOTES = text("Free text.", maxLength=4096)

_LIST: Node = {
    "operationId": "listImages",
    "summary": "Images, by name",
    "parameters": [
        LIMIT,
        CURSOR,
        in_query("fields", names(list(IMAGE_FIELDS)), "Only these keys of each item.", joined=True),
        IF_NONE_MATCH,
    ],
    "responses": {"200": answer("ImageList", "One page."), **UNCHANGED, **problems(*READ_PROBLEMS)},
}

_CREATE: Node = {
    "operationId": "createImage",
    "summary": "Announce an image",
    "description": "Its data follows with PUT /api/v1/images/{image}/data. A corrupt image of that name is"
    " replaced; any other is a conflict.",
    "requestBody": body(
        "ImageCreate",
        {"name": "debian-12", "format": "qcow2", "sha256": "0" * 64, "size_bytes": 444596224},
    ),
    "responses": {
        "201": answer("Image", "It waits for its data.", ("ETag", "Location")),
        **problems(*_CHANGE, "415"),
    },
}

_GET: Node = {
    "operationId": "getImage",
    "summary": "One image",
    "parameters": [IF_NONE_MATCH],
    "responses": {
        "200": answer("Image", "The image as it is now."),
        **UNCHANGED,
        **problems("404", *READ_PROBLEMS),
    },
}

_RECEIVE: Node = {
    "operationId": "sendImageData",
    "summary": "Send a chunk of an image",
    "description": "In order, each at most 4 MiB. One that is there already changes nothing; one that does"
    " not follow is answered 409 with the offset to go on from, which is `received_bytes` of the image. The"
    " last one is answered when size, checksum and header of the whole were checked: 409 when they are not"
    " as announced, and the data is gone then.",
    "parameters": [
        in_query(
            "offset",
            {"type": "integer", "minimum": 0, "maximum": 2**42, "default": 0},
            "Where in the file the chunk begins.",
        )
    ],
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    },
    "responses": {
        "200": answer("Image", "The image as it is now."),
        **problems("404", *_CHANGE, "415"),
    },
}

_DELETE: Node = {
    "operationId": "deleteImage",
    "summary": "Delete an image",
    "description": "409 while an unfinished task is to clone it. Machine instances that were cloned from it"
    " stay: their cloud instances have copies of their own.",
    "responses": {"204": {"description": "It is gone."}, **problems("404", *_CHANGE)},
}

PATHS: dict[str, Node] = {
    "/api/v1/images": {"get": _LIST, "post": _CREATE},
    "/api/v1/images/{image}": {"parameters": [_IMAGE], "get": _GET, "delete": _DELETE},
    "/api/v1/images/{image}/data": {"parameters": [_IMAGE], "put": _RECEIVE},
}

_PROPERTIES: Schema = {
    "name": text("Its name."),
    "format": _FORMAT,
    "sha256": _SHA256,
    "size_bytes": whole("The size of the file."),
    "virtual_size": nullable("integer", "The size of the disk it is, in bytes; null until it is ready."),
    "min_disk_gb": whole("The smallest disk it can be cloned to, GiB."),
    "notes": _NOTES,
    "state": text(
        "corrupt: what came was not what was announced; announce it again.",
        enum=["uploading", "ready", "corrupt"],
    ),
    "received_bytes": whole("How much of the file is there: where the next chunk begins."),
    "error": nullable("string", "Why it is corrupt."),
    "created_at": text("When it was announced (RFC 3339, UTC).", format="date-time"),
}

IMAGE_SCHEMAS: dict[str, Schema] = {
    "Image": {
        "type": "object",
        "description": "A disk image that machine instances are cloned from.",
        "required": list(IMAGE_FIELDS),
        "properties": _PROPERTIES,
    },
    "ImageList": page_of("Image"),
    "ImageCreate": {
        "type": "object",
        "description": "An image to be uploaded.",
        "required": ["name", "format", "sha256", "size_bytes"],
        "properties": {
            "name": text("Its name.", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"),
            "format": _FORMAT,
            "sha256": _SHA256,
            "size_bytes": whole("The size of the file.", minimum=1, maximum=2**42),
            "min_disk_gb": nullable(
                "integer", "The smallest disk that makes sense, GiB.", minimum=0, maximum=65536
            ),
            "notes": {**_NOTES, "type": ["string", "null"]},
        },
        "additionalProperties": False,
    },
}
