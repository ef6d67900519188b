package kernelparams_test

import (
	"slices"
	"testing"

	"github.com/mayfly-vm/mayfly/internal/kernelparams"
)

func TestJoin(t *testing.T) {
	for _, c := range []struct {
		lines []string
		want  string
	}{
		{nil, ""},
		{[]string{"", ""}, ""},
		{[]string{"  as  it is "}, "  as  it is "},
		{[]string{"", "alone -- x"}, "alone -- x"},
		{[]string{"a", "b"}, "a b"},
		{[]string{"acpi=off init=/bin/cat -- /etc/hostname", "dev=1"}, "acpi=off init=/bin/cat dev=1 -- /etc/hostname"},
		{[]string{"a -- x", "b -- y z", "c"}, "a b c -- x y z"},
		{[]string{"-- x", "b"}, "b -- x"},
		{[]string{"a --", "b"}, "a b --"},
		{[]string{"--", ""}, "--"},
		{[]string{`a "--" x`, "b"}, "a b -- x"},
		{[]string{`a="x -- y"`, "b"}, `a="x -- y" b`},
		{[]string{"a --x --", "b"}, "a --x b --"},
		{[]string{"a --=x", "b"}, "a --=x b"},
		{[]string{"a\t--\tx", "b"}, "a b -- x"},
		{[]string{`a="not closed`, "b"}, `a="not closed" b`},
		{[]string{`a -- "x`, "b"}, `a b -- "x`},
	} {
		if got := kernelparams.Join(c.lines...); got != c.want {
			t.Errorf("Join(%q) = %q, want %q", c.lines, got, c.want)
		}
	}
}

func TestAll(t *testing.T) {
	for _, c := range []struct {
		line string
		want []string // name, or name=value
	}{
		{"", nil},
		{" a  b=c ", []string{"a", "b=c"}},
		{"no-apic 8250.nr-uarts=0", []string{"no_apic", "8250.nr_uarts=0"}},
		{`"acpi=off" x="a b" "y z=1 2"`, []string{"acpi=off", "x=a b", "y z=1 2"}},
		{"a -- noapic", []string{"a"}},
		{"a __ -_ noapic", []string{"a", "__", "__", "noapic"}}, // only two dashes end them
		{`a "-- noapic`, []string{"a", "__ noapic"}},
		{"a= =b", []string{"a=", "=b"}},
		{"a=b=c", []string{"a=b=c"}},
		{"a\xa0b", []string{"a", "b"}},
	} {
		var got []string
		for p := range kernelparams.All(c.line) {
			s := p.Name
			if p.HasValue {
				s += "=" + p.Value
			}
			got = append(got, s)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("All(%q) = %q, want %q", c.line, got, c.want)
		}
	}
}

func TestLast(t *testing.T) {
	p, ok := kernelparams.Last("console=ttyS0 x console=hvc0 -- console=tty0", "console")
	if !ok || p.Value != "hvc0" || p.Text != "console=hvc0" {
		t.Errorf("%+v, %t", p, ok)
	}
	if _, ok := kernelparams.Last("a -- b", "b"); ok {
		t.Error("an argument of init is taken for a parameter")
	}
}

// What is appended is always read as the kernel's, whatever stands before it, and
// nothing that was the kernel's is lost.
func FuzzJoin(f *testing.F) {
	f.Add(`a "b -- c`)
	f.Add("x -- y")
	f.Add(`"--`)
	f.Fuzz(func(t *testing.T, line string) {
		const mine = "appended=1"
		before, after := count(line), count(kernelparams.Join(line, mine))
		if p, ok := kernelparams.Last(kernelparams.Join(line, mine), "appended"); !ok || p.Value != "1" {
			t.Errorf("%q: %q", line, kernelparams.Join(line, mine))
		}
		if after != before+1 {
			t.Errorf("%q has %d parameters, and %q %d", line, before, kernelparams.Join(line, mine), after)
		}
	})
}

func count(line string) (n int) {
	for range kernelparams.All(line) {
		n++
	}
	return n
}
