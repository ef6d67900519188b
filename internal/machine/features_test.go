package machine

import (
	"slices"
	"strings"
	"testing"

	"github.com/mayfly-vm/mayfly/internal/hypervisor"
	"github.com/mayfly-vm/mayfly/internal/layout"
)

func TestFeaturesOnRequestAlone(t *testing.T) {
	host := []hypervisor.CPUID{{Leaf: 0x80000001, ECX: 1<<2 | 1<<23 | 1}, {Leaf: 0x8000000A, EAX: 1, EBX: 0x8000, EDX: 0x1BCFF}, {Leaf: 0xA, EAX: 0x7300402}}
	for name, c := range map[string]struct {
		want  hypervisor.Features
		lacks []uint32 // leaves that are empty
		ecx   uint32   // of 0x80000001
	}{
		"default": {hypervisor.Features{}, []uint32{0x8000000A, 0xA}, 1},
		"nested":  {hypervisor.Features{Nested: true}, []uint32{0xA}, 1<<2 | 1},
		"pmu":     {hypervisor.Features{PMU: true}, []uint32{0x8000000A}, 1<<23 | 1},
		"both":    {hypervisor.Features{Nested: true, PMU: true}, nil, 1<<23 | 1<<2 | 1},
	} {
		t.Run(name, func(t *testing.T) {
			h := &script{exits: [][]hypervisor.Exit{{out(layout.PortPower, 0x34)}}, leaves: slices.Clone(host)}
			if o, err := play(t, setup{spec: Spec{Features: c.want}}, h); err != nil || o.Reason != PowerOff {
				t.Fatalf("%+v, %v", o, err)
			}
			seen := 0
			for _, l := range h.given {
				if l.Leaf == 0x80000001 && l.ECX == c.ecx {
					seen++
				}
				if empty := l.EAX|l.EBX|l.ECX|l.EDX == 0; (l.Leaf == 0xA || l.Leaf == 0x8000000A) && empty == slices.Contains(c.lacks, l.Leaf) {
					seen++
				}
			}
			if seen != 3 || h.pmu != c.want.PMU {
				t.Errorf("the guest was given %+v, counters %v", h.given, h.pmu)
			}
			if !slices.Equal(h.leaves, host) {
				t.Error("the host's list was changed")
			}
		})
	}
}

func TestFeaturesThatTheHostLacks(t *testing.T) {
	for field, f := range map[string]hypervisor.Features{"Nested": {Nested: true}, "PMU": {PMU: true}} {
		s := &Spec{Features: f, Host: &script{}}
		err := s.checkFeatures()
		if e, ok := err.(*layout.ConfigError); !ok || e.Field != field || !strings.Contains(e.Msg, "parameters/") {
			t.Errorf("%s: %v", field, err)
		}
	}
	if err := (&Spec{Host: &script{}}).checkFeatures(); err != nil {
		t.Error(err)
	}
}
