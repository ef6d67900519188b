package machine

import (
	"fmt"
	"os"

	"github.com/mayfly-vm/mayfly/internal/hostmem"
	"github.com/mayfly-vm/mayfly/internal/hypervisor"
	"github.com/mayfly-vm/mayfly/internal/layout"
)

// CheckHost compares a machine with what the host offers and has. What doesn't fit is a
// *layout.ConfigError; host memory beyond what reserve asks to leave free, in bytes, is
// not to be taken (see package hostmem).
func (s *Spec) CheckHost(reserve uint64) error {
	if most := s.Host.MaxProcessors(); s.CPUs > most {
		return &layout.ConfigError{Field: "CPUs", Msg: fmt.Sprintf("%d: %s runs at most %d in one machine", s.CPUs, s.Host.Describe(), most)}
	}
	if err := s.checkWidth(); err != nil {
		return err
	}
	if err := s.checkMemory(reserve); err != nil {
		return err
	}
	return s.checkFeatures()
}

// FitHost has the kernel copied where the host would map its pages one by one, an
// exit for each. A host is asked only about kernels of which something is mapped.
func (s *Spec) FitHost() {
	p := s.Plan
	if p.Files.MapsKernel() && !s.Host.CanPrefault() {
		p.Files.CopyKernel()
		p.ToCopy = p.Files.ToCopy()
	}
}

// physicalWidth is how many bits of a physical address a guest on these leaves
// can use: CPUID 0x80000008, EAX bits 7:0, or fewer if bits 23:16 say that the
// host's nested tables reach less far.
func physicalWidth(leaves []hypervisor.CPUID) uint {
	for i := range leaves {
		if leaves[i].Leaf == 0x80000008 {
			width, guest := uint(leaves[i].EAX&0xFF), uint(leaves[i].EAX>>16&0xFF)
			if guest != 0 && guest < width {
				width = guest
			}
			return max(width, layout.LeastWidth)
		}
	}
	return layout.LeastWidth
}

// checkWidth compares the end of RAM with what the host's processors can address:
// a guest that uses a page beyond crashes without a word.
func (s *Spec) checkWidth() error {
	end := s.Plan.EndOfRAM()
	if end <= 1<<layout.LeastWidth {
		return nil // on some hosts it takes time to ask
	}
	leaves, err := s.Host.CPUID()
	if err != nil {
		return err
	}
	width := physicalWidth(leaves)
	if width >= 64 || end <= 1<<width {
		return nil
	}
	hole := end - s.Memory // RAM above the hole ends that much higher
	return &layout.ConfigError{Field: "Memory", Msg: fmt.Sprintf("%d GiB end at guest-physical %#x: this host's processors address %d bits, which a machine with at most %d GiB stays below",
		s.Memory>>30, end, width, (1<<width-hole)>>30)}
}

// checkMemory refuses a machine that would take more memory of the host than
// there is. Memory that the guest has yet to touch is not counted: a host may
// promise more than it has.
func (s *Spec) checkMemory(reserve uint64) error {
	m := hostmem.Machine{Memory: s.Memory, Prealloc: s.Prealloc, HugePages: s.HugePages, Nested: s.Features.Nested, Software: s.Software, Reserve: reserve}
	if !m.Matters() {
		return nil
	}
	f, err := hostmem.Read(os.DirFS("/"))
	if err != nil {
		return nil // a host that shows nothing, such as one without /proc
	}
	if why := f.Check(m); why != "" {
		return &layout.ConfigError{Field: "Memory", Msg: why}
	}
	return nil
}

// checkFeatures compares what is asked for with what the host's KVM offers.
func (s *Spec) checkFeatures() error {
	if !s.Features.Nested && !s.Features.PMU {
		return nil // on some hosts it takes time to ask
	}
	leaves, err := s.Host.CPUID()
	if err != nil {
		return err
	}
	offered, kind := hypervisor.Offered(leaves), s.Host.Describe()
	if s.Features.Nested && !offered.Nested {
		return &layout.ConfigError{Field: "Nested", Msg: fmt.Sprintf("this host's %s offers guests no virtualisation: it needs hardware virtualisation itself, and the module's parameter nested=1 (/sys/module/%[1]s/parameters/nested)", kind)}
	}
	if s.Features.PMU && !offered.PMU {
		return &layout.ConfigError{Field: "PMU", Msg: fmt.Sprintf("this host's %s offers guests no performance counters: the processor must have them, and the module kvm the parameter enable_pmu=1 (/sys/module/kvm/parameters/enable_pmu)", kind)}
	}
	return nil
}
