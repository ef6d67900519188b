/* What the files of the check guest share. One file looks at one part of the hand-over. */
#ifndef CHECK_H
#define CHECK_H

#include "layout.h"

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

/* processor.c */
static inline void outb(u16 port, u8 v) { asm volatile("outb %0, %1" : : "a"(v), "Nd"(port)); }
static inline u8 inb(u16 port) { u8 v; asm volatile("inb %1, %0" : "=a"(v) : "Nd"(port)); return v; }
static inline u64 rdtsc(void) { u64 v; asm volatile("rdtsc" : "=A"(v)); return v; }
static inline void pause(void) { asm volatile("pause" : : : "memory"); }
static inline u32 load(u32 addr) { return *(volatile u32 *)addr; }
static inline void store(u32 addr, u32 v) { *(volatile u32 *)addr = v; }
struct cpuid { u32 a, b, c, d; };
struct cpuid cpuid(u32 leaf);
int rdmsr(u32 msr, u64 *v);		/* 0: the processor refused */
int wrmsr(u32 msr, u64 v);
extern int undefined_loop;
_Noreturn void stop(void);
void check_processor(void);

/* entry.S */
extern u32 found_ebx, found_esp, found_cr0, found_cr4, found_eflags, found_segments, found_dirty;
extern u8 image[], image_end[], trampoline[], trampoline_end[];

/* tap.c: output on COM1. point() prints one line of TAP; the others give it its reasons. */
void serial_open(void);
void print(const char *format, ...);	/* %s, %d (u32), %x (u32), %X (u64), %c */
void flush(void);
void silence(int on);
void point(const char *title, u32 found, u32 expected);
void point64(const char *title, u64 found, u64 expected);
void good(const char *title);
void bad(const char *title, const char *format, u64 found, const char *expected);
void skip(const char *title, const char *reason);
void end_points(void);

/* startinfo.c: layout of Xen's arch-x86/hvm/start_info.h */
#define START_MAGIC 0x336ec578
#define MAP_MAX 126			/* Linux copies the map into a table of 128 and adds entries of its own */
enum { RAM = 1, RESERVED, ACPI, NVS, UNUSABLE, DISABLED, PMEM };
struct start_info {
	u32 magic, version, flags, nr_modules;
	u64 modlist, cmdline, rsdp, memmap;
	u32 memmap_entries, reserved;
};
struct module { u64 addr, size, cmdline, reserved; };
struct map_entry { u64 addr, size; u32 type, reserved; };
extern const struct start_info *start_info;	/* 0 when there is none to read */
void start_info_open(void);
int in_type(u64 addr, u64 size, u32 type);	/* lies whole in one run of entries of this type */
int is_free(u32 addr, u32 size);		/* RAM that nothing lies in */
u32 free_page(void);			/* a page of RAM below 1 MiB that nothing lies in, or 0 */
void check_start_info(void);
void check_map(void);
void check_modules(void);

/* cmdline.c */
void cmdline_open(void);
const char *arg(const char *name);	/* behind "name=", or behind a bare "name"; 0 when absent */
u64 arg_number(const char *name, u64 absent);	/* decimal or 0x…; sizes may end in K, M or G */
int arg_is(const char *name, const char *value);
u32 sum(const u8 *p, u32 size);		/* Sum in check.go */
void check_cmdline(void);

/* state.c */
void check_state(void);
void check_task(void);

/* acpi.c: what the other checks learn from the tables, with the usual values where a table is missing */
struct gas { u8 space, width, offset, access; u64 addr; } __attribute__((packed));
extern u32 cpu_ids[MAX_CPUS], cpu_count, ioapic_addr, ioapic_gsi, com1_gsi, com1_flags;
extern struct gas sleep_control, reset_register;
extern u8 reset_value, sleep_type;
void check_acpi(void);

/* apic.c */
void apic_open(void);
u32 apic_read(u32 reg);
void apic_write(u32 reg, u32 v);
void apic_send(u32 id, u32 command);
void check_smp(void);
void check_timer(void);

/* beyond.c */
void check_beyond(void);

/* serial.c */
void on_serial(void);
void check_serial(void);
void spew(u32 count);
void echo(void);

/* end.c */
_Noreturn void end(void);

#endif
