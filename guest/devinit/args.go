package main

import (
	"fmt"
	"strconv"
)

// number is an argument as a number; without it, otherwise.
func (a args) number(name string, otherwise uint64) (uint64, error) {
	s, ok := a[name]
	if !ok {
		return otherwise, nil
	}
	n, err := strconv.ParseUint(s, 0, 64)
	if err != nil {
		return 0, fmt.Errorf("%s=%s is no number", name, s)
	}
	return n, nil
}

// span is what reads and writes of patterns have in common.
type span struct {
	path           string
	off, len, seed uint64
	block          uint64 // bytes a call
	direct         bool   // O_DIRECT
	jobs           uint64 // calls at a time
}

func (a args) span() (s span, err error) {
	s.path = a["path"]
	_, s.direct = a["direct"]
	for _, n := range []struct {
		name      string
		to        *uint64
		otherwise uint64
	}{{"off", &s.off, 0}, {"len", &s.len, 1 << 20}, {"seed", &s.seed, 1}, {"block", &s.block, 64 << 10}, {"jobs", &s.jobs, 1}} {
		if *n.to, err = a.number(n.name, n.otherwise); err != nil {
			return s, err
		}
	}
	if s.block == 0 || s.jobs == 0 || s.block > 16<<20 || s.jobs > 256 {
		return s, fmt.Errorf("block=%d jobs=%d", s.block, s.jobs)
	}
	return s, nil
}
