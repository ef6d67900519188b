package mayfly

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mayfly-vm/mayfly/guest/check"
	"github.com/mayfly-vm/mayfly/internal/hypervisor"
)

// overwrite puts other content in the place of a file's, as long as before.
func overwrite(t *testing.T, path string) {
	t.Helper()
	b := append([]byte(nil), check.ELF...)
	b[len(b)-1] ^= 1
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Error(err)
	}
	later := time.Now().Add(time.Second) // the clock of files may not have ticked since
	if err := os.Chtimes(path, later, later); err != nil {
		t.Error(err)
	}
}

func TestOverwrittenFile(t *testing.T) {
	const says = "was overwritten in place"
	reset := out(portPower+2, 1)
	crash := hypervisor.Exit{Kind: hypervisor.ExitShutdown}
	for _, c := range []struct {
		name     string
		load     Load
		onReboot Reboot
		exit     hypervisor.Exit
		reason   Reason
		says     string
	}{
		{"a crash", LoadMap, RebootExit, crash, ImageChanged, says},
		{"an internal error", LoadMap, RebootExit, hypervisor.Exit{Kind: hypervisor.ExitInternalError}, ImageChanged, "the guest ended by: KVM internal error"},
		{"a crash of a copy", LoadCopy, RebootExit, crash, TripleFault, "processor 0"},
		{"an orderly end", LoadMap, RebootExit, out(portPower, 0x34), PowerOff, says},
		{"an orderly end of a copy", LoadCopy, RebootExit, out(portPower, 0x34), PowerOff, ""},
		{"a restart", LoadMap, RebootRestart, reset, ImageChanged, says},
		{"a restart of a copy", LoadCopy, RebootRestart, reset, ImageChanged, "at a restart: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := &script{exits: [][]hypervisor.Exit{{c.exit}}}
			vm := onScript(t, Config{Load: c.load, OnReboot: c.onReboot}, h)
			h.made = func(int) { overwrite(t, vm.cfg.Kernel) } // the files are laid by then
			if err := vm.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			o, err := vm.Wait(t.Context())
			if err != nil || o.Reason != c.reason || !strings.Contains(o.Detail, c.says) || (c.says == "") != (o.Detail == "") {
				t.Errorf("%v, %q (%v)", o.Reason, o.Detail, err)
			}
			if strings.Contains(o.Detail, says) && !strings.Contains(o.Detail, vm.cfg.Kernel) {
				t.Errorf("%q names no file", o.Detail)
			}
		})
	}
}

// What becomes of files between the start and the copy of the text that goes on
// beside the guest: the kernel must stay, an initrd that was copied already need not.
func TestFileChangedBesideTheGuest(t *testing.T) {
	for name, c := range map[string]struct {
		change func(vm *VM) error
		reason Reason
	}{
		"kernel cut":      {func(vm *VM) error { return os.Truncate(vm.cfg.Kernel, 3<<20) }, ImageChanged},
		"initrd cut":      {func(vm *VM) error { return os.Truncate(vm.cfg.Initrd[0], 10) }, PowerOff},
		"nothing changed": {func(*VM) error { return nil }, PowerOff},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			initrd := filepath.Join(dir, "initrd")
			if err := os.WriteFile(initrd, make([]byte, 100), 0o644); err != nil {
				t.Fatal(err)
			}
			touch := hypervisor.Exit{Kind: hypervisor.ExitMMIORead, Addr: ioapicAddr, Size: 4, Data: make([]byte, 4)}
			h := &script{attached: make(chan struct{}, 9), exits: [][]hypervisor.Exit{{touch, out(portPower, 0x34)}}}
			vm := onScriptKernel(t, Config{Initrd: []string{initrd}}, h, selfWriter(6<<20))
			h.made = func(int) { // what is not late is laid by then
				if err := c.change(vm); err != nil {
					t.Error(err)
				}
			}
			if err := vm.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			o, err := vm.Wait(t.Context())
			if err != nil || o.Reason != c.reason || o.Detail != "" && o.Reason == PowerOff {
				t.Errorf("%v, %q (%v)", o.Reason, o.Detail, err)
			}
		})
	}
}

// A file that is replaced the right way stays what it was for who has it open.
func TestReplacedFile(t *testing.T) {
	h := &script{exits: [][]hypervisor.Exit{{out(portPower+2, 1)}, {out(portPower, 0x34)}}}
	vm := onScript(t, Config{Load: LoadMap}, h)
	h.made = func(n int) {
		if n > 0 {
			return
		}
		other := vm.cfg.Kernel + ".new"
		overwrite(t, other)
		if err := os.Rename(other, vm.cfg.Kernel); err != nil {
			t.Error(err)
		}
	}
	if err := vm.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if o, err := vm.Wait(t.Context()); err != nil || o.Reason != PowerOff || o.Restarts != 1 || o.Detail != "" {
		t.Errorf("%+v, %v", o, err)
	}
}

func TestFileChangedBeforeTheStart(t *testing.T) {
	vm := onScript(t, Config{}, &script{})
	overwrite(t, vm.cfg.Kernel)
	if err := vm.Start(t.Context()); err == nil || !strings.Contains(err.Error(), vm.cfg.Kernel+" was overwritten in place") {
		t.Errorf("Start: %v", err)
	}
}
