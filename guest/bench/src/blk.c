/* The disk, virtio 1.3 section 5.2. */
#include "bench.h"

#define F_FLUSH		9	/* without it each write would have to be on the disk before it is done */
#define SECTOR		512
#define BLOCK		4096
#define GOLDEN		0x9e3779b97f4a7c15ull
#define MAX_DEPTH	256
#define DATA		(16ull << 20)		/* of buffers, at most */

struct header { u32 type, reserved; u64 sector; };
struct slot { struct header header; u64 block; struct desc table[3]; volatile u8 status; };

static struct disk {
	struct device *device;
	struct ring ring;
	struct slot *slots;
	u8 *data;
	u64 sectors;
} disks[4];

static struct disk *open_disk(u32 n)
{
	struct disk *k = &disks[n & 3];

	if (k->device)
		return k;
	k->device = find(BLK, n);
	if (!k->device || !negotiate(k->device, 1ull << F_FLUSH))
		return 0;
	ring_open(k->device, 0, &k->ring, 1024);
	driver_ok(k->device);
	k->slots = alloc(MAX_DEPTH * sizeof *k->slots);
	k->data = alloc(DATA);
	k->sectors = read32(k->device->config) | (u64)read32(k->device->config + 4) << 32;
	return k;
}

/* Lays the chains: slot i is the head i (a table of its own), or 3 * i. Returns how many there are. */
static u32 lay(struct disk *k, u32 depth, u32 size, int write)
{
	struct ring *r = &k->ring;
	int indirect = k->device->features >> F_INDIRECT & 1;
	u32 most = indirect ? r->size : r->size / 3, i;

	if (depth > most)
		depth = most;
	if (depth > MAX_DEPTH)
		depth = MAX_DEPTH;
	if (depth > DATA / size)
		depth = DATA / size;
	for (i = 0; i < depth; i++) {
		struct slot *s = &k->slots[i];
		struct desc *d = indirect ? s->table : &r->desc[3 * i];
		u32 base = indirect ? 0 : 3 * i;

		d[0] = (struct desc){(u64)&s->header, sizeof s->header, NEXT, base + 1};
		d[1] = (struct desc){(u64)k->data + (u64)i * size, size, NEXT | (write ? 0 : WRITE), base + 2};
		d[2] = (struct desc){(u64)&s->status, 1, WRITE, 0};
		if (indirect)
			r->desc[i] = (struct desc){(u64)s->table, sizeof s->table, INDIRECT, 0};
		s->header = (struct header){.type = write};
	}
	return depth;
}

static void submit(struct disk *k, u32 i, u64 block)
{
	struct slot *s = &k->slots[i];

	s->block = block;
	s->header.sector = block * (BLOCK / SECTOR);
	s->status = 0xff;
	ring_put(&k->ring, k->device->features >> F_INDIRECT & 1 ? i : 3 * i);
}

/* Each block of a prepared disk begins with its number times GOLDEN, plus less than 256 of those who wrote it, and
 * ends with the same, inverted. */
static void stamp(u64 *p, u64 block, u32 size, u64 by)
{
	for (; size; size -= BLOCK, p += BLOCK / 8, block++) {
		p[0] = block * GOLDEN + by;
		p[BLOCK / 8 - 1] = ~p[0];
	}
}

static u64 wrong(const u64 *p, u64 block, u32 size)
{
	u64 n = 0;

	for (; size; size -= BLOCK, p += BLOCK / 8, block++)
		n += p[0] - block * GOLDEN >= 256 || p[BLOCK / 8 - 1] != ~p[0];
	return n;
}

/* One measurement: which requests it makes, and what came of them. */
struct load {
	struct disk *disk;
	int write, random;
	u32 size;
	u64 next, places, seed, ops, bad;
};

static void put(struct load *l, u32 slot)
{
	if (l->random) {
		l->seed ^= l->seed << 13, l->seed ^= l->seed >> 7, l->seed ^= l->seed << 17;
		l->next = (l->seed >> 32) * l->places >> 32;
	} else if (l->next >= l->places) {
		l->next = 0;
	}
	if (l->write)
		stamp((u64 *)(l->disk->data + (u64)slot * l->size), l->next * (l->size / BLOCK), l->size, 1 + (l->ops & 63));
	submit(l->disk, slot, l->next++ * (l->size / BLOCK));
}

static int take(struct load *l)
{
	struct disk *k = l->disk;
	u32 len;
	int slot = ring_get(&k->ring, &len);

	if (slot < 0)
		return slot;
	if (!(k->device->features >> F_INDIRECT & 1))
		slot /= 3;
	l->bad += k->slots[slot].status != 0;
	if (!l->write)
		l->bad += wrong((u64 *)(k->data + (u64)slot * l->size), k->slots[slot].block, l->size);
	l->ops++;
	return slot;
}

void run_blk(const char *s)
{
	struct load l = { .write = word(&s, "write"), .seed = 0x2545f4914f6cdd1dull };
	u64 kicks, start, stop, now;
	u32 depth, inflight;
	int slot;

	if (!l.write)
		word(&s, "read");
	l.random = word(&s, "rand");
	if (!l.random)
		word(&s, "seq");
	l.size = number(&s);
	depth = number(&s);
	stop = number(&s);
	l.disk = open_disk(number(&s));
	if (!l.disk || !l.size || l.size % BLOCK || l.disk->sectors < l.size / SECTOR)
		return;
	depth = lay(l.disk, depth, l.size, l.write);
	l.places = l.disk->sectors / (l.size / SECTOR);
	kicks = l.disk->ring.kicks;
	start = now = rdtsc();
	stop = start + stop * tsc_khz;
	for (inflight = 0; inflight < depth; inflight++)
		put(&l, inflight);
	while (inflight) {
		ring_publish(&l.disk->ring);
		while ((slot = take(&l)) < 0)
			pause();
		do {
			if ((now = rdtsc()) < stop)
				put(&l, slot);
			else
				inflight--;
		} while ((slot = take(&l)) >= 0);
	}
	print("result=blk op=%s pattern=%s size=%d depth=%d ops=%d bytes=%d ns=%d kicks=%d bad=%d\n", l.write ? "write" : "read",
		l.random ? "rand" : "seq", (u64)l.size, (u64)depth, l.ops, l.ops * l.size, ns(now - start), l.disk->ring.kicks - kicks, l.bad);
}

/* Reads from the start, one request after the other, and sums up all that comes. */
void run_blksum(const char *s)
{
	u64 size = number(&s), sum = 0, block, i, bad = 0;
	struct disk *k = open_disk(0);
	u32 len;

	if (!k)
		return;
	lay(k, 1, 65536, 0);
	for (block = 0; block < size / BLOCK; block += 65536 / BLOCK) {
		submit(k, 0, block);
		ring_publish(&k->ring);
		while (ring_get(&k->ring, &len) < 0)
			pause();
		bad += k->slots[0].status != 0 || len != 65537;
		for (i = 0; i < 65536 / 8; i++)
			sum += ((u64 *)k->data)[i];
	}
	print("result=blksum bytes=%d sum=%d bad=%d\n", size, sum, bad);
}
