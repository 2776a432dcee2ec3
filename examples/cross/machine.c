#include <stdio.h>
#include <sys/utsname.h>

#if defined(__x86_64__)
#define TARGET "amd64"
#elif defined(__aarch64__)
#define TARGET "arm64"
#endif

int main(void)
{
    struct utsname here;

    if (uname(&here) != 0)
        return 1;
    printf("compiled for %s, running on %s\n", TARGET, here.machine);
    return 0;
}
