"""Texts that do harm where they are taken for anything but text."""

from __future__ import annotations

# Each would run, or break out of where it stands, if one place forgot to escape it.
HARM = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(2)>",
    "\"><svg onload='alert(3)'>",
    "' autofocus onfocus=alert(4) x='",
    "</title><script>alert(5)</script>",
    "javascript:alert(6)",
    "{{7*7}}${8*8}<%9*9%>",
    "--><iframe srcdoc='<script>alert(7)</script>'>",
)
PATHS = ("..%2f..%2fetc%2fpasswd", "%00", "%3Cscript%3Ealert(8)%3C%2Fscript%3E")
