package mayfly

import (
	"github.com/mayfly-vm/mayfly/internal/hypervisor"
	"github.com/mayfly-vm/mayfly/internal/hypervisor/kvm"
)

// openHost opens the processors that machines run on: KVM.
func openHost(path string) (hypervisor.Host, error) { return kvm.Open(path) }
