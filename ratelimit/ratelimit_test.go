package ratelimit_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mayfly-vm/mayfly/ratelimit"
)

// clock is a time that tests set.
type clock struct{ now time.Time }

func (c *clock) time() time.Time { return c.now }

func start() *clock { return &clock{time.Unix(1e9, 0)} }

func TestBandwidth(t *testing.T) {
	c := start()
	l := ratelimit.NewClock(ratelimit.Config{Bandwidth: &ratelimit.Bucket{Size: 1000, OneTimeBurst: 500, Refill: time.Second}}, c.time)
	if !l.Take(1500) {
		t.Fatal("the bucket and its burst are not there at the start")
	}
	if l.Take(1) {
		t.Fatal("an empty bucket gave a token")
	}
	if w := l.Wait(); w != time.Millisecond {
		t.Fatalf("one of 1000 tokens a second takes %v", w)
	}
	c.now = c.now.Add(time.Millisecond - 1)
	if l.Take(1) {
		t.Fatal("a token came too early")
	}
	c.now = c.now.Add(1)
	if !l.Take(1) {
		t.Fatal("no token after its time")
	}
	c.now = c.now.Add(time.Hour)
	if l.Take(1000); l.Take(1) {
		t.Fatal("the bucket held more than its size, or its burst came again")
	}
}

func TestOps(t *testing.T) {
	c := start()
	l := ratelimit.NewClock(ratelimit.Config{Ops: &ratelimit.Bucket{Size: 2, Refill: time.Second}}, c.time)
	if !l.Take(1<<40) || !l.Take(0) || l.Take(0) {
		t.Fatal("not 2 operations of any size")
	}
	if w := l.Wait(); w != 500*time.Millisecond {
		t.Fatalf("the next operation in %v", w)
	}
}

// TestBoth: what fails for one limit costs nothing of the other.
func TestBoth(t *testing.T) {
	c := start()
	l := ratelimit.NewClock(ratelimit.Config{
		Bandwidth: &ratelimit.Bucket{Size: 100, Refill: time.Second},
		Ops:       &ratelimit.Bucket{Size: 1, Refill: time.Minute},
	}, c.time)
	if !l.Take(50) || l.Take(50) {
		t.Fatal("not one operation")
	}
	l.Set(ratelimit.Config{Bandwidth: &ratelimit.Bucket{Size: 100, Refill: time.Second}})
	if !l.Take(50) {
		t.Fatal("the failed operation spent bandwidth")
	}
	if l.Take(1) {
		t.Fatal("the bucket was filled by Set")
	}
}

// TestLargerThanBucket: on average, the rate holds for operations of any size.
func TestLargerThanBucket(t *testing.T) {
	c := start()
	l := ratelimit.NewClock(ratelimit.Config{Bandwidth: &ratelimit.Bucket{Size: 1000, Refill: time.Second}}, c.time)
	begin := c.now
	for range 10 {
		for !l.Take(5000) {
			w := l.Wait()
			if w <= 0 {
				t.Fatal("no wait after a failed Take")
			}
			c.now = c.now.Add(w)
		}
	}
	if took := c.now.Sub(begin); took != 45*time.Second {
		t.Errorf("10 operations of 5000 bytes at 1000 a second took %v", took)
	}
}

// TestNoDrift: many small steps give as many tokens as one large one.
func TestNoDrift(t *testing.T) {
	c := start()
	l := ratelimit.NewClock(ratelimit.Config{Bandwidth: &ratelimit.Bucket{Size: 7777, Refill: 3 * time.Second}}, c.time)
	l.Take(7777)
	taken := 0
	for range 30_000 {
		c.now = c.now.Add(100*time.Microsecond + 1)
		for l.Take(1) {
			taken++
		}
	}
	if taken < 7776 || taken > 7778 {
		t.Errorf("%d tokens in the time of 7777", taken)
	}
}

func TestSet(t *testing.T) {
	c := start()
	l := ratelimit.NewClock(ratelimit.Config{}, c.time)
	if !l.Take(1<<60) || l.Wait() != 0 {
		t.Fatal("no limit limits")
	}
	l.Set(ratelimit.Config{Bandwidth: &ratelimit.Bucket{Size: 10, Refill: time.Second}})
	if !l.Take(10) || l.Take(1) {
		t.Fatal("a new limit doesn't hold")
	}
	l.Set(ratelimit.Config{Bandwidth: &ratelimit.Bucket{Size: 1 << 30, Refill: time.Second}})
	if l.Take(1 << 20) {
		t.Fatal("an empty bucket became full when it grew")
	}
	l.Set(ratelimit.Config{})
	if !l.Take(1 << 60) {
		t.Fatal("a limit that was taken away limits")
	}
}

func TestExtremes(t *testing.T) {
	c := start()
	l := ratelimit.NewClock(ratelimit.Config{
		Bandwidth: &ratelimit.Bucket{Size: 1, Refill: ratelimit.MaxRefill},
		Ops:       &ratelimit.Bucket{Size: ratelimit.MaxTokens, OneTimeBurst: ratelimit.MaxTokens, Refill: 1},
	}, c.time)
	if !l.Take(1<<64 - 1) {
		t.Fatal("a full bucket refuses")
	}
	c.now = c.now.Add(1000 * time.Hour)
	if l.Take(1) || l.Wait() <= 0 {
		t.Fatal("the debt is forgotten")
	}
	c.now = c.now.Add(-2000 * time.Hour) // a clock that goes back
	l.Take(1)
}

func TestCheck(t *testing.T) {
	for _, x := range []struct {
		b    ratelimit.Bucket
		want string
	}{
		{ratelimit.Bucket{Size: 1, Refill: 1}, ""},
		{ratelimit.Bucket{Refill: 1}, "size 0"},
		{ratelimit.Bucket{Size: 1}, "refill time"},
		{ratelimit.Bucket{Size: 1, Refill: -1}, "refill time"},
		{ratelimit.Bucket{Size: 1 << 60, Refill: 1}, "at most"},
		{ratelimit.Bucket{Size: 1, OneTimeBurst: 1 << 60, Refill: 1}, "at most"},
	} {
		for _, c := range []ratelimit.Config{{Bandwidth: &x.b}, {Ops: &x.b}} {
			err := c.Check()
			if (err == nil) != (x.want == "") || err != nil && !strings.Contains(err.Error(), x.want) {
				t.Errorf("%+v: %v", x.b, err)
			}
		}
	}
}

func TestNil(t *testing.T) {
	var l *ratelimit.Limiter
	if !l.Take(1) || l.Wait() != 0 {
		t.Error("a nil Limiter limits")
	}
}

// TestShared: several takers never get more than there is.
func TestShared(t *testing.T) {
	c := start()
	l := ratelimit.NewClock(ratelimit.Config{Ops: &ratelimit.Bucket{Size: 1000, Refill: time.Hour}}, c.time)
	var wg sync.WaitGroup
	var mu sync.Mutex
	total := 0
	for range 4 {
		wg.Go(func() {
			n := 0
			for l.Take(1) {
				n++
			}
			mu.Lock()
			total += n
			mu.Unlock()
		})
	}
	if wg.Wait(); total != 1000 {
		t.Errorf("%d of 1000 operations", total)
	}
}

func TestAllocations(t *testing.T) {
	l := ratelimit.New(ratelimit.Config{Ops: &ratelimit.Bucket{Size: 10, Refill: time.Hour}})
	if n := testing.AllocsPerRun(100, func() { l.Take(1); l.Wait() }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkTake(b *testing.B) {
	l := ratelimit.New(ratelimit.Config{Bandwidth: &ratelimit.Bucket{Size: ratelimit.MaxTokens, Refill: time.Second}})
	for b.Loop() {
		l.Take(4096)
	}
}
