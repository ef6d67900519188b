package kvm_test

import (
	"testing"

	"github.com/mayfly-vm/mayfly/kvm"
)

// A guest that takes its last level-triggered pin back leaves an empty table.
func TestEmptyRoutingTable(t *testing.T) {
	sys, err := kvm.Open("")
	if err != nil {
		t.Skipf("no KVM on this machine: %v", err)
	}
	defer sys.Close()
	vm, err := sys.CreateVM()
	if err != nil {
		t.Fatal(err)
	}
	defer vm.Close()
	if err := vm.EnableCap(kvm.CapSplitIRQChip, 2); err != nil {
		t.Fatal(err)
	}
	for _, routes := range [][]kvm.IRQRoute{{{GSI: 1, Type: kvm.IRQRouteMSI, AddrLo: 0xFEE00000, Data: 0x31}}, {}, nil} {
		if err := vm.SetGSIRouting(routes); err != nil {
			t.Errorf("%d routes: %v", len(routes), err)
		}
	}
}
