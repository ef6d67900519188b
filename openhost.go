package mayfly

import (
	"github.com/mayfly-vm/mayfly/cpu"
	"github.com/mayfly-vm/mayfly/cpu/kvmcpu"
)

// openHost opens the processors that machines run on: KVM.
func openHost(path string) (cpu.Host, error) { return kvmcpu.Open(path) }
