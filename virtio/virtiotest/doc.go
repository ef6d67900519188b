// Package virtiotest is a virtio driver in Go for tests and benchmarks: it fills
// real rings, split and packed, in real guest memory, and talks to a device the
// way a guest's driver does, without a guest.
//
//	d := virtiotest.New(t, dev, virtiotest.Options{})
//	r := d.Queue(0).Do([][]byte{header}, []int{512, 1})
//	if r.Written() != 513 || r.In()[512] != 0 { … }
//
// By default the driver works on the virtio.Instance itself (Direct). Tests of a
// transport hand it a Link of their own, which does the same through registers.
// Fabric is a bus.Fabric in this process, for those.
//
// A Driver and its Queues belong to one goroutine.
package virtiotest
