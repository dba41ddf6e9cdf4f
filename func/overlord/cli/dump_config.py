"""`func SPEC dump_config`: which settings, files and certificate an overlord here works with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from func.overlord.cli.context import OK, Context, parser
from func.overlord.cli.output import add_json, print_json
from func.overlord.credentials import describe_own
from func.overlord.local import LOCAL

SUMMARY = "show the settings and the certificate in use"


def run(context: Context, words: Sequence[str]) -> int:
    """Print what holds after overlord.conf, its defaults and the options given."""
    options = parser("dump_config", "Show the settings and the certificate that calls from here go out with.")
    add_json(options)
    wishes = options.parse_args(words)
    with context.client() as client:
        own = describe_own(client.overlord_config, client.certmaster_config)
        settings = {
            field.name: _plain(getattr(client.overlord_config, field.name))
            for field in fields(client.overlord_config)
        }
        timeout_s = client.timeout_s
    shown: dict[str, Any] = {
        "key file": str(own.files.key_file),
        "cert file": str(own.files.cert_file),
        "ca file": str(own.files.ca_file),
        "cert dn": own.common_name,
        "certificate hash": own.subject_hash,
        "certificate expires": own.expires_at.isoformat(),
        "timeout": timeout_s,
        "local modules": sorted(LOCAL),
    }
    if wishes.json:
        print_json({"config": settings, **{name.replace(" ", "_"): value for name, value in shown.items()}})
        return OK
    print("config:")
    for name, value in settings.items():
        print(f"\t{name} = {value}")
    for name, value in shown.items():
        print(f"{name}: {', '.join(value) if isinstance(value, list) else value}")
    return OK


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value
