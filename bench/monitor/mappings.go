package monitor

import (
	"fmt"
	"os"
	"strings"
)

// mapping is one of a process's: its addresses, and its part of the proportional set size, in bytes.
type mapping struct{ from, to, pss int64 }

// mappings reads /proc/PID/smaps (Linux, Documentation/filesystems/proc.rst).
func (s *Started) mappings() (list []mapping, err error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps", s.cmd.Process.Pid))
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(b)) {
		var m mapping
		if n, _ := fmt.Sscanf(line, "%x-%x ", &m.from, &m.to); n == 2 {
			list = append(list, m)
		} else if n, _ := fmt.Sscanf(line, "Pss: %d kB", &m.pss); n == 1 && len(list) > 0 {
			list[len(list)-1].pss = m.pss << 10
		}
	}
	return list, nil
}

// Beyond is the PSS of all but the guest's RAM, of so many MiB. That is found by its size: of one mapping, or of several in a row, which
// differ in how they take pages.
func (s *Started) Beyond(mib int) (int64, error) {
	list, err := s.mappings()
	if err != nil {
		return 0, err
	}
	var sum int64
	for _, m := range list {
		sum += m.pss
	}
	for i, first := range list {
		var ram int64
		for j := i; j < len(list) && (j == i || list[j].from == list[j-1].to); j++ {
			ram += list[j].pss
			if list[j].to-first.from == int64(mib)<<20 {
				return sum - ram, nil
			}
		}
	}
	return 0, fmt.Errorf("%s: no mapping of %d MiB, the guest's RAM", s.name, mib)
}
