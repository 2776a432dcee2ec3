"""The table of commands: all that `wherry --help` and the choice of a module need.

A module `wherry.cli.<module>` has `register(parser)` and `run(args) -> int`; it is imported only when its
command is called. `args.words` are the words by which it was called: `("image", "prune")`.
"""

from __future__ import annotations

from wherry.base.tuples import NamedTuple


class Command(NamedTuple):
    module: str
    help: str


GROUPS: dict[str, dict[str, Command]] = {
    "Build": {
        "build": Command("build", "Build an image from a Dockerfile"),
        "explain": Command("explain", "Say why the steps of a build ran, and what they read"),
        "debug": Command("debug", "Enter a step that failed, or any step of a build"),
        "bootstrap": Command("bootstrap", "Make a base image from the distribution's own packages"),
    },
    "Images": {
        "images": Command("images", "List images"),
        "history": Command("history", "Show the history of an image"),
        "inspect": Command(
            "inspect", "Show all that is known about images, containers, networks and volumes"
        ),
        "tag": Command("tag", "Give an image another name"),
        "rmi": Command("rmi", "Remove one or more images"),
        "squash": Command("squash", "Merge the layers of an image into one"),
        "rebase": Command("rebase", "Move the layers of an image to another base"),
        "save": Command("save", "Save one or more images to a tar archive"),
        "load": Command("load", "Load images from a tar archive"),
        "import": Command("importing", "Make an image of the files in a tar archive"),
        "export": Command("export", "Write the files of a container or an image to a tar archive"),
    },
    "Registries": {
        "pull": Command("pull", "Download an image from a registry"),
        "push": Command("push", "Upload an image to a registry"),
        "copy": Command("copy", "Copy an image between registries, layouts, archives and the store"),
        "ls": Command("ls", "List the tags of a repository"),
        "referrers": Command("referrers", "List the signatures and other artifacts that refer to an image"),
        "login": Command("login", "Log in to a registry"),
        "logout": Command("logout", "Log out from a registry"),
    },
    "Containers": {
        "run": Command("run", "Run a command in a new container"),
        "create": Command("create", "Create a container without starting it"),
        "ps": Command("ps", "List containers"),
        "logs": Command("logs", "Show the output of a container"),
        "stats": Command("stats", "Show what containers use of processors, memory, network and disks"),
        "top": Command("top", "Show the processes of a container"),
        "exec": Command("exec", "Run another command in a running container"),
        "attach": Command("attach", "Attach this terminal to a running container"),
        "port": Command("port", "Show where a container's ports are published"),
        "start": Command("start", "Start one or more containers that do not run"),
        "stop": Command("stop", "Stop one or more running containers"),
        "restart": Command("restart", "Stop one or more containers, and start them"),
        "pause": Command("pause", "Stop all processes of one or more containers where they are"),
        "unpause": Command("unpause", "Let the processes of paused containers go on"),
        "kill": Command("kill", "Send a signal to one or more running containers"),
        "wait": Command("wait", "Wait until containers have ended, and print their exit codes"),
        "rename": Command("rename", "Give a container another name"),
        "rm": Command("rm", "Remove one or more containers"),
        "cp": Command("cp", "Copy files and folders into a container, or out of one"),
        "diff": Command("diff", "List what a container changed in its image"),
        "commit": Command("commit", "Make an image of what a container has become"),
    },
    "Tools": {
        "parse": Command("parse", "Print the syntax of a Dockerfile as JSON"),
        "ignore-check": Command("ignore_check", "Print which paths an ignore file keeps"),
        "expand": Command("expand", "Expand a word as Dockerfile instructions do"),
    },
    "System": {
        "prune": Command("prune", "Remove unused images and build cache"),
        "events": Command("events", "Show what happens to containers, images, volumes and networks"),
        "info": Command("info", "Show the store, the mode and what this machine offers"),
        "version": Command("version", "Show the version of wherry"),
    },
}

COMMANDS = {name: command for group in GROUPS.values() for name, command in group.items()}

FAMILIES: dict[str, tuple[str, dict[str, Command]]] = {
    "image": (
        "Manage images",
        {
            "build": COMMANDS["build"],
            "history": COMMANDS["history"],
            "import": COMMANDS["import"],
            "inspect": Command("inspect", "Show all that is known about images, as JSON"),
            "load": COMMANDS["load"],
            "ls": COMMANDS["images"],
            "prune": Command("prune", "Remove unused images"),
            "pull": COMMANDS["pull"],
            "push": COMMANDS["push"],
            "rm": COMMANDS["rmi"],
            "rebase": COMMANDS["rebase"],
            "save": COMMANDS["save"],
            "squash": COMMANDS["squash"],
            "tag": COMMANDS["tag"],
        },
    ),
    "container": (
        "Manage containers",
        {
            "attach": COMMANDS["attach"],
            "commit": COMMANDS["commit"],
            "cp": COMMANDS["cp"],
            "create": COMMANDS["create"],
            "diff": COMMANDS["diff"],
            "exec": COMMANDS["exec"],
            "export": COMMANDS["export"],
            "inspect": Command("inspect", "Show all that is known about containers, as JSON"),
            "kill": COMMANDS["kill"],
            "logs": COMMANDS["logs"],
            "ls": COMMANDS["ps"],
            "pause": COMMANDS["pause"],
            "port": COMMANDS["port"],
            "prune": Command("containerprune", "Remove the containers that do not run"),
            "rename": COMMANDS["rename"],
            "restart": COMMANDS["restart"],
            "rm": COMMANDS["rm"],
            "run": COMMANDS["run"],
            "start": COMMANDS["start"],
            "stats": COMMANDS["stats"],
            "stop": COMMANDS["stop"],
            "top": COMMANDS["top"],
            "unpause": COMMANDS["unpause"],
            "wait": COMMANDS["wait"],
        },
    ),
    "builder": (
        "Manage builds",
        {
            "build": COMMANDS["build"],
            "debug": COMMANDS["debug"],
            "explain": COMMANDS["explain"],
            "prune": Command("prune", "Remove build cache"),
        },
    ),
    "cache": (
        "Manage the build cache",
        {
            "du": Command("cache.du", "Show what the build cache takes on the disk"),
            "ls": Command("cache.ls", "List the results of steps"),
            "prune": Command("prune", "Remove build cache"),
            "tree": Command("cache.tree", "Show which results stand on which"),
        },
    ),
    "manifest": (
        "Make one name of images for several platforms",
        {
            "annotate": Command("manifest.annotate", "Say which platform an image of a list is for"),
            "create": Command("manifest.create", "Begin a list of images that will be one index"),
            "inspect": Command("manifest.inspect", "Show a manifest or an index"),
            "push": Command("manifest.push", "Push a list as an index, with its images"),
            "rm": Command("manifest.rm", "Forget lists"),
        },
    ),
    "network": (
        "Manage networks of containers",
        {
            "connect": Command("network.connect", "Connect a container to a network"),
            "create": Command("network.create", "Create a network for containers to find each other"),
            "disconnect": Command("network.disconnect", "Disconnect a container from a network"),
            "inspect": Command("network.inspect", "Show all that is known about networks, as JSON"),
            "ls": Command("network.ls", "List networks"),
            "prune": Command("network.prune", "Remove the networks that no container belongs to"),
            "rm": Command("network.rm", "Remove one or more networks"),
        },
    ),
    "volume": (
        "Manage volumes",
        {
            "create": Command("volume.create", "Create a volume"),
            "inspect": Command("volume.inspect", "Show all that is known about volumes, as JSON"),
            "ls": Command("volume.ls", "List volumes"),
            "prune": Command("volume.prune", "Remove the volumes that no container has"),
            "rm": Command("volume.rm", "Remove one or more volumes"),
        },
    ),
    "system": (
        "Manage wherry",
        {
            "df": Command("df", "Show how much disk is used"),
            "events": COMMANDS["events"],
            "info": COMMANDS["info"],
            "prune": COMMANDS["prune"],
        },
    ),
}
"""docker's two-word forms: `wherry image ls`."""

SYNONYMS = {"list": "ls", "remove": "rm", "ps": "ls"}
"""Second words that docker takes as well."""


def find(words: list[str]) -> tuple[Command, int] | None:
    """The command that `words` begin with, and how many of them name it."""
    if words[0] in COMMANDS:
        return COMMANDS[words[0]], 1
    if words[0] in FAMILIES and len(words) > 1:
        members = FAMILIES[words[0]][1]
        command = members.get(words[1]) or members.get(SYNONYMS.get(words[1], ""))
        return (command, 2) if command else None
    return None
