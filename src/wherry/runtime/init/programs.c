/* What the kernel opens by itself for a program that is executed: see `_interpreter` in observer.py. */
#include <elf.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "programs.h"

#define SCRIPT_LINE 256   /* BINPRM_BUF_SIZE */
#define MOST_HEADERS 73   /* that fit into a page: the kernel takes 64 kB of them, and no program has as many */

/* `length` bytes that are to be one name. */
static enum found name_of(const char *start, size_t length, char *name)
{
    if (length >= LONGEST || memchr(start, 0, length))
        return ODD;
    memcpy(name, start, length);
    name[length] = 0;
    return length ? FOUND : NONE;
}

/* The first word behind "#!", of a line that ends with a newline, a zero, or what is read of it. */
static enum found of_script(const char *line, size_t size, char *name)
{
    size_t from = 2, to;

    while (from < size && (line[from] == ' ' || line[from] == '\t'))
        from++;
    for (to = from; to < size && line[to] && !strchr(" \t\n", line[to]); to++)
        ;
    return name_of(line + from, to - from, name);
}

/* PT_INTERP (elf(5)) of a program of 64 bits and this machine's byte order. */
static enum found of_elf(int file, const char *start, size_t size, char *name)
{
    Elf64_Phdr table[MOST_HEADERS];
    Elf64_Ehdr header;
    ssize_t read;

    if (size < sizeof header)
        return NONE;
    if (start[EI_CLASS] != ELFCLASS64)
        return ODD;
    memcpy(&header, start, sizeof header);
    if (header.e_phentsize != sizeof *table || header.e_phnum > MOST_HEADERS)
        return ODD;
    read = pread(file, table, header.e_phnum * sizeof *table, (off_t)header.e_phoff);
    if (read != (ssize_t)(header.e_phnum * sizeof *table))
        return ODD;
    for (unsigned at = 0; at < header.e_phnum; at++) {
        char text[LONGEST];
        size_t length = table[at].p_filesz;

        if (table[at].p_type != PT_INTERP)
            continue;
        if (length > sizeof text)
            return ODD;
        read = pread(file, text, length, (off_t)table[at].p_offset);
        if (read < 0)
            return ODD;
        length = (size_t)read;
        while (length && !text[length - 1])
            length--;
        return name_of(text, length, name);
    }
    return NONE;
}

enum found interpreter_of(int file, char *name)
{
    char start[SCRIPT_LINE];
    ssize_t read = pread(file, start, sizeof start, 0);
    const char *end;

    if (read < 0)
        return errno == EISDIR ? NONE : ODD;
    if (read >= 2 && !memcmp(start, "#!", 2))
        return of_script(start, (size_t)read, name);
    if (read >= SELFMAG && !memcmp(start, ELFMAG, SELFMAG))
        return of_elf(file, start, (size_t)read, name);
    end = memchr(start, '\n', (size_t)read);
    return memchr(start, 0, end ? (size_t)(end - start) : (size_t)read) ? ODD : NONE; /* a shell reads it itself */
}
