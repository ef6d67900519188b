// Package checkguest runs the check guest, which reports whether a monitor enters it as the PVH boot ABI requires.
package checkguest

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/cmd/internal/process"
	"github.com/mayfly-vm/mayfly/guest/check"
)

// limit is how long the guest may run; a tenth of a second is usual, some seconds where KVM emulates it.
const limit = 60 * time.Second

// module is the guest's initrd, which it finds and sums up.
const module = "mayfly check module: the guest reads this text and sums it up.\n"

// Run runs the guest in a machine of that configuration, but for what the guest needs, and reads its report. The error is
// that of a machine that couldn't be made.
func Run(c mayfly.Config) (*Result, error) {
	elf, err := process.MemoryFile("check.elf", check.ELF)
	if err != nil {
		return nil, err
	}
	defer elf.Close()
	mod, err := process.MemoryFile("module", []byte(module))
	if err != nil {
		return nil, err
	}
	defer mod.Close()

	out := &capture{}
	c.Kernel, c.Initrd = process.Path(elf), []string{process.Path(mod)}
	c.Cmdline = check.Cmdline(check.Options{Memory: c.Memory, CPUs: c.CPUs, Modules: []uint32{check.Sum([]byte(module))}})
	c.Console.Out = out
	vm, err := mayfly.New(c)
	if err != nil {
		return nil, err
	}
	defer vm.Close()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if err := process.Hide(); err != nil {
		return nil, err
	}
	if err := vm.Start(ctx); err != nil {
		return nil, err
	}
	outcome, err := vm.Wait(context.Background())
	if err != nil {
		return nil, err
	}
	report, err := check.Parse(bytes.NewReader(out.bytes()))
	return newResult(report, err, outcome, ctx.Err()), nil
}

// capture keeps the guest's output, up to a limit that the check guest stays far below.
type capture struct {
	mu  sync.Mutex
	buf []byte
}

const captureLimit = 1 << 20

var errTooMuchOutput = errors.New("the guest wrote more than a report")

func (c *capture) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.buf)+len(p) > captureLimit {
		return 0, errTooMuchOutput
	}
	c.buf = append(c.buf, p...)
	return len(p), nil
}

func (c *capture) bytes() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.buf
}
