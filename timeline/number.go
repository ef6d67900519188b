package timeline

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// duration writes a time with three significant digits: 412 µs, 4.21 ms, 1.75 s.
func duration(d time.Duration) string {
	v, unit := float64(d)/1e9, " s"
	switch {
	case d == 0:
		return "0"
	case d < 1e3:
		return strconv.Itoa(int(d)) + " ns"
	case d < 999500:
		v, unit = float64(d)/1e3, " µs"
	case d < 999500e3:
		v, unit = float64(d)/1e6, " ms"
	}
	digits := 2
	if v >= 99.95 {
		digits = 0
	} else if v >= 9.995 {
		digits = 1
	}
	return strconv.FormatFloat(v, 'f', digits, 64) + unit
}

// tickLabel is [duration] without zeros after the point.
func tickLabel(d time.Duration) string {
	v, unit, _ := strings.Cut(duration(d), " ")
	if strings.Contains(v, ".") {
		v = strings.TrimRight(strings.TrimRight(v, "0"), ".")
	}
	return strings.TrimSpace(v + " " + unit)
}

// thousands writes a count with commas: 20,250.
func thousands(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func vcpus(n int) string {
	if n == 1 {
		return "1 vCPU"
	}
	return strconv.Itoa(n) + " vCPUs"
}

func share(part, whole time.Duration) string {
	return fmt.Sprintf("%.1f %%", 100*float64(part)/float64(whole))
}

// ticks gives round times between from and to, at most seven.
func ticks(from, to time.Duration) []time.Duration {
	if to <= from {
		return nil
	}
	step := time.Duration(1)
	for i := 0; (to-from)/step > 6; i++ {
		step = step * [...]time.Duration{2, 5, 2}[i%3] / [...]time.Duration{1, 2, 1}[i%3]
	}
	var list []time.Duration
	for t := (from + step - 1) / step * step; t <= to && len(list) < 7; t += step {
		list = append(list, t)
	}
	return list
}
