/* Semihosting for AArch32 and AArch64, release 3.0: the operations by number. */
#include "semihosting.h"

#include <stdint.h>
#include <string.h>

enum { SYS_OPEN = 0x01, SYS_CLOSE = 0x02, SYS_WRITE = 0x05, SYS_READ = 0x06, SYS_EXIT = 0x18 };

#define APPLICATION_EXIT 0x20026u
#define RUN_TIME_ERROR 0x20023u

static int call(int operation, uintptr_t argument)
{
    register int r0 __asm__("r0") = operation;
    register uintptr_t r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

int semihosting_open(const char *name, semihosting_mode mode)
{
    const uintptr_t arguments[3] = {(uintptr_t)name, (uintptr_t)mode, strlen(name)};
    return call(SYS_OPEN, (uintptr_t)arguments);
}

int semihosting_read(int handle, void *to, size_t size)
{
    const uintptr_t arguments[3] = {(uintptr_t)handle, (uintptr_t)to, size};
    return call(SYS_READ, (uintptr_t)arguments) == 0;
}

int semihosting_write(int handle, const void *from, size_t size)
{
    const uintptr_t arguments[3] = {(uintptr_t)handle, (uintptr_t)from, size};
    return call(SYS_WRITE, (uintptr_t)arguments) == 0;
}

void semihosting_close(int handle)
{
    const uintptr_t arguments[1] = {(uintptr_t)handle};
    (void)call(SYS_CLOSE, (uintptr_t)arguments);
}

_Noreturn void semihosting_exit(int status)
{
    for (;;) {
        (void)call(SYS_EXIT, status == 0 ? APPLICATION_EXIT : RUN_TIME_ERROR);
    }
}
