package machine

import (
	"errors"
	"strings"
	"testing"

	"github.com/mayfly-vm/mayfly/internal/hypervisor"
	"github.com/mayfly-vm/mayfly/internal/layout"
)

func TestPhysicalWidth(t *testing.T) {
	leaf := func(eax uint32) []hypervisor.CPUID {
		return []hypervisor.CPUID{{Leaf: 1, EAX: 99}, {Leaf: 0x80000008, EAX: eax}}
	}
	for _, c := range []struct {
		leaves []hypervisor.CPUID
		want   uint
	}{
		{nil, 36}, {leaf(39), 39}, {leaf(0x3030), 48}, {leaf(0x00303034), 48}, {leaf(0x00343030), 48}, {leaf(0), 36}, {leaf(52), 52},
	} {
		if got := physicalWidth(c.leaves); got != c.want {
			t.Errorf("%+v: %d bits, want %d", c.leaves, got, c.want)
		}
	}
}

func TestMemoryBeyondTheHostsAddresses(t *testing.T) {
	for _, c := range []struct {
		memory uint64
		eax    uint32
		says   string
	}{
		{64<<30 - 1<<30, 0, ""}, // nobody is asked
		{64 << 30, 36, "at most 63 GiB"},
		{511 << 30, 39, ""},
		{512 << 30, 39, "address 39 bits"},
		{512 << 30, 46, ""},
		{16 << 40, 43, "at most 8191 GiB"},
	} {
		h := &script{leaves: []hypervisor.CPUID{{Leaf: 0x80000008, EAX: c.eax}}}
		err := onScript(t, setup{spec: Spec{Memory: c.memory}}, h).spec.checkWidth()
		if (err == nil) != (c.says == "") || err != nil && (!errors.As(err, new(*layout.ConfigError)) || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%d GiB with %d bits: %v, want %q", c.memory>>30, c.eax, err, c.says)
		}
	}
}
