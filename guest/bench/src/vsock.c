/*
 * The socket device, virtio 1.3 section 5.10. The guest connects to the host's port, which the monitor turns into a
 * connection to a Unix socket; the peer there takes all (tx), sends without end (rx) or sends back (ping).
 */
#include "bench.h"

#define HEADER		44
#define BUFFER		65536
#define HOST		2
#define STREAM		1
#define WINDOW		(1u << 20)	/* what this side says it can take */
enum { REQUEST = 1, RESPONSE, RST, SHUTDOWN, RW, CREDIT_UPDATE, CREDIT_REQUEST };

struct header {
	u64 src_cid, dst_cid;
	u32 src_port, dst_port, len;
	u16 type, op;
	u32 flags, buf_alloc, fwd_cnt;
} __attribute__((packed));

static struct device *device;
static struct ring rx, tx;
static u8 *rx_data, *tx_data;		/* a buffer a slot, then its header */
static u32 tx_slots, tx_free[128], tx_free_count;
static u32 cid;				/* read once, as Linux does: each read is an exit */

/* The one connection. */
static struct {
	u32 local, remote, tx_cnt, fwd_cnt, told, peer_alloc, peer_fwd;
	int open, closed;
} c;

static struct header *header(u8 *data, u32 slot) { return (struct header *)(data + (u64)slot * (BUFFER + 4096) + BUFFER); }
static u8 *payload(u8 *data, u32 slot) { return data + (u64)slot * (BUFFER + 4096); }

static int open_device(void)
{
	u32 i, j, slots;

	if (device)
		return 1;
	device = find(VSOCK, 0);
	if (!device || !negotiate(device, 0)) {
		device = 0;
		return 0;
	}
	struct ring event;
	ring_open(device, 0, &rx, 256);
	ring_open(device, 1, &tx, 256);
	ring_open(device, 2, &event, 256);
	driver_ok(device);
	cid = read32(device->config);
	slots = rx.size / 2;
	rx_data = alloc((u64)slots * (BUFFER + 4096));
	for (i = 0; i < slots; i++) {
		rx.desc[2 * i] = (struct desc){(u64)header(rx_data, i), HEADER, WRITE | NEXT, 2 * i + 1};
		rx.desc[2 * i + 1] = (struct desc){(u64)payload(rx_data, i), BUFFER, WRITE, 0};
		ring_put(&rx, 2 * i);
	}
	ring_publish(&rx);
	tx_slots = tx_free_count = tx.size / 2;
	tx_data = alloc((u64)tx_slots * (BUFFER + 4096));
	for (i = 0; i < tx_slots; i++) {
		tx_free[i] = i;
		for (j = 0; j < BUFFER / 8; j++)
			((u64 *)payload(tx_data, i))[j] = j;
	}
	return 1;
}

static void reap(void)
{
	u32 len;
	int head;

	while ((head = ring_get(&tx, &len)) >= 0)
		tx_free[tx_free_count++] = head / 2;
}

/* Puts a packet; not yet published. Returns 0 when no slot is free. */
static int send(u16 op, u32 len)
{
	struct header *h;
	u32 i;

	if (!tx_free_count)
		reap();
	if (!tx_free_count)
		return 0;
	i = tx_free[--tx_free_count];
	h = header(tx_data, i);
	*h = (struct header){cid, HOST, c.local, c.remote, len, STREAM, op, op == SHUTDOWN ? 3 : 0, WINDOW, c.fwd_cnt};
	c.told = c.fwd_cnt;
	tx.desc[2 * i] = (struct desc){(u64)h, HEADER, len ? NEXT : 0, 2 * i + 1};
	tx.desc[2 * i + 1] = (struct desc){(u64)payload(tx_data, i), len, 0, 0};
	ring_put(&tx, 2 * i);
	return 1;
}

static void must_send(u16 op)
{
	while (!send(op, 0))
		pause();
	ring_publish(&tx);
}

/* Takes one packet. Returns its slot + 1, which must be given back with done(), and how much data it has. */
static u32 receive(u32 *size)
{
	struct header *h;
	u32 len;
	int head = ring_get(&rx, &len);

	*size = 0;
	if (head < 0)
		return 0;
	h = header(rx_data, head / 2);
	if (h->dst_port != c.local)
		return head / 2 + 1;
	c.peer_alloc = h->buf_alloc;
	c.peer_fwd = h->fwd_cnt;
	switch (h->op) {
	case RESPONSE:
		c.open = 1;
		break;
	case RST:
	case SHUTDOWN:
		c.closed = 1;
		break;
	case RW:
		*size = h->len;
		c.fwd_cnt += h->len;
		break;
	case CREDIT_REQUEST:
		must_send(CREDIT_UPDATE);
	}
	return head / 2 + 1;
}

static void done(u32 slot)
{
	ring_put(&rx, 2 * (slot - 1));
}

static u32 credit(void)
{
	u32 used = c.tx_cnt - c.peer_fwd;

	return used < c.peer_alloc ? c.peer_alloc - used : 0;
}

static int connect(u32 port)
{
	static u32 local = 1024;
	u64 start = rdtsc();
	u32 size, slot;

	zero(&c, sizeof c);
	c.local = local++;
	c.remote = port;
	must_send(REQUEST);
	while (!c.open && !c.closed && rdtsc() - start < 5000 * tsc_khz)
		if ((slot = receive(&size))) {
			done(slot);
			ring_publish(&rx);
		}
	if (!c.open)
		print("error=vsock port=%d\n", (u64)port);
	return c.open;
}

/* As Linux does: packets as large as the credit allows, and a question when there is none left. */
static u64 flood(u32 size, u64 stop, u64 *ops)
{
	u64 bytes = 0;
	u32 slot, junk, asked = 0;

	while (!c.closed && rdtsc() < stop) {
		u32 some = 0, n;

		while ((n = credit()) && some < 16) {
			if (n > size)
				n = size;
			if (!send(RW, n))
				break;
			c.tx_cnt += n;
			bytes += n;
			some++;
		}
		*ops += some;
		if (!credit() && !asked)
			some |= asked = send(CREDIT_REQUEST, 0);
		if (some)
			ring_publish(&tx);
		for (some = 0; (slot = receive(&junk)); some = 1)
			done(slot);
		if (some) {
			ring_publish(&rx);
			asked = 0;
		}
	}
	return bytes;
}

/* The peer's stream is 8-byte words that count up and begin again with each 64 KiB. */
static u64 sink(u64 stop, u64 *bad)
{
	u64 bytes = 0;
	u32 slot, size;

	while (!c.closed && rdtsc() < stop) {
		int some = 0;

		while ((slot = receive(&size))) {
			if (size >= 8 && bytes % 8 == 0)
				*bad += *(u64 *)payload(rx_data, slot - 1) != bytes / 8 % (BUFFER / 8);
			bytes += size;
			done(slot);
			some = 1;
		}
		if (!some)
			continue;
		ring_publish(&rx);
		if (c.fwd_cnt - c.told >= WINDOW / 4)
			must_send(CREDIT_UPDATE);
	}
	return bytes;
}

static u64 ping(u32 size, u64 stop, u64 *bad)
{
	u64 ops = 0;

	while (!c.closed && rdtsc() < stop) {
		u32 back = 0, slot, n;

		if (credit() >= size && send(RW, size)) {
			c.tx_cnt += size;
			ring_publish(&tx);
		} else {
			back = size;		/* only wait for credit, below */
			ops--;
		}
		do {
			while (!(slot = receive(&n)) && rdtsc() < stop + 1000 * tsc_khz)
				pause();
			if (!slot)
				return ops;
			if (n >= 8 && back % 8 == 0 && back < size)
				*bad += *(u64 *)payload(rx_data, slot - 1) != back / 8;
			back += n;
			done(slot);
			ring_publish(&rx);
		} while (back < size && !c.closed);
		ops++;
		reap();
		if (c.fwd_cnt - c.told >= WINDOW / 4)
			must_send(CREDIT_UPDATE);
	}
	return ops;
}

void run_vsock(const char *s)
{
	enum { TX, RX, PING } mode = word(&s, "tx") ? TX : word(&s, "rx") ? RX : PING;
	u64 ops = 0, bytes = 0, bad = 0, kicks, start, stop, now;
	u32 port, size, slot, junk;
	int closed;

	if (mode == PING)
		word(&s, "ping");
	port = number(&s);
	size = number(&s);
	stop = number(&s);
	if (!size || size > BUFFER || !open_device() || !connect(port))
		return;
	kicks = tx.kicks + rx.kicks;
	start = rdtsc();
	stop = start + stop * tsc_khz;
	if (mode == TX) {
		bytes = flood(size, stop, &ops);
	} else if (mode == RX) {
		bytes = sink(stop, &bad);
	} else {
		ops = ping(size, stop, &bad);
		bytes = ops * size;
	}
	now = rdtsc();
	kicks = tx.kicks + rx.kicks - kicks;
	closed = c.closed;
	must_send(RST);
	while (rdtsc() - now < 50 * tsc_khz)	/* what was on its way */
		if ((slot = receive(&junk))) {
			done(slot);
			ring_publish(&rx);
		}
	print("result=vsock op=%s size=%d ops=%d bytes=%d ns=%d kicks=%d bad=%d closed=%d\n", mode == TX ? "tx" : mode == RX ? "rx" : "ping",
		(u64)size, ops, bytes, ns(now - start), kicks, bad, (u64)closed);
}
