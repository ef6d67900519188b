/* The source of entropy, virtio 1.3 section 5.4. */
#include "bench.h"

#define DEPTH 8

void run_rng(const char *s)
{
	static struct device *device;
	static struct ring r;
	static u8 *data;
	u64 size = number(&s), stop = number(&s), start, now, ops = 0, bytes = 0, ones = 0, kicks;
	u32 i, inflight, len;
	int head;

	if (!device) {
		device = find(RNG, 0);
		if (!device || !negotiate(device, 0)) {
			device = 0;
			return;
		}
		ring_open(device, 0, &r, 256);
		driver_ok(device);
		data = alloc(DEPTH * 65536);
	}
	if (!size || size > 65536)
		return;
	kicks = r.kicks;
	for (i = 0; i < DEPTH && i < r.size; i++) {
		r.desc[i] = (struct desc){(u64)data + i * 65536, size, WRITE, 0};
		ring_put(&r, i);
	}
	start = now = rdtsc();
	stop = start + stop * tsc_khz;
	for (inflight = i; inflight; now = rdtsc()) {
		ring_publish(&r);
		while ((head = ring_get(&r, &len)) >= 0) {
			ones += data[head * 65536] & 1;
			ops++;
			bytes += len;
			if (now < stop)
				ring_put(&r, head);
			else
				inflight--;
		}
	}
	print("result=rng size=%d ops=%d bytes=%d ns=%d kicks=%d ones=%d\n", size, ops, bytes, ns(now - start), r.kicks - kicks, ones);
}
