package soft_test

import (
	"testing"

	"github.com/mayfly-vm/mayfly/internal/hypervisor"
	"github.com/mayfly-vm/mayfly/internal/hypervisor/soft"
	"github.com/mayfly-vm/mayfly/memory"
	"github.com/mayfly-vm/mayfly/pvh"
)

// newHost opens the software processor, and makes memory for its machines.
func newHost(t testing.TB, size uint64) (hypervisor.Host, *memory.Map) {
	t.Helper()
	host, err := soft.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { host.Close() })
	m, err := memory.New([]memory.Range{{Size: size}}, memory.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return host, m
}

// newMachine makes a machine of one processor, which is at the entry of a PVH guest in memory. The caller closes both.
func newMachine(t testing.TB, host hypervisor.Host, m *memory.Map, entry, info uint64) (hypervisor.Machine, hypervisor.Processor) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	machine, err := host.NewMachine(m, hypervisor.Options{Processors: 1})
	must(err)
	p, err := machine.NewProcessor(0)
	must(err)
	leaves, err := host.CPUID()
	must(err)
	must(p.SetCPUID(leaves))
	e := pvh.NewEntryState(entry, info)
	must(p.SetState(&hypervisor.State{
		RIP: e.RIP, RBX: e.RBX, RFLAGS: e.RFlags, CR0: e.CR0, CR4: e.CR4,
		CS: e.CS, DS: e.Data, ES: e.Data, SS: e.Data, FS: e.Data, GS: e.Data, TR: e.TR,
	}))
	return machine, p
}
