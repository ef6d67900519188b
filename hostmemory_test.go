package mayfly_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/guest/check"
	"github.com/mayfly-vm/mayfly/internal/hostmem"
	"github.com/mayfly-vm/mayfly/internal/machinetest"
)

// A machine that this host can't bear is refused by New, which makes neither a
// memory slot nor a mapping. Nothing here is started.
func TestMemoryBeyondTheHost(t *testing.T) {
	machinetest.NeedKVM(t)
	f, err := hostmem.Read(os.DirFS("/"))
	if err != nil {
		t.Skip(err)
	}
	leavesNothing(t)
	for name, c := range map[string]struct {
		config mayfly.Config
		says   string
		skip   bool
	}{
		"prealloc":   {config: mayfly.Config{Memory: min(f.Available, f.Group) + 1<<30, Prealloc: true}, says: "taken before the start"},
		"reserve":    {config: mayfly.Config{Memory: 256 << 20, Prealloc: true, HostReserve: 1 << 60}, says: "stay in reserve"},
		"huge pages": {config: mayfly.Config{Memory: f.HugePages + 1<<30, HugePages: true}, says: "of huge pages"},
		"slots":      {config: mayfly.Config{Memory: mayfly.MaxMemory}, says: "for KVM's memory slots", skip: f.Shadow == "" || f.Most(false) >= mayfly.MaxMemory},
	} {
		t.Run(name, func(t *testing.T) {
			if c.skip {
				t.Skip("this host bears it")
			}
			c.config.Kernel = file(t, "check.elf", check.ELF)
			vm, err := mayfly.New(c.config)
			if vm != nil {
				vm.Close()
			}
			var e *mayfly.ConfigError
			if !errors.As(err, &e) || e.Field != "Memory" || !strings.Contains(e.Msg, c.says) {
				t.Errorf("%v, want an error about Memory with %q", err, c.says)
			}
		})
	}
}
