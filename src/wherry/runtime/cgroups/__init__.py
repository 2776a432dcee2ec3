"""Limits of memory and processors: the kernel's cgroups, of version 1, of version 2, or of both at once.

tree.py    where they are           wanted.py   what has to be written in them
group.py   a container's own        (kernel documentation, cgroup-v1/cgroups.rst and cgroup-v2.rst)
"""
