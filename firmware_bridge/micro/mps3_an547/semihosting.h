/* Files of the computer that runs the emulator or the debugger: Arm's semihosting, for tests alone. */
#ifndef SEMIHOSTING_H
#define SEMIHOSTING_H

#include <stddef.h>

typedef enum { SEMIHOSTING_READ = 1, SEMIHOSTING_WRITE = 5 } semihosting_mode;

/* A handle; below 0 if the file cannot be opened. */
int semihosting_open(const char *name, semihosting_mode mode);

/* Whether all of it was read or written. */
int semihosting_read(int handle, void *to, size_t size);
int semihosting_write(int handle, const void *from, size_t size);

void semihosting_close(int handle);

/* Ends the emulator: exit status 0 for 0, otherwise 1. */
_Noreturn void semihosting_exit(int status);

#endif
