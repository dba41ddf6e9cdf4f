"""Read and change libvirt's domain XML as text; no libvirt in here."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

from func.errors import HostError

GRAPHICS_KEYS = ("type", "port", "autoport", "listen", "keymap")


def graphics_of(domain_xml: str) -> dict[str, str]:
    """The attributes of the machine's graphics, Func's way: an absent one is the text `None`."""
    found = dict.fromkeys(GRAPHICS_KEYS, "None")
    found["type"] = "vnc"
    element = _parse(domain_xml).find("./devices/graphics")
    if element is not None:
        found.update(element.attrib)
    return found


def with_graphics(domain_xml: str, graphics_xml: str) -> str:
    """The domain XML with the attributes of one `<graphics .../>` put on its graphics device.

    A machine without graphics gets the device. Raises HostError for anything but one such element.
    """
    wanted = _wanted_graphics(graphics_xml)
    domain = _parse(domain_xml)
    devices = domain.find("devices")
    if devices is None:
        devices = ElementTree.SubElement(domain, "devices")
    element = devices.find("graphics")
    if element is None:
        element = ElementTree.SubElement(devices, "graphics", {"type": "vnc"})
    element.attrib.update(wanted)
    if "port" in wanted and "autoport" not in wanted:
        element.set("autoport", "yes" if wanted["port"] == "-1" else "no")
    if "listen" in wanted:
        # libvirt refuses an attribute that contradicts the listen elements it wrote itself.
        for listen in element.findall("listen"):
            element.remove(listen)
    return ElementTree.tostring(domain, encoding="unicode")


def _wanted_graphics(graphics_xml: str) -> dict[str, str]:
    right = "right is one element such as <graphics type='vnc' port='5901' listen='127.0.0.1'/>"
    element = _parse(graphics_xml)
    if element.tag != "graphics" or not element.attrib:
        raise HostError(f"<{element.tag}> is no graphics element; {right}")
    unknown = sorted(set(element.attrib) - set(GRAPHICS_KEYS))
    if unknown:
        raise HostError(f"graphics: cannot set {', '.join(unknown)}; can set {', '.join(GRAPHICS_KEYS)}")
    return {key: value for key, value in element.attrib.items() if value != "None"}


def _parse(text: str) -> ElementTree.Element:
    if "<!" in text.replace("<!--", ""):
        raise HostError("XML with a DOCTYPE or entities is not accepted")
    try:
        return ElementTree.fromstring(text)  # noqa: S314 - declarations were refused above
    except ElementTree.ParseError as exc:
        raise HostError(f"not well-formed XML: {exc}") from exc
