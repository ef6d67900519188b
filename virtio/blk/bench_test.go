package blk_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/mayfly-vm/mayfly/virtio/blk"
	"github.com/mayfly-vm/mayfly/virtio/virtiotest"
)

// benchSize is the file that requests are spread over. It fits into the page
// cache.
const benchSize = 256 << 20

func benchFile(b *testing.B, dir string) string {
	path := filepath.Join(dir, fmt.Sprintf("mayfly-bench-%d.img", os.Getpid()))
	f, err := os.Create(path)
	if err != nil {
		b.Skip(err)
	}
	b.Cleanup(func() { os.Remove(path) })
	p := pattern(0, 1<<20)
	for range benchSize / len(p) {
		if _, err := f.Write(p); err != nil {
			b.Skip(err)
		}
	}
	f.Sync()
	f.Close()
	return path
}

// drive keeps depth requests of size bytes under way. The driver polls for them, or
// sleeps until the interrupt: what waits for a disk should leave the processor to
// others, as fio does.
func drive(b *testing.B, q *virtiotest.Queue, kind uint32, depth, size int, random, sleep bool) {
	reqs := make([]*virtiotest.Request, depth)
	for i := range reqs {
		if kind == in {
			reqs[i] = q.Prepare([][]byte{header(in, 0)}, []int{size, 1})
		} else {
			reqs[i] = q.Prepare([][]byte{header(out, 0), make([]byte, size)}, []int{1})
		}
	}
	rng := rand.New(rand.NewPCG(1, 2))
	blocks := benchSize / size
	next := 0
	submit := func(r *virtiotest.Request) {
		n := next % blocks
		if random {
			n = rng.IntN(blocks)
		}
		next++
		copy(r.Out(0), header(kind, uint64(n)*uint64(size/512)))
		q.Submit(r)
	}
	b.SetBytes(int64(size))
	b.ReportAllocs()
	b.ResetTimer()
	sent, done := 0, 0
	for ; sent < min(depth, b.N); sent++ {
		submit(reqs[sent])
	}
	q.Kick()
	for done < b.N {
		r := q.Poll()
		if r == nil && sleep {
			r = q.Wait()
		}
		if r == nil {
			continue
		}
		if done++; sent < b.N {
			submit(r)
			sent++
			q.Kick()
		}
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
}

// BenchmarkDevice measures requests through real rings. Compare with
//
//	fio --name=x --filename=FILE --size=256M --rw=randread --bs=4k --iodepth=32 --ioengine=io_uring
func BenchmarkDevice(b *testing.B) {
	for _, dir := range []string{"/var/tmp", "/dev/shm"} {
		if _, err := os.Stat(dir); err != nil {
			continue
		}
		path := benchFile(b, dir)
		for _, direct := range []bool{false, true} {
			if direct && dir == "/dev/shm" {
				continue
			}
			for _, engine := range blk.Engines[1:] {
				for _, w := range []struct {
					name  string
					kind  uint32
					size  int
					depth []int
				}{{"randread4k", in, 4096, []int{1, 32, 128}}, {"randwrite4k", out, 4096, []int{1, 32, 128}}, {"read128k", in, 128 << 10, []int{1, 32}}, {"write128k", out, 128 << 10, []int{32}}} {
					for _, depth := range w.depth {
						b.Run(fmt.Sprintf("%s/direct=%v/engine=%s/%s/depth=%d", filepath.Base(dir), direct, engine, w.name, depth), func(b *testing.B) {
							dev := open(b, blk.Config{Path: path, Engine: engine, Direct: direct, Cache: blk.Unsafe})
							defer dev.Close()
							d := virtiotest.New(b, dev, virtiotest.Options{})
							drive(b, d.Queue(0), w.kind, depth, w.size, w.size == 4096, direct)
							d.Instance().Close()
							b.ReportMetric(float64(dev.Stats().Inline)/float64(b.N), "inline/op")
						})
					}
				}
			}
		}
	}
}
