package blk_test

import (
	"bytes"
	"encoding/binary"
	"os"
	"testing"

	"github.com/mayfly-vm/mayfly/virtio"
	"github.com/mayfly-vm/mayfly/virtio/blk"
	"github.com/mayfly-vm/mayfly/virtio/virtiotest"
)

// TestWritesOneByOne: a driver that waits for each of its writes is soon served
// another way than one with many under way, and back.
func TestWritesOneByOne(t *testing.T) {
	each(t, func(t *testing.T, c blk.Config, o virtiotest.Options) {
		d := virtiotest.New(t, open(t, c), o)
		q := d.Queue(0)
		want := pattern(0, imageSize)
		put := func(off, n, seed int) {
			copy(want[off:], pattern(seed, n))
			if s := write(q, off, want[off:][:n]); s != ok {
				t.Fatalf("write of %d bytes at %d: %d", n, off, s)
			}
		}
		for round := range 3 {
			for i := range 40 {
				put(i<<13, 4096<<(i&1), round*1000+i)
			}
			// In pieces that O_DIRECT refuses.
			odd := pattern(77+round, 1024)
			copy(want[512:], odd)
			if s := status(q.Do([][]byte{header(out, 1), odd[:100], odd[100:]}, []int{1})); s != ok {
				t.Fatalf("a write in odd pieces: %d", s)
			}
			var many []*virtiotest.Request
			for i := range 8 {
				p := pattern(round*1000+i*77, 8192)
				copy(want[i<<14:], p)
				many = append(many, q.Prepare([][]byte{header(out, uint64(i)*32), p}, []int{1}))
				q.Submit(many[i])
			}
			q.Kick()
			for range many {
				if r := q.Wait(); status(r) != ok {
					t.Fatalf("one write of many: %d", status(r))
				}
			}
			wantBytes(t, q, 0, want[:1<<20])
		}
	})
}

func TestRequests(t *testing.T) {
	each(t, func(t *testing.T, c blk.Config, o virtiotest.Options) {
		c.Serial = "mayfly-0123456789012"
		dev := open(t, c)
		d := virtiotest.New(t, dev, o)
		q := d.Queue(0)
		wantBytes(t, q, 0, pattern(0, 512))
		wantBytes(t, q, 4096, pattern(4096, 128<<10))
		wantBytes(t, q, imageSize-512, pattern(imageSize-512, 512))
		wantBytes(t, q, 0, nil)

		data := bytes.Repeat([]byte("0123456789abcdef"), 1024)
		for _, off := range []int{0, 512, 8192, imageSize - len(data)} {
			if s := write(q, off, data); s != ok {
				t.Fatalf("write at %d: %d", off, s)
			}
			wantBytes(t, q, off, data)
		}
		if s := status(q.Do([][]byte{header(flush, 0)}, []int{1})); s != ok {
			t.Errorf("flush: %d", s)
		}
		r := q.Do([][]byte{header(getID, 0)}, []int{20, 1})
		if string(r.In()[:20]) != c.Serial || status(r) != ok || r.Written() != 21 {
			t.Errorf("serial number: %q, %d bytes", r.In(), r.Written())
		}
		// Any layout of buffers (section 2.7.4).
		all := append(header(out, 16), data[:1024]...)
		if s := status(q.Do([][]byte{all[:7], all[7:100], all[100:]}, []int{1})); s != ok {
			t.Errorf("a write in odd pieces: %d", s)
		}
		r = q.Do([][]byte{header(in, 16)}, []int{100, 925})
		if status(r) != ok || !bytes.Equal(r.In()[:1024], data[:1024]) || r.Written() != 1025 {
			t.Errorf("a read in odd pieces: status %d, %d bytes", status(r), r.Written())
		}

		for _, r := range [][3]uint64{{16, 2, 0}, {32, 8, 1}} {
			if s := status(q.Do([][]byte{header(writeZeroes, 0), ranges(r)}, []int{1})); s != ok {
				t.Errorf("write zeroes: %d", s)
			}
		}
		wantBytes(t, q, 16*512, make([]byte, 1024))
		wantBytes(t, q, 32*512, make([]byte, 4096))
		if s := status(q.Do([][]byte{header(discard, 0), ranges([3]uint64{64, 8, 0})}, []int{1})); s != ok {
			t.Errorf("discard: %d", s)
		}

		end := uint64(imageSize / 512)
		for name, x := range map[string]struct {
			out  [][]byte
			in   []int
			want byte
		}{
			"read over the end":     {[][]byte{header(in, end-1)}, []int{1024, 1}, ioErr},
			"read far away":         {[][]byte{header(in, 1<<63)}, []int{512, 1}, ioErr},
			"read that wraps":       {[][]byte{header(in, 1<<55-1)}, []int{512, 1}, ioErr},
			"odd read":              {[][]byte{header(in, 0)}, []int{511, 1}, ioErr},
			"write over the end":    {[][]byte{header(out, end), data[:512]}, []int{1}, ioErr},
			"odd write":             {[][]byte{header(out, 0), data[:100]}, []int{1}, ioErr},
			"unknown":               {[][]byte{header(77, 0)}, []int{512, 1}, unsupported},
			"old SCSI":              {[][]byte{header(2, 0)}, []int{1}, unsupported},
			"secure erase":          {[][]byte{header(14, 0), ranges([3]uint64{0, 1, 0})}, []int{1}, unsupported},
			"discard with unmap":    {[][]byte{header(discard, 0), ranges([3]uint64{0, 1, 1})}, []int{1}, unsupported},
			"zeroes with flags":     {[][]byte{header(writeZeroes, 0), ranges([3]uint64{0, 1, 2})}, []int{1}, unsupported},
			"discard over the end":  {[][]byte{header(discard, 0), ranges([3]uint64{end - 1, 2, 0})}, []int{1}, ioErr},
			"discard that wraps":    {[][]byte{header(discard, 0), ranges([3]uint64{1<<64 - 1, 2, 0})}, []int{1}, ioErr},
			"discard of much":       {[][]byte{header(discard, 0), ranges([3]uint64{0, 1<<32 - 1, 0})}, []int{1}, ioErr},
			"discard of nothing":    {[][]byte{header(discard, 0)}, []int{1}, ioErr},
			"discard of half":       {[][]byte{header(discard, 0), make([]byte, 15)}, []int{1}, ioErr},
			"discard of two ranges": {[][]byte{header(discard, 0), make([]byte, 16*2)}, []int{1}, ioErr},
			"zeroes over the end":   {[][]byte{header(writeZeroes, 0), ranges([3]uint64{0, end + 1, 0})}, []int{1}, ioErr},
			"zeroes of much":        {[][]byte{header(writeZeroes, 0), ranges([3]uint64{0, 128<<11 + 1, 0})}, []int{1}, ioErr},
			"empty range":           {[][]byte{header(discard, 0), ranges([3]uint64{0, 0, 0})}, []int{1}, ok},
		} {
			if s := status(q.Do(x.out, x.in)); s != x.want {
				t.Errorf("%s: status %d, want %d", name, s, x.want)
			}
		}
		wantBytes(t, q, 8192+4096, data[:1024]) // the next request works
	})
}

func TestReadOnly(t *testing.T) {
	dev := open(t, blk.Config{ReadOnly: true})
	if dev.Features()&(1<<5) == 0 || dev.Features()&(1<<13) != 0 {
		t.Errorf("features %#x", dev.Features())
	}
	q := virtiotest.New(t, dev, virtiotest.Options{}).Queue(0)
	wantBytes(t, q, 512, pattern(512, 4096))
	for name, req := range map[string][][]byte{
		"write":   {header(out, 0), make([]byte, 512)},
		"discard": {header(discard, 0), ranges([3]uint64{0, 1, 0})},
		"zeroes":  {header(writeZeroes, 0), ranges([3]uint64{0, 1, 0})},
	} {
		if s := status(q.Do(req, []int{1})); s != ioErr {
			t.Errorf("%s: status %d", name, s)
		}
	}
	if s := status(q.Do([][]byte{header(flush, 0)}, []int{1})); s != ok {
		t.Errorf("flush: %d", s)
	}
	wantBytes(t, q, 0, pattern(0, 4096))
}

// TestBroken: what has no place for an answer makes the device need a reset, and
// after that it works again.
func TestBroken(t *testing.T) {
	for name, x := range map[string]struct {
		out [][]byte
		in  []int
	}{
		"no status":    {[][]byte{header(in, 0)}, nil},
		"short header": {[][]byte{header(in, 0)[:15]}, []int{512, 1}},
		"no header":    {nil, []int{512, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			d := virtiotest.New(t, open(t, blk.Config{}), virtiotest.Options{})
			d.Queue(0).Add(x.out, x.in)
			d.Queue(0).Kick()
			d.WaitConfigChanged()
			if d.Instance().Status()&virtio.StatusNeedsReset == 0 {
				t.Fatal("no reset needed")
			}
			d.Reset()
			wantBytes(t, d.Queue(0), 0, pattern(0, 512))
		})
	}
}

func TestConfigSpace(t *testing.T) {
	f := &fake{data: make([]byte, 1<<20)}
	dev := open(t, blk.Config{Path: "fake", Image: f, Queues: 3, QueueSize: 64})
	d := virtiotest.New(t, dev, virtiotest.Options{})
	s := d.ReadConfig(0, 60)
	le := binary.LittleEndian
	for _, x := range []struct {
		name      string
		got, want uint64
	}{
		{"capacity", le.Uint64(s), 2048},
		{"size_max", uint64(le.Uint32(s[8:])), 0},
		{"seg_max", uint64(le.Uint32(s[12:])), 62},
		{"blk_size", uint64(le.Uint32(s[20:])), 512},
		{"physical_block_exp", uint64(s[24]), 3},
		{"min_io_size", uint64(le.Uint16(s[26:])), 8},
		{"opt_io_size", uint64(le.Uint32(s[28:])), 2048},
		{"writeback", uint64(s[32]), 1},
		{"num_queues", uint64(le.Uint16(s[34:])), 3},
		{"max_discard_sectors", uint64(le.Uint32(s[36:])), 128 << 11},
		{"max_discard_seg", uint64(le.Uint32(s[40:])), 1},
		{"max_write_zeroes_sectors", uint64(le.Uint32(s[48:])), 128 << 11},
		{"max_write_zeroes_seg", uint64(le.Uint32(s[52:])), 1},
	} {
		if x.got != x.want {
			t.Errorf("%s is %d, want %d", x.name, x.got, x.want)
		}
	}
	// Writing through, chosen by the driver; the rest can't be written.
	d.WriteConfig(0, make([]byte, 60))
	if s := d.ReadConfig(0, 60); le.Uint64(s) != 2048 || s[32] != 0 {
		t.Errorf("after a write of zeroes: %x", s)
	}
	d.Reset()
	if d.ReadConfig(32, 1)[0] != 1 {
		t.Error("a reset keeps the driver's choice of a cache")
	}
	// Outside and across the end.
	d.WriteConfig(1<<40, []byte{1})
	if p := d.ReadConfig(58, 8); !bytes.Equal(p[2:], make([]byte, 6)) {
		t.Errorf("behind the end: %x", p)
	}
}

func TestCache(t *testing.T) {
	for _, c := range blk.Caches {
		f := &fake{data: make([]byte, 1<<20)}
		q := virtiotest.New(t, open(t, blk.Config{Path: "fake", Image: f, Cache: c}), virtiotest.Options{}).Queue(0)
		if s := status(q.Do([][]byte{header(flush, 0)}, []int{1})); s != ok {
			t.Errorf("flush: %d", s)
		}
		_, n := f.count()
		if want := map[blk.Cache]int{blk.Writeback: 1, blk.Unsafe: 0}[c]; n != want {
			t.Errorf("cache=%s: a flush reached the image %d times", c, n)
		}
	}
}

// TestContents compares the file with what was written, over both engines' ways.
func TestContents(t *testing.T) {
	each(t, func(t *testing.T, c blk.Config, o virtiotest.Options) {
		dev := open(t, c)
		q := virtiotest.New(t, dev, o).Queue(0)
		want := pattern(0, imageSize)
		var under int
		wait := func(most int) {
			for ; under > most; under-- {
				if s := status(q.Wait()); s != ok {
					t.Fatalf("status %d", s)
				}
			}
		}
		for i := range 300 {
			off := i * 37 % 256 * 16384 // no two that are under way at once overlap
			p := bytes.Repeat([]byte{byte(i)}, 512*(1+i%32))
			wait(15)
			if i%16 == 0 {
				wait(0)
			}
			copy(want[off:], p)
			q.Add([][]byte{header(out, uint64(off/512)), p}, []int{1})
			q.Kick()
			under++
		}
		wait(0)
		if s := status(q.Do([][]byte{header(flush, 0)}, []int{1})); s != ok {
			t.Fatalf("flush: %d", s)
		}
		got, err := os.ReadFile(c.Path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Error("the file is not what was written")
		}
	})
}
