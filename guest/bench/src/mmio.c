/* The MMIO transport, virtio 1.3 section 4.2.2, and what the transports share. */
#include "bench.h"

#define MAGIC		0x000
#define VERSION		0x004
#define DEVICE_ID	0x008
#define OFFERED		0x010
#define OFFERED_SEL	0x014
#define WANTED		0x020
#define WANTED_SEL	0x024
#define QUEUE_SEL	0x030
#define QUEUE_MAX	0x034
#define QUEUE_SIZE	0x038
#define QUEUE_READY	0x044
#define QUEUE_NOTIFY	0x050
#define STATUS		0x070
#define QUEUE_DESC	0x080
#define QUEUE_AVAIL	0x090
#define QUEUE_USED	0x0a0
#define CONFIG		0x100

/* The common configuration of PCI, section 4.1.4.3. */
#define PCI_OFFERED_SEL	0x00
#define PCI_OFFERED	0x04
#define PCI_WANTED_SEL	0x08
#define PCI_WANTED	0x0c
#define PCI_STATUS	0x14
#define PCI_QUEUE_SEL	0x16
#define PCI_QUEUE_SIZE	0x18
#define PCI_QUEUE_READY	0x1c
#define PCI_NOTIFY_OFF	0x1e
#define PCI_QUEUE_DESC	0x20
#define PCI_QUEUE_AVAIL	0x28
#define PCI_QUEUE_USED	0x30

struct device devices[16];
u32 device_count;

void found(const struct device *d)
{
	if (device_count < sizeof devices / sizeof *devices)
		copy(&devices[device_count++], d, sizeof *d);
}

struct device *find(u32 kind, u32 n)
{
	u32 i;

	for (i = 0; i < device_count; i++)
		if (devices[i].kind == kind && !n--)
			return &devices[i];
	print("error=absent kind=%d\n", (u64)kind);
	return 0;
}

void probe_mmio(u64 addr)
{
	struct device d = { .regs = addr, .config = addr + CONFIG };

	map(addr, 0x200);
	if (read32(addr + MAGIC) != 0x74726976 || read32(addr + VERSION) != 2)
		return;
	d.kind = read32(addr + DEVICE_ID);
	if (d.kind)
		found(&d);
}

u64 device_features(struct device *d)
{
	u64 sel = d->regs + (d->pci ? PCI_OFFERED_SEL : OFFERED_SEL), reg = d->regs + (d->pci ? PCI_OFFERED : OFFERED), low;

	write32(sel, 0);
	low = read32(reg);
	write32(sel, 1);
	return low | (u64)read32(reg) << 32;
}

void set_features(struct device *d, u64 features)
{
	u64 sel = d->regs + (d->pci ? PCI_WANTED_SEL : WANTED_SEL), reg = d->regs + (d->pci ? PCI_WANTED : WANTED);

	d->features = features;
	write32(sel, 0);
	write32(reg, features);
	write32(sel, 1);
	write32(reg, features >> 32);
}

void set_status(struct device *d, u8 status)
{
	if (d->pci)
		write8(d->regs + PCI_STATUS, status);
	else
		write32(d->regs + STATUS, status);
}

u8 get_status(struct device *d)
{
	return d->pci ? read8(d->regs + PCI_STATUS) : read32(d->regs + STATUS);
}

u32 queue_max(struct device *d, u32 index)
{
	if (d->pci) {
		write16(d->regs + PCI_QUEUE_SEL, index);
		return read16(d->regs + PCI_QUEUE_SIZE);
	}
	write32(d->regs + QUEUE_SEL, index);
	return read32(d->regs + QUEUE_MAX);
}

static void write64(u64 a, u64 v)
{
	write32(a, v);
	write32(a + 4, v >> 32);
}

/* The queue is selected already, by queue_max. */
void queue_start(struct device *d, u32 index, struct ring *r)
{
	if (d->pci) {
		write16(d->regs + PCI_QUEUE_SIZE, r->size);
		write64(d->regs + PCI_QUEUE_DESC, (u64)r->desc);
		write64(d->regs + PCI_QUEUE_AVAIL, (u64)r->avail);
		write64(d->regs + PCI_QUEUE_USED, (u64)r->used);
		r->doorbell = d->notify + (u64)read16(d->regs + PCI_NOTIFY_OFF) * d->notify_multiplier;
		write16(d->regs + PCI_QUEUE_READY, 1);
	} else {
		write32(d->regs + QUEUE_SIZE, r->size);
		write64(d->regs + QUEUE_DESC, (u64)r->desc);
		write64(d->regs + QUEUE_AVAIL, (u64)r->avail);
		write64(d->regs + QUEUE_USED, (u64)r->used);
		r->doorbell = d->regs + QUEUE_NOTIFY;
		write32(d->regs + QUEUE_READY, 1);
	}
	r->doorbell_16 = d->pci;
	r->doorbell_value = index;
}
