package virtio_test

import (
	"strings"
	"testing"

	"github.com/mayfly-vm/mayfly/memory"
	"github.com/mayfly-vm/mayfly/virtio"
	"github.com/mayfly-vm/mayfly/virtio/virtiotest"
)

const (
	next     = virtiotest.Next
	write    = virtiotest.Write
	indirect = virtiotest.Indirect
	ram      = 64 << 20
)

type desc = virtiotest.Desc

// chains are what a driver may say about its buffers. table, if any, is an
// indirect table whose address is put into the last descriptor.
var chains = []struct {
	name  string
	ring  []desc
	table []desc
	// tableLen is what the descriptor says of the table's length; 0: the truth.
	tableLen uint32
	refuse   virtio.Feature
	ram      uint64
	kind     string // "split" or "packed" only
	err      string // part of it; empty: a good chain
	out, in  int    // bytes of a good chain
}{
	{name: "one readable", ring: []desc{{Addr: 0x100, Len: 5}}, out: 5},
	{name: "one writable", ring: []desc{{Addr: 0x100, Len: 5, Flags: write}}, in: 5},
	{name: "readable, then writable", ring: []desc{{Addr: 0x100, Len: 5, Flags: next, Next: 1}, {Addr: 0x200, Len: 7, Flags: write}}, out: 5, in: 7},
	{name: "empty buffers are nothing", ring: []desc{{Addr: 1 << 60, Flags: next, Next: 1}, {Addr: 0x200, Len: 7, Flags: write}}, in: 7},
	{name: "nothing but an empty buffer", ring: []desc{{}}},
	{name: "the last byte of memory", ring: []desc{{Addr: ram - 1, Len: 1}}, out: 1},
	{name: "all of memory", ring: []desc{{Addr: 0, Len: ram}}, out: ram},
	{name: "all descriptors", ring: []desc{{Len: 1, Flags: 1, Next: 1}, {Len: 1, Flags: 1, Next: 2}, {Len: 1, Flags: 1, Next: 3}, {Len: 1, Flags: 1, Next: 4},
		{Len: 1, Flags: 1, Next: 5}, {Len: 1, Flags: 1, Next: 6}, {Len: 1, Flags: 1, Next: 7}, {Len: 1}}, out: 8},

	{name: "writable, then readable", ring: []desc{{Addr: 0x100, Len: 5, Flags: next | write, Next: 1}, {Addr: 0x200, Len: 7}}, err: "behind a writable"},
	{name: "outside memory", ring: []desc{{Addr: ram, Len: 1}}, err: "outside guest memory"},
	{name: "across the end", ring: []desc{{Addr: ram - 1, Len: 2}}, err: "outside guest memory"},
	{name: "wraps around", ring: []desc{{Addr: ^memory.Addr(0), Len: 2}}, err: "outside guest memory"},
	{name: "longest length", ring: []desc{{Addr: 1, Len: 1<<32 - 1}}, err: "outside guest memory"},
	{name: "more than 4 GiB", ram: 5 << 30, ring: []desc{{Len: 1<<32 - 1, Flags: next, Next: 1}, {Len: 2}}, err: "longer than 4 GiB"},
	{name: "4 GiB", ram: 5 << 30, ring: []desc{{Len: 1<<32 - 1, Flags: next, Next: 1}, {Len: 1}}, out: 1 << 32},

	{name: "points to itself", kind: "split", ring: []desc{{Len: 1, Flags: next, Next: 0}}, err: "loop"},
	{name: "a loop of two", kind: "split", ring: []desc{{Len: 1, Flags: next, Next: 1}, {Len: 1, Flags: next, Next: 0}}, err: "loop"},
	{name: "next outside the table", kind: "split", ring: []desc{{Len: 1, Flags: next, Next: 8}}, err: "outside the table"},
	{name: "next far outside the table", kind: "split", ring: []desc{{Len: 1, Flags: next, Next: 0xFFFF}}, err: "outside the table"},
	{name: "a chain without end", kind: "packed", ring: []desc{{Len: 1, Flags: 1}, {Len: 1, Flags: 1}, {Len: 1, Flags: 1}, {Len: 1, Flags: 1},
		{Len: 1, Flags: 1}, {Len: 1, Flags: 1}, {Len: 1, Flags: 1}, {Len: 1, Flags: 1}}, err: "loop"},

	{name: "table", ring: []desc{{Flags: indirect}}, table: []desc{{Len: 3, Flags: next, Next: 1}, {Len: 4, Flags: write}}, out: 3, in: 4},
	{name: "table that is called writable", ring: []desc{{Flags: indirect | write}}, table: []desc{{Len: 3}}, out: 3},
	{name: "table of 1024", ring: []desc{{Flags: indirect}}, table: list(1024), out: 1024},
	{name: "table behind a buffer", kind: "split", ring: []desc{{Len: 2, Flags: next, Next: 1}, {Flags: indirect}}, table: []desc{{Len: 3}}, out: 5},
	{name: "table in no order", kind: "split", ring: []desc{{Flags: indirect}}, table: []desc{{Len: 3, Flags: next, Next: 2}, {Len: 9, Flags: write}, {Len: 4, Flags: next, Next: 1}}, out: 7, in: 9},

	{name: "table that was not negotiated", refuse: virtio.FeatureIndirectDesc, ring: []desc{{Flags: indirect}}, table: []desc{{Len: 3}}, err: "not negotiated"},
	{name: "table with a next", ring: []desc{{Flags: indirect | next, Next: 1}, {Flags: indirect}}, table: []desc{{Len: 3}}, err: "next descriptor"},
	{name: "table behind a buffer, packed", kind: "packed", ring: []desc{{Len: 2, Flags: next}, {Flags: indirect}}, table: []desc{{Len: 3}}, err: "not negotiated"},
	{name: "table in a table", ring: []desc{{Flags: indirect}}, table: []desc{{Len: 16, Flags: indirect}}, err: "in an indirect table"},
	{name: "table of no length", ring: []desc{{Addr: 0x100, Flags: indirect}}, err: "multiple of 16"},
	{name: "table of half an entry", ring: []desc{{Flags: indirect}}, table: []desc{{Len: 3}}, tableLen: 24, err: "multiple of 16"},
	{name: "table of 1025", ring: []desc{{Flags: indirect}}, table: list(1025), err: "too long"},
	{name: "table outside memory", ring: []desc{{Addr: ram - 16, Len: 32, Flags: indirect}}, err: "outside guest memory"},
	{name: "table that wraps around", ring: []desc{{Addr: ^memory.Addr(15), Len: 32, Flags: indirect}}, err: "outside guest memory"},
	{name: "table with a loop", kind: "split", ring: []desc{{Flags: indirect}}, table: []desc{{Len: 3, Flags: next, Next: 0}}, err: "loop"},
	{name: "next outside a table", kind: "split", ring: []desc{{Flags: indirect}}, table: []desc{{Len: 3, Flags: next, Next: 1}}, err: "outside the table"},
	{name: "table and buffers of 1025", kind: "split", ring: []desc{{Len: 2, Flags: next, Next: 1}, {Flags: indirect}}, table: list(1024), err: "too long"},
	{name: "table with a readable behind a writable", ring: []desc{{Flags: indirect}}, table: []desc{{Len: 3, Flags: next | write, Next: 1}, {Len: 4}}, err: "behind a writable"},
	{name: "table with a buffer outside memory", ring: []desc{{Flags: indirect}}, table: []desc{{Addr: ram, Len: 3}}, err: "outside guest memory"},
}

// list is a table of n readable bytes.
func list(n int) []desc {
	l := make([]desc, n)
	for i := range l {
		l[i] = desc{Addr: memory.Addr(i), Len: 1, Flags: next, Next: uint16(i + 1)}
	}
	l[n-1].Flags = 0
	return l
}

func TestChains(t *testing.T) {
	for _, c := range chains {
		for _, kind := range []string{"split", "packed"} {
			if c.kind != "" && c.kind != kind {
				continue
			}
			t.Run(kind+": "+c.name, func(t *testing.T) {
				d, q := serve(t, virtiotest.Options{Packed: kind == "packed", Without: c.refuse, Memory: max(ram, c.ram)})
				ring := append([]desc(nil), c.ring...)
				if c.table != nil {
					for i := range ring {
						if ring[i].Flags&indirect != 0 {
							ring[i].Addr, ring[i].Len = d.Table(c.table), uint32(16*len(c.table))
							if c.tableLen != 0 {
								ring[i].Len = c.tableLen
							}
						}
					}
				}
				d.Queue(0).AddRaw(ring)
				var ch virtio.Chain
				ok := q.Pop(&ch)
				if ok != (c.err == "") {
					t.Fatalf("Pop: %v, %v", ok, d.Failure())
				}
				if !ok {
					if err := d.Failure(); err == nil || !strings.Contains(err.Error(), c.err) {
						t.Errorf("the device failed by %v, want %q", err, c.err)
					}
					if d.Instance().Status()&virtio.StatusNeedsReset == 0 {
						t.Errorf("status %#x", d.Instance().Status())
					}
					if q.Pop(&ch) || q.Available() {
						t.Error("a broken queue goes on")
					}
					q.Push(&ch, 0)
					q.Flush()
					return
				}
				if ch.Out.Len() != c.out || ch.In.Len() != c.in {
					t.Errorf("%d bytes out, %d in; want %d and %d", ch.Out.Len(), ch.In.Len(), c.out, c.in)
				}
				if q.Pop(&ch) {
					t.Error("one chain came twice")
				}
			})
		}
	}
}

// What stands in the available ring is the driver's word too.
func TestAvailableRing(t *testing.T) {
	for _, c := range []struct {
		name      string
		idx, head uint16
		err       string
	}{
		{"head outside the table", 1, 8, "outside the table"},
		{"head far outside the table", 1, 0xFFFF, "outside the table"},
		{"more chains than the queue has", 9, 0, "further ahead"},
		{"index goes back", 0xFFFF, 0, "further ahead"},
		{"all of them", 8, 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, q := serve(t, virtiotest.Options{})
			avail, err := d.Memory().Slice(d.Queue(0).Setup().Driver, 6+2*8)
			if err != nil {
				t.Fatal(err)
			}
			avail[2], avail[3] = byte(c.idx), byte(c.idx>>8)
			avail[4], avail[5] = byte(c.head), byte(c.head>>8)
			var ch virtio.Chain
			if ok := q.Pop(&ch); ok != (c.err == "") {
				t.Errorf("Pop: %v", ok)
			}
			if err := d.Failure(); c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
				t.Errorf("the device failed by %v, want %q", err, c.err)
			}
		})
	}
}
