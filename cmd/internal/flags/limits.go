package flags

import (
	"errors"
	"fmt"
	"time"

	"github.com/mayfly-vm/mayfly/cmd/internal/option"
	"github.com/mayfly-vm/mayfly/ratelimit"
)

// limitKeys are the keys of a rate limit.
func limitKeys(prefix string, l *ratelimit.Config) []option.Flag {
	return []option.Flag{
		{Name: prefix + "bandwidth", Arg: "RATE", Help: "the most bytes in a time, such as 100M/s; 10M/100ms allows shorter bursts", Value: rate(&l.Bandwidth, option.ByteRatePattern, option.ByteRate, option.ByteRateText)},
		{Name: prefix + "bandwidth-burst", Arg: "SIZE", Help: "bytes that may exceed it, once", Value: burst(&l.Bandwidth)},
		{Name: prefix + "ops", Arg: "RATE", Help: "the most operations in a time, such as 1000/s", Value: rate(&l.Ops, option.OpRatePattern, option.OpRate, option.OpRateText)},
		{Name: prefix + "ops-burst", Arg: "N", Help: "operations that may exceed it, once", Value: opsBurst(&l.Ops)},
	}
}

// checkLimits finds bursts without a limit.
func checkLimits(prefix string, l *ratelimit.Config) error {
	for _, b := range []struct {
		name   string
		bucket *ratelimit.Bucket
	}{{"bandwidth", l.Bandwidth}, {"ops", l.Ops}} {
		if b.bucket != nil && b.bucket.Size == 0 {
			return fmt.Errorf("%[1]s-burst: there is no limit that it exceeds: add %[1]s=RATE", prefix+b.name)
		}
	}
	return nil
}

// rate is the size and the time of a token bucket.
func rate(p **ratelimit.Bucket, pattern string, read func(string) (uint64, time.Duration, error), write func(uint64, time.Duration) string) option.Value {
	return option.Own(pattern,
		func(s string) error {
			n, per, err := read(s)
			if err != nil {
				return err
			}
			if n > ratelimit.MaxTokens {
				return errors.New("more than any device can transfer")
			}
			b := bucket(p)
			b.Size, b.Refill = n, per
			return nil
		},
		func() []string {
			if *p == nil || (*p).Size == 0 {
				return nil
			}
			return []string{write((*p).Size, (*p).Refill)}
		})
}

func bucket(p **ratelimit.Bucket) *ratelimit.Bucket {
	if *p == nil {
		*p = &ratelimit.Bucket{}
	}
	return *p
}

// burst is what may pass once beyond a rate, in bytes.
func burst(p **ratelimit.Bucket) option.Value {
	var n uint64
	return onBucket(p, &n, option.Bytes(&n, 1<<10, ratelimit.MaxTokens))
}

// opsBurst is the same in operations.
func opsBurst(p **ratelimit.Bucket) option.Value {
	var n uint64
	return onBucket(p, &n, option.Number(&n, 1, ratelimit.MaxTokens))
}

// onBucket makes a value of n one of the bucket's burst.
func onBucket(p **ratelimit.Bucket, n *uint64, v option.Value) option.Value {
	set, get := v.Set, v.Get
	v.Set = func(s string) error {
		err := set(s)
		if err == nil {
			bucket(p).OneTimeBurst = *n
		}
		return err
	}
	v.Get = func() []string {
		if *n = 0; *p != nil {
			*n = (*p).OneTimeBurst
		}
		return get()
	}
	return v
}
