/* Numbers that assembly and C share. */

#define COM1		0x3f8

#define SEL_CODE	0x08
#define SEL_DATA	0x10
#define SEL_USER_CODE	0x1b
#define SEL_USER_DATA	0x23
#define SEL_TASK	0x28

/* Interrupt vectors: 32 exceptions, then ours. */
#define VECTOR_TIMER	32
#define VECTOR_SERIAL	33
#define VECTOR_SPURIOUS	47		/* its low four bits are hardwired to 1 in old local APICs */
#define VECTOR_TASK	48
#define VECTORS		49
#define STUB_SIZE	16

/* Processors that fit in the tables; later ones are counted only. */
#define MAX_CPUS	1024

/* found_segments: four bits a segment. */
#define PROBE_WORD	0x50524f42
#define PROBE_BASE	1
#define PROBE_LIMIT	2
#define PROBE_WRITE	4
#define PROBE_CS	0
#define PROBE_DS	4
#define PROBE_ES	8
#define PROBE_SS	12

/* task_probe: the stack of CPL 0 came from the TSS at 0; its limit is at least 0x67, and not more. */
#define TASK_STACK	1
#define TASK_INSIDE	2
#define TASK_OUTSIDE	4
