/* Split virtqueues, virtio 1.3 section 2.7. */
#include "bench.h"

enum { ACKNOWLEDGE = 1, DRIVER = 2, DRIVER_OK = 4, FEATURES_OK = 8 };

int negotiate(struct device *d, u64 wanted)
{
	u64 offered;

	set_status(d, 0);
	while (get_status(d))
		pause();
	set_status(d, ACKNOWLEDGE);
	set_status(d, ACKNOWLEDGE | DRIVER);
	wanted |= 1ull << F_VERSION_1 | 1ull << F_EVENT_INDEX | 1ull << F_INDIRECT;
	offered = device_features(d);
	set_features(d, offered & wanted);
	set_status(d, ACKNOWLEDGE | DRIVER | FEATURES_OK);
	if (get_status(d) & FEATURES_OK)
		return 1;
	print("error=features kind=%d offered=0x%x\n", (u64)d->kind, offered);
	return 0;
}

void driver_ok(struct device *d)
{
	set_status(d, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
}

void ring_open(struct device *d, u32 index, struct ring *r, u32 limit)
{
	u32 size = queue_max(d, index);

	if (size > limit)
		size = limit;
	while (size & (size - 1))
		size &= size - 1;
	zero(r, sizeof *r);
	r->size = size;
	r->event_index = d->features >> F_EVENT_INDEX & 1;
	r->desc = alloc(16 * size);
	r->avail = alloc(6 + 2 * size);
	r->used = alloc(6 + 8 * size);
	if (r->event_index)
		r->avail->ring[size] = 0x7fff;
	else
		r->avail->flags = 1;		/* no interrupts */
	queue_start(d, index, r);
}

void ring_publish(struct ring *r)
{
	u16 old = r->published;

	if (r->put == old)
		return;
	barrier();				/* x86 keeps stores in order */
	r->avail->idx = r->published = r->put;
	fence();				/* but not a load behind a store */
	if (r->event_index) {
		u16 event = *(volatile u16 *)&r->used->ring[r->size];

		if ((u16)(r->put - event - 1) >= (u16)(r->put - old))
			return;
	} else if (r->used->flags & 1) {
		return;
	}
	r->kicks++;
	if (r->doorbell_16)
		write16(r->doorbell, r->doorbell_value);
	else
		write32(r->doorbell, r->doorbell_value);
}
