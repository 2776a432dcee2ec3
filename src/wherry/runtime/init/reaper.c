/* The first process of a container that was started with --init.
 *
 *     wherry-init [--] COMMAND [ARGUMENT...]
 *
 * It starts the command, passes every signal on to it, takes in the processes that lose their parents, and ends
 * as the command does: with its exit code, or 128 + n for signal n. On a terminal the command is in front.
 *
 * It is executed in root filesystems that it knows nothing of, so it needs no library, not even C's: it makes
 * its system calls itself (Linux on x86-64, arm64 and riscv64).
 */

typedef unsigned long word;

#if defined(__x86_64__)
enum { EXECVE = 59, CLONE = 56, WAIT4 = 61, KILL = 62, EXIT = 231, WRITE = 1, SETPGID = 109, GETPID = 39,
       IOCTL = 16, SIGPROCMASK = 14, SIGTIMEDWAIT = 128 };
#elif defined(__aarch64__) || (defined(__riscv) && __riscv_xlen == 64)
enum { EXECVE = 221, CLONE = 220, WAIT4 = 260, KILL = 129, EXIT = 94, WRITE = 64, SETPGID = 154, GETPID = 172,
       IOCTL = 29, SIGPROCMASK = 135, SIGTIMEDWAIT = 137 };
#else
#error "this machine's system calls are not known here"
#endif

enum { ENOENT = 2, EINTR = 4, EACCES = 13, ENOTDIR = 20 };
enum { SIGCHLD_ = 17, SIGTTIN_ = 21, SIGTTOU_ = 22, BLOCK = 0, SETMASK = 2, NOHANG = 1 };
enum { TIOCSPGRP_ = 0x5410 };
enum { NOT_EXECUTABLE = 126, NOT_FOUND = 127, LONGEST = 4096 };

static long call(word number, word a, word b, word c, word d, word e)
{
#if defined(__x86_64__)
    long result;
    register word r10 __asm__("r10") = d;
    register word r8 __asm__("r8") = e;
    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
                     : "rcx", "r11", "memory");
    return result;
#elif defined(__aarch64__)
    register word x8 __asm__("x8") = number;
    register word x0 __asm__("x0") = a;
    register word x1 __asm__("x1") = b;
    register word x2 __asm__("x2") = c;
    register word x3 __asm__("x3") = d;
    register word x4 __asm__("x4") = e;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
    return (long)x0;
#else
    register word a7 __asm__("a7") = number;
    register word a0 __asm__("a0") = a;
    register word a1 __asm__("a1") = b;
    register word a2 __asm__("a2") = c;
    register word a3 __asm__("a3") = d;
    register word a4 __asm__("a4") = e;
    __asm__ volatile("ecall" : "+r"(a0) : "r"(a7), "r"(a1), "r"(a2), "r"(a3), "r"(a4) : "memory");
    return (long)a0;
#endif
}

static word length(const char *text)
{
    word count = 0;
    while (text[count])
        count++;
    return count;
}

static void say(const char *text)
{
    call(WRITE, 2, (word)text, length(text), 0, 0);
}

static int has_slash(const char *text)
{
    for (; *text; text++)
        if (*text == '/')
            return 1;
    return 0;
}

/* The value of PATH, or of none. */
static const char *search_path(char **environment)
{
    for (; *environment; environment++) {
        const char *item = *environment;
        if (item[0] == 'P' && item[1] == 'A' && item[2] == 'T' && item[3] == 'H' && item[4] == '=')
            return item + 5;
    }
    return "";
}

/* Execute what the name means, as wherry would itself; the errno of the attempt that came nearest. */
static long execute(char **command, char **environment)
{
    const char *name = command[0];
    if (has_slash(name))
        return -call(EXECVE, (word)name, (word)command, (word)environment, 0, 0);
    long nearest = ENOENT;
    for (const char *path = search_path(environment); *path;) {
        char file[LONGEST];
        word used = 0;
        while (*path && *path != ':' && used < LONGEST - 2)
            file[used++] = *path++;
        while (*path && *path != ':')
            path++;
        if (*path == ':')
            path++;
        if (!used)
            file[used++] = '.';
        file[used++] = '/';
        for (const char *letter = name; *letter && used < LONGEST - 1; letter++)
            file[used++] = *letter;
        file[used] = 0;
        long error = -call(EXECVE, (word)file, (word)command, (word)environment, 0, 0);
        if (error != ENOENT && error != ENOTDIR)
            nearest = error;
        if (error != ENOENT && error != ENOTDIR && error != EACCES)
            break;
    }
    return nearest;
}

static void become(char **command, char **environment, const word *mask)
{
    call(SETPGID, 0, 0, 0, 0, 0);
    int own = (int)call(GETPID, 0, 0, 0, 0, 0);
    call(IOCTL, 0, TIOCSPGRP_, (word)&own, 0, 0); /* SIGTTOU, which this would send, is blocked */
    call(SIGPROCMASK, SETMASK, (word)mask, 0, sizeof *mask, 0);
    long error = execute(command, environment);
    int is_absent = error == ENOENT;
    say("exec: \"");
    say(command[0]);
    say(is_absent && !has_slash(command[0]) ? "\": executable file not found in $PATH\n"
        : is_absent                         ? "\": no such file or directory\n"
                                            : "\": cannot be executed\n");
    call(EXIT, is_absent ? NOT_FOUND : NOT_EXECUTABLE, 0, 0, 0, 0);
}

static void end_as(int state)
{
    call(EXIT, (word)(state & 0x7f ? 128 + (state & 0x7f) : state >> 8 & 0xff), 0, 0, 0, 0);
}

__attribute__((used, noreturn)) static void begin(word *stack)
{
    word count = stack[0];
    char **arguments = (char **)(stack + 1);
    char **environment = arguments + count + 1;
    char **command = arguments + 1;
    if (*command && command[0][0] == '-' && command[0][1] == '-' && !command[0][2])
        command++;
    if (!*command) {
        say("usage: wherry-init [--] COMMAND [ARGUMENT...]\n");
        call(EXIT, NOT_EXECUTABLE, 0, 0, 0, 0);
    }
    /* What is blocked is waited for; faults of its own are not. SIGILL, TRAP, ABRT, BUS, FPE, SEGV, SYS */
    word mask = 0, all = ~(word)0;
    int faults[] = {4, 5, 6, 7, 8, 11, 31};
    for (word at = 0; at < sizeof faults / sizeof *faults; at++)
        all &= ~((word)1 << (faults[at] - 1));
    call(SIGPROCMASK, BLOCK, (word)&all, (word)&mask, sizeof all, 0);
    long child = call(CLONE, SIGCHLD_, 0, 0, 0, 0);
    if (child < 0) {
        say("wherry-init: cannot start another process\n");
        call(EXIT, NOT_EXECUTABLE, 0, 0, 0, 0);
    }
    if (!child)
        become(command, environment, &mask);
    for (;;) {
        long number = call(SIGTIMEDWAIT, (word)&all, 0, 0, sizeof all, 0);
        if (number > 0 && number != SIGCHLD_ && number != SIGTTIN_ && number != SIGTTOU_)
            call(KILL, (word)child, (word)number, 0, 0, 0);
        int state;
        long ended;
        while ((ended = call(WAIT4, (word)-1, (word)&state, NOHANG, 0, 0)) > 0)
            if (ended == child)
                end_as(state);
    }
}

#if defined(__x86_64__)
__asm__(".globl _start\n_start: xor %ebp, %ebp\n mov %rsp, %rdi\n and $-16, %rsp\n call begin\n");
#elif defined(__aarch64__)
__asm__(".globl _start\n_start: mov x29, #0\n mov x0, sp\n bl begin\n");
#else
__asm__(".globl _start\n_start: mv a0, sp\n andi sp, sp, -16\n call begin\n");
#endif
