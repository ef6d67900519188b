/* The network card, virtio 1.3 section 5.1: 10.77.0.2 at 02:fc:00:00:00:02; the other end is 10.77.0.1 at …:01. */
#include "bench.h"

#define F_CSUM		0
#define F_GUEST_CSUM	1
#define F_HOST_TSO4	11
#define HEADER		12		/* struct virtio_net_hdr with num_buffers, as VERSION_1 has it */
#define ETHERNET	14
#define IP		20
#define BUFFER		2048
#define MAX_FRAME	65536
#define SLOTS		256

static struct device *card;
static struct ring rx, tx;
static u8 *rx_data, *tx_data;

static void post(u32 i)
{
	ring_put(&rx, i);
}

static int open_card(void)
{
	u32 i;

	if (card)
		return 1;
	card = find(NET, 0);
	if (!card || !negotiate(card, 1ull << F_CSUM | 1ull << F_GUEST_CSUM | 1ull << F_HOST_TSO4)) {
		card = 0;
		return 0;
	}
	ring_open(card, 0, &rx, SLOTS);
	ring_open(card, 1, &tx, SLOTS);
	driver_ok(card);
	rx_data = alloc(SLOTS * BUFFER);
	tx_data = alloc(SLOTS * (MAX_FRAME + 4096) / 4);	/* long frames have a quarter of the slots */
	for (i = 0; i < rx.size; i++) {
		rx.desc[i] = (struct desc){(u64)rx_data + i * BUFFER, BUFFER, WRITE, 0};
		post(i);
	}
	ring_publish(&rx);
	return 1;
}

static void be16(u8 *p, u32 v) { p[0] = v >> 8, p[1] = v; }

static u32 add16(const u8 *p, u32 size, u32 sum)
{
	u32 i;

	for (i = 0; i < size; i += 2)
		sum += p[i] << 8 | p[i + 1];
	return sum;
}

static u32 fold(u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return ~(sum + (sum >> 16)) & 0xffff;
}

/* An Ethernet and an IPv4 header for size bytes in all; stranger: to a station that isn't there, so that the other
 * end's stack lets it go at once. */
static void frame(u8 *p, u32 size, u8 protocol, int stranger)
{
	static const u8 ethernet[ETHERNET] = {2, 0xfc, 0, 0, 0, 1, 2, 0xfc, 0, 0, 0, 2, 8, 0};
	static const u8 ip[IP] = {0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 0, 0, 0, 10, 77, 0, 2, 10, 77, 0, 1};

	copy(p, ethernet, ETHERNET);
	if (stranger)
		p[5] = 0x99;
	p += ETHERNET;
	copy(p, ip, IP);
	p[9] = protocol;
	be16(p + 2, size - ETHERNET);
	be16(p + 10, fold(add16(p, IP, 0)));
}

/* Takes all received frames, gives the buffers back, and returns how many there were. */
static u32 drain(u64 *bytes)
{
	u32 n = 0, len;
	int head;

	while ((head = ring_get(&rx, &len)) >= 0) {
		post(head);
		*bytes += len - HEADER;
		n++;
	}
	if (n)
		ring_publish(&rx);
	return n;
}

void run_nettx(const char *s)
{
	u64 size = number(&s), stop = number(&s), start, now, ops = 0, kicks, junk = 0;
	u32 slots, i, inflight, stride, len;
	int head;

	if (!open_card() || size < 60 || size > MAX_FRAME)
		return;
	if (size > 1514 && (~card->features & (1ull << F_CSUM | 1ull << F_HOST_TSO4))) {
		print("result=nettx size=%d skipped=1\n", size);
		return;
	}
	stride = size > 1514 ? MAX_FRAME + 4096 : BUFFER;
	slots = size > 1514 ? tx.size / 4 : tx.size;
	for (i = 0; i < slots; i++) {
		u8 *p = tx_data + (u64)i * stride;

		zero(p, HEADER);
		if (size > 1514) {
			p[0] = 1;			/* NEEDS_CSUM, from the TCP header on */
			p[1] = 1;			/* segments of TCPv4 */
			p[2] = ETHERNET + IP + 20;
			p[4] = 1448 & 255, p[5] = 1448 >> 8;
			p[6] = ETHERNET + IP;
			p[8] = 16;
			frame(p + HEADER, size, 6, 1);
			zero(p + HEADER + ETHERNET + IP, 20);
			p[HEADER + ETHERNET + IP + 12] = 5 << 4;
			p[HEADER + ETHERNET + IP + 13] = 0x10;	/* ACK */
		} else {
			frame(p + HEADER, size, 17, 1);
		}
		tx.desc[i] = (struct desc){(u64)p, HEADER + size, 0, 0};
		ring_put(&tx, i);
	}
	kicks = tx.kicks;
	start = now = rdtsc();
	stop = start + stop * tsc_khz;
	for (inflight = slots; inflight; now = rdtsc()) {
		ring_publish(&tx);
		while ((head = ring_get(&tx, &len)) >= 0) {
			ops++;
			if (now < stop)
				ring_put(&tx, head);
			else
				inflight--;
		}
		drain(&junk);
	}
	print("result=nettx size=%d depth=%d ops=%d bytes=%d ns=%d kicks=%d\n", size, (u64)slots, ops, ops * size, ns(now - start),
		tx.kicks - kicks);
}

/* The other end is told by the line before when to begin; time runs from the first frame on. */
void run_netrx(const char *s)
{
	u64 stop = number(&s), start, now, ops = 0, bytes = 0, junk = 0, kicks;

	if (!open_card())
		return;
	drain(&junk);
	print("begin=netrx\n");
	for (start = rdtsc(); !drain(&junk); pause())
		if (rdtsc() - start > 5000 * tsc_khz)
			break;
	kicks = rx.kicks;
	start = now = rdtsc();
	for (stop = start + stop * tsc_khz; now < stop; now = rdtsc())
		ops += drain(&bytes);
	print("result=netrx ops=%d bytes=%d ns=%d kicks=%d\n", ops, bytes, ns(now - start), rx.kicks - kicks);
}

/* ICMP echo requests, a given number on their way at any time. Lost ones are sent again after a while. */
void run_netping(const char *s)
{
	u64 size = number(&s), depth = number(&s), stop = number(&s), start, now, last, ops = 0, bad = 0, lost = 0, kicks;
	u32 i, inflight, len, received;
	u8 sent[SLOTS];
	int head;

	if (!open_card() || size < ETHERNET + IP + 8 || size > 1514 || size % 2)
		return;
	if (depth > tx.size)
		depth = tx.size;
	for (i = 0; i < depth; i++) {
		u8 *p = tx_data + i * BUFFER, *icmp = p + HEADER + ETHERNET + IP;
		u32 j;

		zero(p, HEADER);
		frame(p + HEADER, size, 1, 0);
		for (j = 0; j < size - ETHERNET - IP; j++)
			icmp[j] = i + j;
		icmp[0] = 8, icmp[1] = 0;		/* echo request */
		be16(icmp + 2, 0);
		be16(icmp + 4, 0xbe7c);
		be16(icmp + 6, i);
		be16(icmp + 2, fold(add16(icmp, size - ETHERNET - IP, 0)));
		tx.desc[i] = (struct desc){(u64)p, HEADER + size, 0, 0};
		ring_put(&tx, i);
		sent[i] = 1;
	}
	kicks = tx.kicks + rx.kicks;
	start = now = last = rdtsc();
	stop = start + stop * tsc_khz;
	for (inflight = depth; inflight; now = rdtsc()) {
		ring_publish(&tx);
		while (ring_get(&tx, &len) >= 0)
			;
		for (received = 0; (head = ring_get(&rx, &len)) >= 0; received++) {
			const u8 *p = rx_data + head * BUFFER + HEADER, *icmp = p + ETHERNET + IP;

			i = icmp[6] << 8 | icmp[7];
			if (p[12] == 8 && p[13] == 0 && p[23] == 1 && icmp[0] == 0 && icmp[4] == 0xbe && icmp[5] == 0x7c && i < depth && sent[i]) {
				bad += len != HEADER + size || icmp[8] != (u8)(i + 8) || icmp[size - ETHERNET - IP - 1] != (u8)(i + size - ETHERNET - IP - 1);
				ops++;
				last = now;
				if (now < stop) {
					ring_put(&tx, i);
				} else {
					sent[i] = 0;
					inflight--;
				}
			}
			post(head);
		}
		if (received)
			ring_publish(&rx);
		if (now - last > 200 * tsc_khz) {
			lost += inflight;
			last = now;
			if (now >= stop)
				break;
			for (i = 0; i < depth; i++)
				if (sent[i])
					ring_put(&tx, i);
		}
	}
	print("result=netping size=%d depth=%d ops=%d bytes=%d ns=%d kicks=%d lost=%d bad=%d\n", size, depth, ops, ops * size, ns(now - start),
		tx.kicks + rx.kicks - kicks, lost, bad);
}
