"""What grubby prints."""

from __future__ import annotations

from genome_replace_self.bootloader import Entry, match_entry, parse_info

# As Fedora's grubby prints it; the second entry is of the old kind, the third has no kernel.
INFO = """index=0
kernel="/boot/vmlinuz-6.12.0-1.x86_64"
args="ro rhgb quiet crashkernel=1G-4G:192M,4G-64G:256M"
root="/dev/mapper/fedora-root"
initrd="/boot/initramfs-6.12.0-1.x86_64.img $tuned_initrd"
title="Fedora Linux (6.12.0-1.x86_64) 42 (Server Edition)"
id="0123-6.12.0-1.x86_64"
index=1
kernel=/boot/vmlinuz-2.6.32
args="ro"
root=/dev/sda1
initrd=/boot/initramfs-2.6.32.img
title=CentOS
index=2
non linux entry
"""


def test_entries_are_read_whatever_kind_grubby_is() -> None:
    first, second = parse_info(INFO)
    assert first == Entry(
        index=0, kernel="/boot/vmlinuz-6.12.0-1.x86_64",
        args="ro rhgb quiet crashkernel=1G-4G:192M,4G-64G:256M",
        initrd="/boot/initramfs-6.12.0-1.x86_64.img $tuned_initrd",
        title="Fedora Linux (6.12.0-1.x86_64) 42 (Server Edition)", id="0123-6.12.0-1.x86_64",
    )  # fmt: skip
    assert second == Entry(1, "/boot/vmlinuz-2.6.32", "ro", "/boot/initramfs-2.6.32.img", "CentOS")


def test_junk_is_no_entry() -> None:
    assert parse_info("The param ALL is incorrect\nkernel=x\nindex=zero\nkernel=y\n") == []


def test_an_entry_is_found_again_although_its_number_has_changed() -> None:
    noted = Entry(0, "/boot/a", title="A", id="1-a")
    rescue = Entry(0, "/boot/a", title="A, with debugging", id="1-a~debug")
    moved = Entry(3, "/boot/a", title="A", id="1-a")
    assert match_entry(noted, [rescue, moved]) == moved
    old_grubby = Entry(0, "/boot/a", title="A")
    other, same = Entry(5, "/boot/a", title="B"), Entry(6, "/boot/a", title="A")
    assert match_entry(old_grubby, [other, same]) == same
    assert match_entry(noted, [Entry(7, "/boot/a", title="C", id="2")]) == Entry(
        7, "/boot/a", title="C", id="2"
    )
    assert match_entry(noted, [Entry(1, "/boot/b", title="B", id="1-b")]) is None
