"""A process in a root filesystem: how it is described, and what executes it.

spec.py     what to run: pure values              users.py    docker's rules for USER
bundle.py   the same as an OCI config.json        hostca.py   the host's CA bundle, proxy variables
modes.py    which namespaces of our own           mounts.py   mount points made for a step, and removed again
idmap.py    user namespaces
native.py   the built-in runtime; its helper process is the package init/
oci.py      crun and runc
"""
