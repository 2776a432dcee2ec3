/* See programs.c. */
#define LONGEST 4096 /* PATH_MAX: what a name takes with its zero, and the longest target of a link in /proc */

enum found { NONE, FOUND, ODD };

/* The name of what is opened for the program `file`, of at most LONGEST bytes with its zero. ODD: the file is
 * not as programs are, and is left to Python. */
enum found interpreter_of(int file, char *name);
