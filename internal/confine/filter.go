package confine

import (
	"os"

	"github.com/mayfly-vm/mayfly/internal/seccomp"
)

// Filter installs a policy, made for this process's id, in threads.
func Filter(policy func(pid int) seccomp.Policy, threads seccomp.Threads) error {
	p := policy(os.Getpid())
	prog, err := p.Compile()
	if err != nil {
		return err
	}
	return seccomp.Install(prog, threads)
}
