/* What the files of the bench guest share. */
#ifndef BENCH_H
#define BENCH_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

/* Plain moves of one operand: that is what an emulator of device accesses has to know. */
static inline void outb(u16 port, u8 v) { asm volatile("outb %0, %1" : : "a"(v), "Nd"(port)); }
static inline void outl(u16 port, u32 v) { asm volatile("outl %0, %1" : : "a"(v), "Nd"(port)); }
static inline u32 inl(u16 port) { u32 v; asm volatile("inl %1, %0" : "=a"(v) : "Nd"(port)); return v; }
static inline u8 read8(u64 a) { u8 v; asm volatile("movb (%1), %0" : "=a"(v) : "r"(a) : "memory"); return v; }
static inline u16 read16(u64 a) { u16 v; asm volatile("movw (%1), %0" : "=a"(v) : "r"(a) : "memory"); return v; }
static inline u32 read32(u64 a) { u32 v; asm volatile("movl (%1), %0" : "=a"(v) : "r"(a) : "memory"); return v; }
static inline void write8(u64 a, u8 v) { asm volatile("movb %0, (%1)" : : "a"(v), "r"(a) : "memory"); }
static inline void write16(u64 a, u16 v) { asm volatile("movw %0, (%1)" : : "a"(v), "r"(a) : "memory"); }
static inline void write32(u64 a, u32 v) { asm volatile("movl %0, (%1)" : : "a"(v), "r"(a) : "memory"); }
static inline void pause(void) { asm volatile("pause" : : : "memory"); }
static inline void barrier(void) { asm volatile("" : : : "memory"); }
static inline void fence(void) { asm volatile("mfence" : : : "memory"); }
static inline u64 rdtsc(void) { u32 a, d; asm volatile("rdtsc" : "=a"(a), "=d"(d)); return (u64)d << 32 | a; }

/* entry.S */
struct start_info { u32 magic, version, flags, nr_modules; u64 modlist, cmdline, rsdp; };
extern struct start_info *start_info;
extern u32 cpuid_15[3], cpuid_tsc_khz;	/* 0: the leaf isn't there */
extern u64 pml4[512];

/* memory.c */
void *alloc(u64 size);			/* page aligned, zeroed by the monitor; ends the guest when there is none left */
void map(u64 addr, u64 size);		/* makes device memory reachable */
void copy(void *to, const void *from, u64 size);
void zero(void *to, u64 size);

/* print.c: COM1 */
void print(const char *format, ...);	/* %s, %d (u64), %x (u64) */
_Noreturn void end(void);

/* cmdline.c */
struct arg { const char *name, *value; u32 name_len; };	/* name=value; the value ends at a blank or the end */
int next_arg(const char **at, struct arg *a);
int is(const struct arg *a, const char *name);
int word(const char **at, const char *w);	/* takes w and a comma behind it, if they are next */
u64 number(const char **at);		/* takes a decimal or 0x… number, K, M or G, and a comma behind it */

/* main.c */
extern u64 tsc_khz;
u64 ns(u64 ticks);

/* ring.c: a split virtqueue, virtio 1.3 section 2.7, polled, with prebuilt chains: a head is put again and again */
struct desc { u64 addr; u32 len; u16 flags, next; };
enum { NEXT = 1, WRITE = 2, INDIRECT = 4 };
struct avail { u16 flags, idx, ring[]; };
struct used { u16 flags, idx; struct { u32 id, len; } ring[]; };
struct ring {
	struct desc *desc;
	volatile struct avail *avail;
	volatile struct used *used;
	u16 size, put, published, got;
	int event_index;
	u64 doorbell;			/* address of the register */
	u32 doorbell_value;
	int doorbell_16;		/* PCI's is 16 bits wide */
	u64 kicks;
};

/* mmio.c, pci.c */
enum { NET = 1, BLK = 2, RNG = 4, VSOCK = 19 };
#define F_INDIRECT	28
#define F_EVENT_INDEX	29
#define F_VERSION_1	32
struct device {
	u32 kind;
	int pci;
	u64 regs;			/* MMIO: the registers; PCI: the common configuration */
	u64 config, notify;
	u32 notify_multiplier;
	u64 features;			/* offered and wanted */
};
extern struct device devices[16];
extern u32 device_count;
void found(const struct device *d);
struct device *find(u32 kind, u32 n);
void probe_mmio(u64 addr);
void probe_pci(u64 ecam);		/* 0: by ports */
u64 device_features(struct device *d);
void set_status(struct device *d, u8 status);
u8 get_status(struct device *d);
void set_features(struct device *d, u64 features);
u32 queue_max(struct device *d, u32 index);
void queue_start(struct device *d, u32 index, struct ring *r);

/* ring.c */
int negotiate(struct device *d, u64 wanted);	/* up to FEATURES_OK; VERSION_1, event index and indirect are asked for */
void ring_open(struct device *d, u32 index, struct ring *r, u32 limit);
void driver_ok(struct device *d);
void ring_publish(struct ring *r);
static inline void ring_put(struct ring *r, u16 head)
{
	r->avail->ring[r->put++ & (r->size - 1)] = head;
}
/* The head of a chain that the device is done with, or -1. */
static inline int ring_get(struct ring *r, u32 *len)
{
	u32 slot = r->got & (r->size - 1);
	int head;

	if (r->used->idx == r->got)
		return -1;
	barrier();			/* x86 keeps loads in order */
	head = r->used->ring[slot].id;
	*len = r->used->ring[slot].len;
	r->got++;
	/* No interrupts: with the event index they come when the device passes used_event, so keep it far away. */
	if (r->event_index && !(r->got & 0xff))
		r->avail->ring[r->size] = r->got + 0x7fff;
	return head;
}

/* The measurements; each takes the rest of its argument. */
void run_blk(const char *args);
void run_blksum(const char *args);
void run_nettx(const char *args);
void run_netrx(const char *args);
void run_netping(const char *args);
void run_vsock(const char *args);
void run_rng(const char *args);

#endif
