/* From reset to main on a Cortex-M55. */
#include <stdint.h>

#include "semihosting.h"

extern int main(void);

/* Where the linker script puts them. */
extern uint32_t bss_start;
extern uint32_t bss_end;
extern uint32_t stack_top;

void reset(void);
static void fault(void);

typedef struct {
    const void *stack;
    void (*reset)(void);
    void (*exceptions[14])(void);
} vector_table;

__attribute__((section(".vectors"), used)) static const vector_table vectors = {
    &stack_top,
    reset,
    {fault, fault, fault, fault, fault, fault, fault, fault, fault, fault, fault, fault, fault, fault},
};

/* Coprocessor Access Control Register, Armv8-M Architecture Reference Manual. */
#define CPACR (*(volatile uint32_t *)0xE000ED88u)

__attribute__((noinline)) static void run(void)
{
    semihosting_exit(main());
}

void reset(void)
{
    CPACR |= 0xFu << 20; /* floating point and vectors on: the compiler vectorises loops over integers too */
    __asm__ volatile("dsb\n\tisb");
    for (volatile uint32_t *word = &bss_start; word < &bss_end; ++word) {
        *word = 0;
    }
    run();
}

static void fault(void)
{
    semihosting_exit(1);
}
