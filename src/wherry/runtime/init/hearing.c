/* The listener's inner loop (listener.py, observer.py) for the calls that are plain: a name is read, put down
 * if it is a new one, and the call goes on. All others are left to Python, which works alone where this was
 * not compiled. What the two put down is the same.
 *
 * The names come from the memory of processes that nobody trusts. They are bytes up to a zero, of at most
 * PATH_MAX, read within one page at a time; nothing is done with them but to compare and keep them.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "programs.h"

#define PUBLIC __attribute__((visibility("default")))
#define FORM 3       /* of the interface, as hearing.py knows it: another one is not used */
#define PAGE 4096    /* the smallest there is; what is read ends with it, as the next one need not be there */
#define USUAL 256    /* most names are shorter */
#define NOT_FOLLOWED 3
#define FACE 1
#define CONTENT 4
#define ALL 7
#define DEEPEST_SCRIPT 5

/* A row of wherry/runtime/observed.py, as hearing.py packs it; places of arguments are -1 where there is none. */
struct call {
    int8_t path, folder, flags, second_folder, second_path;
    uint8_t looks, follows, effect;
    uint32_t no_follow; /* bits of the flags: a link at the end is not followed, instead of `follows` */
    uint32_t odd;       /* bits of the flags that make the call Python's */
};

enum effect { LEFT_TO_PYTHON, LOOKED, OPENED, MADE, LINKED, MOVED, REMOVED, EXECUTED };

/* Bytes that grow. */
struct text {
    char *bytes;
    size_t length, room;
};

/* Where a name is in `seen`. */
struct slot {
    uint32_t hash, length; /* of length 0: free */
    size_t at;
};

struct hearing {
    int listener, proc;
    bool polls;
    uint32_t architecture, calls;
    const struct call *table;
    struct slot *slots;
    size_t room, used;   /* of `slots`; `room` is a power of two */
    struct text seen;    /* of each name: what was looked at (observer.py, `seen`), the name, a zero */
    struct text changes; /* of each: its effect, a name, a zero, the other name, a zero */
};

/* A name as the process said it, and the whole one. */
struct path {
    size_t length;
    char bytes[2 * LONGEST + 1];
};

PUBLIC const int hearing_form = FORM;

PUBLIC struct hearing *hearing_new(int listener, int proc, bool polls, uint32_t architecture,
                                   const struct call *table, uint32_t calls)
{
    struct hearing *all = calloc(1, sizeof *all);

    if (!all)
        return NULL;
    all->room = 4096;
    all->slots = calloc(all->room, sizeof *all->slots);
    if (!all->slots) {
        free(all);
        return NULL;
    }
    all->listener = listener;
    all->proc = proc;
    all->polls = polls;
    all->architecture = architecture;
    all->table = table;
    all->calls = calls;
    return all;
}

/* What was put down */

static bool extend(struct text *text, size_t more)
{
    size_t room = text->room ? text->room : 1 << 16;
    char *bytes;

    while (room - text->length < more)
        room *= 2;
    if (room == text->room)
        return true;
    bytes = realloc(text->bytes, room);
    if (!bytes)
        return false;
    text->bytes = bytes;
    text->room = room;
    return true;
}

static void append(struct text *text, const char *bytes, size_t length)
{
    memcpy(text->bytes + text->length, bytes, length);
    text->length += length;
    text->bytes[text->length++] = 0;
}

static uint32_t hash_of(const struct path *path)
{
    uint64_t hash = 0xcbf29ce484222325; /* FNV-1a */

    for (size_t at = 0; at < path->length; at++)
        hash = (hash ^ (unsigned char)path->bytes[at]) * 0x100000001b3;
    return (uint32_t)(hash ^ hash >> 32);
}

static bool grow(struct hearing *all)
{
    size_t room = all->room * 2;
    struct slot *slots = calloc(room, sizeof *slots);

    if (!slots)
        return false;
    for (size_t at = 0; at < all->room; at++) {
        const struct slot *slot = &all->slots[at];
        size_t place = slot->hash & (room - 1);

        if (!slot->length)
            continue;
        while (slots[place].length)
            place = (place + 1) & (room - 1);
        slots[place] = *slot;
    }
    free(all->slots);
    all->slots = slots;
    all->room = room;
    return true;
}

/* False where there is no memory for it. */
static bool see(struct hearing *all, const struct path *path, unsigned looks)
{
    uint32_t hash = hash_of(path);
    size_t place;

    if (all->used * 2 > all->room && !grow(all))
        return false;
    for (place = hash & (all->room - 1); all->slots[place].length; place = (place + 1) & (all->room - 1)) {
        const struct slot *slot = &all->slots[place];

        if (slot->hash == hash && slot->length == path->length &&
            !memcmp(all->seen.bytes + slot->at + 1, path->bytes, path->length)) {
            all->seen.bytes[slot->at] |= (char)looks;
            return true;
        }
    }
    if (!extend(&all->seen, path->length + 2))
        return false;
    all->slots[place] = (struct slot){ hash, (uint32_t)path->length, all->seen.length };
    all->used++;
    all->seen.bytes[all->seen.length++] = (char)looks;
    append(&all->seen, path->bytes, path->length);
    return true;
}

static bool change(struct hearing *all, enum effect effect, const struct path *path, const struct path *other)
{
    if (!extend(&all->changes, path->length + other->length + 3))
        return false;
    all->changes.bytes[all->changes.length++] = (char)effect;
    append(&all->changes, path->bytes, path->length);
    append(&all->changes, other->bytes, other->length);
    return true;
}

/* What was looked at, from the beginning. */
PUBLIC size_t hearing_seen(struct hearing *all, const char **bytes)
{
    *bytes = all->seen.bytes;
    return all->seen.length;
}

/* The changes since the last time; they are there until the next call. */
PUBLIC size_t hearing_changes(struct hearing *all, const char **bytes)
{
    size_t length = all->changes.length;

    *bytes = all->changes.bytes;
    all->changes.length = 0;
    return length;
}

/* Names */

/* The kernel takes for no name either what begins here: nothing can be mapped so low. */
static bool is_nothing(uint64_t address)
{
    return address < PAGE;
}

/* False where there is no end, or where the memory cannot be read. */
static bool read_name(pid_t pid, uint64_t address, struct path *name)
{
    name->length = 0;
    while (name->length < LONGEST) {
        size_t size = PAGE - address % PAGE, most = name->length ? LONGEST - name->length : USUAL;
        struct iovec ours = { name->bytes + name->length, size < most ? size : most };
        struct iovec theirs = { (void *)(uintptr_t)address, ours.iov_len };
        ssize_t count = process_vm_readv(pid, &ours, 1, &theirs, 1, 0);
        const char *end;

        if (count <= 0)
            return false;
        end = memchr(ours.iov_base, 0, (size_t)count);
        if (end) {
            name->length = (size_t)(end - name->bytes);
            return true;
        }
        name->length += (size_t)count;
        address += (size_t)count;
    }
    return false;
}

/* Put the folder before `path` that it starts from. False where that cannot be told for sure. */
static bool complete(const struct hearing *all, pid_t pid, uint32_t folder, struct path *path)
{
    static const char deleted[] = " (deleted)";
    const size_t mark = sizeof deleted - 1;
    char link[32], base[LONGEST];
    ssize_t read;
    size_t length;

    if (path->length && path->bytes[0] == '/')
        return true;
    if (folder == (uint32_t)AT_FDCWD)
        snprintf(link, sizeof link, "%d/cwd", pid);
    else
        snprintf(link, sizeof link, "%d/fd/%u", pid, folder);
    read = readlinkat(all->proc, link, base, sizeof base);
    if (read <= 0)
        return false;
    length = (size_t)read;
    if (length >= mark && !memcmp(base + length - mark, deleted, mark))
        return false; /* it was removed, or is called so */
    if (path->length) {
        memmove(path->bytes + length + 1, path->bytes, path->length);
        path->bytes[length] = '/';
        path->length++;
    }
    memcpy(path->bytes, base, length);
    path->length += length;
    return true;
}

/* Calls */

static uint32_t argument(const struct seccomp_notif *asked, int place, uint32_t otherwise)
{
    return place >= 0 ? (uint32_t)asked->data.args[place] : otherwise;
}

/* What the name has become, for those who look names up later: as `Observer._rename`. False as `put_down`. */
static bool rename_it(struct hearing *all, const struct seccomp_notif *asked, const struct call *call,
                      const struct path *path)
{
    static struct path other;
    pid_t pid = (pid_t)asked->pid;

    other.length = 0;
    if (call->second_path >= 0 && is_nothing(asked->data.args[call->second_path]))
        return true;
    if (call->second_path >= 0 && !read_name(pid, asked->data.args[call->second_path], &other))
        return false;
    if (call->effect == MOVED) {
        uint32_t folder = argument(asked, call->second_folder, (uint32_t)AT_FDCWD);

        if (!complete(all, pid, folder, &other) || !see(all, &other, ALL << NOT_FOLLOWED))
            return false;
    }
    return change(all, call->effect, path, &other);
}

/* A file as the process sees it, to be read: a descriptor, or -1. `path` is all of a name, from its root on;
 * without one it is the file that `folder` is. */
static int open_of(const struct hearing *all, pid_t pid, const struct path *path, uint32_t folder)
{
    struct open_how how = { .flags = O_RDONLY | O_NONBLOCK | O_CLOEXEC,
                            .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };
    char link[32], name[sizeof path->bytes];
    long root, file;

    if (!path) {
        snprintf(link, sizeof link, "%d/fd/%u", pid, folder);
        return openat(all->proc, link, (int)how.flags);
    }
    snprintf(link, sizeof link, "%d/root", pid);
    root = openat(all->proc, link, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return -1;
    memcpy(name, path->bytes, path->length);
    name[path->length] = 0;
    file = syscall(SYS_openat2, root, name, &how, sizeof how);
    close((int)root);
    return (int)file;
}

/* The interpreter of a script, and the loader of a program, which the kernel opens by itself: as
 * `Observer._execute`, to which everything is left that is not as it usually is. `path` is lost. */
static bool execute(struct hearing *all, pid_t pid, struct path *path, const uint32_t *descriptor)
{
    for (int depth = 0; depth < DEEPEST_SCRIPT; depth++) {
        enum found found;
        int file;

        if (path->length >= 6 && !memcmp(path->bytes, "/proc/", 6))
            return false;
        file = descriptor ? open_of(all, pid, NULL, *descriptor) : open_of(all, pid, path, 0);
        if (file < 0)
            return errno == ENOENT || errno == ENOTDIR;
        found = interpreter_of(file, path->bytes);
        close(file);
        if (found != FOUND)
            return found == NONE;
        path->length = strlen(path->bytes);
        descriptor = NULL;
        if (!complete(all, pid, (uint32_t)AT_FDCWD, path) || !see(all, path, FACE | CONTENT))
            return false;
    }
    return true;
}

/* Put down what a call looks at, as `Observer._put_down`. False where that is left to Python: whatever is not
 * plain, and whatever cannot be read or is in doubt. What was put down before it is put down again then. */
static bool put_down(struct hearing *all, const struct seccomp_notif *asked)
{
    static struct path path;
    const struct call *call = &all->table[asked->data.nr];
    pid_t pid = (pid_t)asked->pid;
    uint32_t flags = argument(asked, call->flags, 0);
    unsigned looks = call->looks;
    uint32_t folder = argument(asked, call->folder, (uint32_t)AT_FDCWD);
    bool follows = call->no_follow ? !(flags & call->no_follow) : call->follows;
    bool is_named;

    if (call->effect == LEFT_TO_PYTHON || flags & call->odd)
        return false;
    path.length = 0;
    if (call->path >= 0 && is_nothing(asked->data.args[call->path]))
        return true;
    if (call->path >= 0 && !read_name(pid, asked->data.args[call->path], &path))
        return false;
    is_named = path.length > 0;
    if (!is_named && call->path >= 0 && call->effect == LOOKED)
        return true; /* fstat(2) and its like: whoever has a descriptor has opened the file */
    if (call->effect == OPENED) {
        bool is_new = (flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL);

        looks = is_new ? FACE : FACE | CONTENT;
        follows = !is_new && !(flags & O_NOFOLLOW);
    }
    if (!complete(all, pid, folder, &path))
        return false;
    if (!see(all, &path, follows ? looks : looks << NOT_FOLLOWED))
        return false;
    if (call->effect == MADE || call->effect == LINKED || call->effect == MOVED)
        return rename_it(all, asked, call, &path);
    if (call->effect == EXECUTED)
        return execute(all, pid, &path, is_named ? NULL : &folder);
    return true;
}

static bool is_known(const struct hearing *all, const struct seccomp_notif *asked)
{
    return asked->data.arch == all->architecture && asked->data.nr >= 0 &&
           (uint32_t)asked->data.nr < all->calls;
}

/* Whether somebody is there who may ask. Waits for a call, or the end, unless `timeout` is 0. */
static bool is_alive(const struct hearing *all, int timeout)
{
    struct pollfd state = { all->listener, POLLIN, 0 };

    while (poll(&state, 1, timeout) < 0)
        if (errno != EINTR && errno != EAGAIN)
            return false;
    return !(state.revents & POLLHUP) || state.revents & POLLIN;
}

/* The next call that Python has to hear and to answer: 1. At the end 0; -1 with errno where receiving fails. */
PUBLIC int hearing_next(struct hearing *all, struct seccomp_notif *asked)
{
    for (;;) {
        struct seccomp_notif_resp answer = { .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE };

        if (all->polls && !is_alive(all, -1))
            return 0;
        memset(asked, 0, sizeof *asked);
        if (ioctl(all->listener, SECCOMP_IOCTL_NOTIF_RECV, asked)) {
            if (errno != ENOENT && errno != EINTR)
                return -1;
            if (!is_alive(all, 0))
                return 0;
            continue; /* who asked was killed */
        }
        if (!is_known(all, asked) || !put_down(all, asked))
            return 1;
        answer.id = asked->id;
        if (ioctl(all->listener, SECCOMP_IOCTL_NOTIF_SEND, &answer) && errno != ENOENT)
            return -1; /* else who asked was killed */
    }
}
