package machine

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mayfly-vm/mayfly/guest/check"
	"github.com/mayfly-vm/mayfly/internal/hypervisor"
	"github.com/mayfly-vm/mayfly/internal/layout"
	"github.com/mayfly-vm/mayfly/internal/loader"
	"github.com/mayfly-vm/mayfly/internal/machinetest"
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
	reset := out(layout.PortPower+2, 1)
	crash := hypervisor.Exit{Kind: hypervisor.ExitShutdown}
	for _, c := range []struct {
		name   string
		load   loader.Mode
		exit   bool // Spec.ExitOnReboot
		last   hypervisor.Exit
		reason Reason
		says   string
	}{
		{"a crash", loader.Map, true, crash, ImageChanged, says},
		{"an internal error", loader.Map, true, hypervisor.Exit{Kind: hypervisor.ExitInternalError}, ImageChanged, "the guest ended by: KVM internal error"},
		{"a crash of a copy", loader.Copy, true, crash, TripleFault, "vCPU 0"},
		{"an orderly end", loader.Map, true, out(layout.PortPower, 0x34), PowerOff, says},
		{"an orderly end of a copy", loader.Copy, true, out(layout.PortPower, 0x34), PowerOff, ""},
		{"a restart", loader.Map, false, reset, ImageChanged, says},
		{"a restart of a copy", loader.Copy, false, reset, ImageChanged, "at a restart: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := &script{exits: [][]hypervisor.Exit{{c.last}}}
			m := onScript(t, setup{request: layout.Request{Load: c.load}, spec: Spec{ExitOnReboot: c.exit}}, h)
			h.made = func(int) { overwrite(t, m.kernelPath()) } // the files are loaded by then
			if err := m.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			o, err := m.Wait(t.Context())
			if err != nil || o.Reason != c.reason || !strings.Contains(o.Detail, c.says) || (c.says == "") != (o.Detail == "") {
				t.Errorf("%v, %q (%v)", o.Reason, o.Detail, err)
			}
			if strings.Contains(o.Detail, says) && !strings.Contains(o.Detail, m.kernelPath()) {
				t.Errorf("%q names no file", o.Detail)
			}
		})
	}
}

// What happens to files between the start and the copy of the text that goes on
// concurrently with the guest: the kernel must stay, an initrd that was copied already need not.
func TestFileChangedWhileTheGuestRuns(t *testing.T) {
	for name, c := range map[string]struct {
		change func(m *Machine) error
		reason Reason
	}{
		"kernel cut":      {func(m *Machine) error { return os.Truncate(m.kernelPath(), 3<<20) }, ImageChanged},
		"kernel touched":  {func(m *Machine) error { return os.Chtimes(m.kernelPath(), time.Time{}, time.Unix(1, 0)) }, ImageChanged},
		"initrd cut":      {func(m *Machine) error { return os.Truncate(m.spec.Initrds[0].Name(), 10) }, PowerOff},
		"nothing changed": {func(*Machine) error { return nil }, PowerOff},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			initrd := filepath.Join(dir, "initrd")
			if err := os.WriteFile(initrd, make([]byte, 100), 0o644); err != nil {
				t.Fatal(err)
			}
			touch := hypervisor.Exit{Kind: hypervisor.ExitMMIORead, Addr: layout.IOAPICAddr, Size: 4, Data: make([]byte, 4)}
			h := &script{attached: make(chan struct{}, 9), exits: [][]hypervisor.Exit{{touch, out(layout.PortPower, 0x34)}}}
			m := onScript(t, setup{initrd: initrd, kernel: machinetest.SelfWriter(6 << 20)}, h)
			h.made = func(int) { // what is not late is loaded by then
				if err := c.change(m); err != nil {
					t.Error(err)
				}
			}
			if err := m.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			o, err := m.Wait(t.Context())
			if err != nil || o.Reason != c.reason || o.Detail != "" && o.Reason == PowerOff {
				t.Errorf("%v, %q (%v)", o.Reason, o.Detail, err)
			}
		})
	}
}

// A file that is replaced the right way stays what it was for who has it open.
func TestReplacedFile(t *testing.T) {
	h := &script{exits: [][]hypervisor.Exit{{out(layout.PortPower+2, 1)}, {out(layout.PortPower, 0x34)}}}
	m := onScript(t, setup{request: layout.Request{Load: loader.Map}}, h)
	h.made = func(n int) {
		if n > 0 {
			return
		}
		other := m.kernelPath() + ".new"
		overwrite(t, other)
		if err := os.Rename(other, m.kernelPath()); err != nil {
			t.Error(err)
		}
	}
	if err := m.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if o, err := m.Wait(t.Context()); err != nil || o.Reason != PowerOff || o.Restarts != 1 || o.Detail != "" {
		t.Errorf("%+v, %v", o, err)
	}
}

func TestFileChangedBeforeTheStart(t *testing.T) {
	m := onScript(t, setup{}, &script{})
	overwrite(t, m.kernelPath())
	if err := m.Start(t.Context()); err == nil || !strings.Contains(err.Error(), m.kernelPath()+" was overwritten in place") {
		t.Errorf("Start: %v", err)
	}
}
