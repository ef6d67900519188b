package option

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Patterns of what ByteRate, OpRate and Duration read.
const (
	ByteRatePattern = `^[0-9]+[KkMmGgTt]([Ii]?[Bb])?/([0-9]*([.][0-9]+)?(ns|us|ms|s|m|h))+$`
	OpRatePattern   = `^[0-9]+[KkMmGg]?/([0-9]*([.][0-9]+)?(ns|us|ms|s|m|h))+$`
	TimePattern     = `^([0-9]+([.][0-9]+)?(ns|us|ms|s|m|h))+$`
)

// ByteRate reads bytes in a time: 100M/s, or 10M/100ms.
func ByteRate(s string) (bytes uint64, per time.Duration, err error) {
	const such = "write one such as 100M/s"
	amount, per, err := splitRate(s, such)
	if err != nil {
		return 0, 0, err
	}
	if amount != "" && strings.Trim(amount, "0123456789") == "" {
		return 0, 0, fmt.Errorf("no unit after %s: write %sK/…, %sM/… or %sG/…", amount, amount, amount, amount)
	}
	if bytes, err = Size(amount); err != nil {
		return 0, 0, fmt.Errorf("%q is not an amount of bytes; %s", amount, such)
	}
	if bytes == 0 {
		return 0, 0, errors.New("nothing would pass; leave it out for no limit")
	}
	return bytes, per, nil
}

// OpRate reads a count in a time: 1000/s, 20K/s (thousands), or 5/100ms.
func OpRate(s string) (count uint64, per time.Duration, err error) {
	const such = "write one such as 1000/s"
	amount, per, err := splitRate(s, such)
	if err != nil {
		return 0, 0, err
	}
	scale := uint64(1)
	digits := strings.TrimRight(amount, "KkMmGg")
	switch strings.ToUpper(amount[len(digits):]) {
	case "":
	case "K":
		scale = 1e3
	case "M":
		scale = 1e6
	case "G":
		scale = 1e9
	default:
		digits = ""
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil || n > 1<<56/scale {
		return 0, 0, fmt.Errorf("%q is not a number of operations; %s", amount, such)
	}
	if n == 0 {
		return 0, 0, errors.New("nothing would pass; leave it out for no limit")
	}
	return n * scale, per, nil
}

func splitRate(s, such string) (amount string, per time.Duration, err error) {
	amount, unit, ok := strings.Cut(s, "/")
	if !ok {
		return "", 0, fmt.Errorf("no time after a slash; %s", such)
	}
	if unit != "" && (unit[0] < '0' || unit[0] > '9') {
		unit = "1" + unit
	}
	if per, err = time.ParseDuration(unit); err != nil || per <= 0 || per > 24*time.Hour {
		return "", 0, fmt.Errorf("the time after the slash is not one up to 24h; %s", such)
	}
	return amount, per, nil
}

// ByteRateText writes what ByteRate reads.
func ByteRateText(bytes uint64, per time.Duration) string {
	if bytes%1024 != 0 { // set by a program: only whole KiB can be written
		bytes = max(bytes&^1023, 1024)
	}
	return SizeText(bytes) + "/" + timeText(per)
}

// OpRateText writes what OpRate reads.
func OpRateText(count uint64, per time.Duration) string {
	return strconv.FormatUint(count, 10) + "/" + timeText(per)
}

func timeText(d time.Duration) string {
	if d == time.Second {
		return "s"
	}
	return DurationText(d)
}

// DurationText writes a time without units that count nothing: 2m, not 2m0s.
func DurationText(d time.Duration) string {
	s := strings.ReplaceAll(d.String(), "µs", "us")
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}
