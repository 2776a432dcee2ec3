"""The helper process of the built-in runtime, and what becomes of its children.

It runs apart from wherry, as `python -I -S -E` with this folder's parent on its path: standard library and
ctypes only, relative imports only, and of the standard library only what loads in no time (12 ms in all).

    zygote.py   the helper: takes requests from wherry, forks a child for each, reports how it ended
    child.py    the child: from a fresh fork in new namespaces to the command's first instruction
    rootfs.py   its mounts, devices and the change of root
    emulator.py registers what executes another machine's programs
    process.py  its user, capabilities, terminal, and the look-up of the command
    supervisor.py  instead of all that: crun or runc, and what they leave to a parent
    listener.py  beside a container whose calls are heard: observer.py puts down what they look at, helped
                 by programs.py and hearing.py (hearing.c and programs.c, where they were compiled),
    notifier.py  answers for the kernel where there is a single id, with credentials.py,
                 targets.py, makers.py and memory.py
    channel.py  what a child says to wherry
    linux.py    the system calls that the os module lacks
"""
