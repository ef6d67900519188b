package main

import "time"

func rdtsc() uint64

// tscKHz is the frequency of the time stamp counter. Not every monitor reports it to
// its guest, and none scales the counter: so all get it from here.
func tscKHz() uint64 {
	begin, ticks := time.Now(), rdtsc()
	time.Sleep(200 * time.Millisecond)
	d := rdtsc() - ticks
	return d * uint64(time.Millisecond) / uint64(time.Since(begin))
}
