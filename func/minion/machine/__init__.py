"""The verbs of the wire module `machine`: arguments checked, XML built, libvirt asked, one duty a file."""
