package option

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
)

// Bool is a flag that is given or not; a key can be true or false.
func Bool(p *bool) Value {
	return Value{
		Type: Boolean,
		Set: func(s string) error {
			if s != "" && s != "true" && s != "false" {
				return errors.New("it is true or false; alone it means true")
			}
			*p = s != "false"
			return nil
		},
		Get: func() []string { return given("true", *p) },
	}
}

// Text takes anything.
func Text(p *string) Value {
	return Value{
		Set: func(s string) error { *p = s; return nil },
		Get: func() []string { return given(*p, *p != "") },
	}
}

// Texts is for what may be given more than once.
func Texts(p *[]string) Value {
	return Value{
		Set: func(s string) error { *p = append(*p, s); return nil },
		Get: func() []string { return slices.Clone(*p) },
	}
}

// Path is the name of a file.
func Path(p *string) Value {
	v := Text(p)
	v.Files = true
	v.Set = func(s string) error {
		if s == "" {
			return errors.New("empty; name a file")
		}
		*p = s
		return nil
	}
	return v
}

// Number is a whole number from least to most; zero is what is there by default.
func Number[T ~int | ~uint8 | ~uint16 | ~uint32 | ~uint64](p *T, least, most uint64) Value {
	return Value{
		Type: Integer, Least: least, Most: most,
		Set: func(s string) error {
			n, err := strconv.ParseUint(s, 10, 64)
			if err != nil && !errors.Is(err, strconv.ErrRange) && !isNumber(s) {
				return fmt.Errorf("not a whole number; it is one from %d to %d", least, most)
			}
			if err != nil || n < least || n > most {
				return fmt.Errorf("out of range; it is a number from %d to %d", least, most)
			}
			*p = T(n)
			return nil
		},
		Get: func() []string { return given(strconv.FormatUint(uint64(*p), 10), *p != 0) },
	}
}

// isNumber reports whether s is a number, be it out of range.
func isNumber(s string) bool {
	_, err := strconv.ParseInt(s, 10, 64)
	return err == nil || errors.Is(err, strconv.ErrRange)
}

// Bytes is a size from least to most bytes.
func Bytes(p *uint64, least, most uint64) Value {
	return Value{
		Type: Bytesize, Least: least, Most: most, Pattern: sizePattern,
		Set: func(s string) error {
			n, err := Size(s)
			if err != nil {
				return err
			}
			if n < least || n > most {
				return fmt.Errorf("out of range; it is a size from %s to %s", SizeText(least), SizeText(most))
			}
			*p = n
			return nil
		},
		Get: func() []string { return given(SizeText(*p), *p != 0) },
	}
}

// Choice is one of few values. The first one is the default.
func Choice[T ~string](p *T, values ...T) Value {
	v := Value{
		Set: func(s string) error { *p = T(s); return nil }, // Values was asked before
		Get: func() []string { return given(string(*p), *p != "" && *p != values[0]) },
	}
	for _, one := range values {
		v.Values = append(v.Values, string(one))
	}
	return v
}

// Own is a value with its own functions.
func Own(pattern string, set func(string) error, get func() []string) Value {
	return Value{Pattern: pattern, Set: set, Get: get}
}

// ForLine is a value that belongs to the command line alone.
func ForLine(v Value) Value {
	v.Get = nil
	return v
}

func given(s string, ok bool) []string {
	if !ok {
		return nil
	}
	return []string{s}
}
