package option

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type got struct {
	CPUs   int
	Memory uint64
	Initrd []string
	Name   string
	Quiet  bool
	Boot   string
}

func command(g *got) *Command {
	return &Command{Name: "run", Operands: "[KERNEL]", Brief: "run", MaxArgs: 1, Flags: []Flag{
		{Name: "cpus", Arg: "N", Value: Number(&g.CPUs, 1, 255)},
		{Name: "memory", Short: 'm', Arg: "SIZE", Value: Bytes(&g.Memory, 16<<20, 16<<40)},
		{Name: "initrd", Arg: "FILE", Many: true, Value: Texts(&g.Initrd)},
		{Name: "name", Arg: "S", Value: Text(&g.Name)},
		{Name: "quiet", Value: Bool(&g.Quiet)},
		{Name: "boot", Arg: "HOW", Value: Choice(&g.Boot, "auto", "pvh", "linux")},
	}}
}

func TestParse(t *testing.T) {
	for _, c := range []struct {
		args string
		want got
		rest string
	}{
		{"", got{}, ""},
		{"k --cpus 4", got{CPUs: 4}, "k"},
		{"--cpus=4 k --quiet", got{CPUs: 4, Quiet: true}, "k"},
		{"-m 1G --memory=2G", got{Memory: 2 << 30}, ""},
		{"--initrd a --initrd=b --initrd --quiet", got{Initrd: []string{"a", "b", "--quiet"}}, ""},
		{"--name= --quiet -- --cpus", got{Quiet: true}, "--cpus"},
		{"--name a=b --boot pvh -", got{Name: "a=b", Boot: "pvh"}, "-"},
	} {
		var g got
		rest, err := command(&g).Parse(strings.Fields(c.args))
		if err != nil || strings.Join(rest, " ") != c.rest {
			t.Errorf("%q: %q, %v", c.args, rest, err)
		}
		if diff := cmp.Diff(c.want, g); diff != "" {
			t.Errorf("%q: %s", c.args, diff)
		}
	}
}

func TestParseNamesWhatIsWrong(t *testing.T) {
	for args, want := range map[string]string{
		"--cpu 4":          "run: there is no flag --cpu; did you mean --cpus?",
		"--mempry=1G":      "run: there is no flag --mempry; did you mean --memory?",
		"-cpus 4":          "run: there is no flag -cpus; did you mean --cpus?",
		"--initrds x":      "run: there is no flag --initrds; did you mean --initrd?",
		"--zzz":            "run: there is no flag --zzz",
		"-z":               "run: there is no flag -z",
		"--cpus":           "run: --cpus wants a value: --cpus N",
		"--quiet=yes":      `run: --quiet "yes": it is true or false; alone it means true`,
		"--cpus 0":         `run: --cpus "0": out of range; it is a number from 1 to 255`,
		"--cpus 999":       `run: --cpus "999": out of range; it is a number from 1 to 255`,
		"--cpus=two":       `run: --cpus "two": not a whole number; it is one from 1 to 255`,
		"--memory 1M":      `run: --memory "1M": out of range; it is a size from 16M to 16T`,
		"--boot efi":       `run: --boot "efi": it is one of auto, pvh and linux`,
		"--boot linus":     `run: --boot "linus": did you mean linux? It is one of auto, pvh and linux`,
		"a b":              `run: found "b" after "a": one KERNEL at a time`,
		"--memory=1.5G":    `run: --memory "1.5G": no fractions; take the next smaller unit (1.5G is 1536M)`,
		"--memory=-1":      `run: --memory "-1": a size is not negative`,
		"--memory=lots":    `run: --memory "lots": not a size; write one such as 256M or 4G`,
		"--memory=5X":      `run: --memory "5X": not a size; write one such as 256M or 4G`,
		"--memory=999999T": `run: --memory "999999T": out of range; it is a size from 16M to 16T`,
	} {
		var g got
		_, err := command(&g).Parse(strings.Fields(args))
		var u *UsageError
		if !errors.As(err, &u) || err.Error() != want {
			t.Errorf("%q:\n got %v\nwant %s", args, err, want)
		}
	}
	for _, a := range []string{"-h", "--help", "-help"} {
		if _, err := command(&got{}).Parse([]string{a}); err != ErrHelp {
			t.Errorf("%s: %v", a, err)
		}
	}
}

func TestSize(t *testing.T) {
	for s, want := range map[string]uint64{
		"256": 256 << 20, "256M": 256 << 20, "256m": 256 << 20, "256MiB": 256 << 20, "256mb": 256 << 20, "4G": 4 << 30, "1T": 1 << 40, "1024K": 1 << 20, "0": 0,
	} {
		if n, err := Size(s); err != nil || n != want {
			t.Errorf("Size(%q) = %d, %v, want %d", s, n, err, want)
		}
	}
	for _, s := range []string{"", "M", "5X", "5B", "5MM", "5Mi B", "1e3", "+5M", "0x10", " 5M", "18446744073709551616", "18446744073709551615", "99999999999999999999T", "5IB", "5BB"} {
		if n, err := Size(s); err == nil {
			t.Errorf("Size(%q) = %d, want an error", s, n)
		}
	}
	for n, want := range map[uint64]string{0: "0", 1: "1", 1024: "1K", 256 << 20: "256M", 1536 << 20: "1536M", 16 << 40: "16T"} {
		if got := SizeText(n); got != want {
			t.Errorf("SizeText(%d) = %s", n, got)
		}
	}
}

func FuzzSize(f *testing.F) {
	f.Add("256M")
	f.Fuzz(func(t *testing.T, s string) {
		if n, err := Size(s); err == nil && n > math.MaxInt64+1 {
			t.Errorf("Size(%q) = %d", s, n)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add("--cpus=4\x00k")
	f.Fuzz(func(t *testing.T, s string) {
		var g got
		_, err := command(&g).Parse(strings.Split(s, "\x00"))
		if g.CPUs < 0 || g.CPUs > 255 || err == nil && g.Memory != 0 && g.Memory < 16<<20 {
			t.Errorf("%q: %+v", s, g)
		}
	})
}

func TestNearest(t *testing.T) {
	words := []string{"run", "inspect", "check", "doctor", "version", "completion", "man", "help"}
	for typed, want := range map[string]string{
		"rnu": "run", "insepct": "inspect", "docter": "doctor", "comp": "completion", "inspects": "inspect", "vers": "version", "zebra": "", "x": "", "": "",
		strings.Repeat("a", 100000): "",
	} {
		if got := Nearest(typed, words); got != want {
			t.Errorf("Nearest(%.20q) = %q, want %q", typed, got, want)
		}
	}
}
