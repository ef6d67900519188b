package option

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

const sizePattern = `^[0-9]+([KkMmGgTt]([Ii]?[Bb])?)?$`

// Size reads an amount of memory: a whole number followed by K, M, G or T (also as KiB, MB, g …: all count in powers
// of 1024). A bare number counts MiB, as with other monitors. The result is in bytes.
func Size(s string) (uint64, error) {
	digits := strings.TrimRight(s, "KkMmGgTtIiBb")
	shift, ok := map[string]uint{"": 20, "K": 10, "M": 20, "G": 30, "T": 40}[unit(s[len(digits):])]
	switch {
	case s == "":
		return 0, errors.New("empty; write a size such as 256M or 4G")
	case !ok:
		return 0, fmt.Errorf("unknown unit %q; units are K, M, G and T", s[len(digits):])
	case strings.HasPrefix(digits, "-"):
		return 0, errors.New("a size is not negative")
	case strings.ContainsAny(digits, ".,"):
		return 0, errors.New("no fractions; take the next smaller unit (1.5G is 1536M)")
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	if errors.Is(err, strconv.ErrRange) || err == nil && n > 1<<63>>shift {
		return 0, errors.New("more than any machine can have; a bare number counts MiB")
	}
	if err != nil {
		return 0, errors.New("not a size; write one such as 256M or 4G")
	}
	return n << shift, nil
}

// unit brings "mib", "MB" and "m" to "M".
func unit(s string) string {
	s = strings.ToUpper(s)
	if s == "B" {
		return "B" // bytes: no memory is given in them
	}
	s = strings.TrimSuffix(s, "B")
	if len(s) == 2 {
		s = strings.TrimSuffix(s, "I")
	}
	return s
}

// SizeText writes a size as Size reads it, in the largest unit that is exact.
func SizeText(n uint64) string {
	for _, u := range []struct {
		shift uint
		name  string
	}{{40, "T"}, {30, "G"}, {20, "M"}, {10, "K"}} {
		if n > 0 && n&(1<<u.shift-1) == 0 {
			return strconv.FormatUint(n>>u.shift, 10) + u.name
		}
	}
	return strconv.FormatUint(n, 10)
}
