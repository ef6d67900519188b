package kernels

import (
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// wantedModules are the modules that machines of the lab may load: the nest, to
// run guests, and guests with Debian's kernel, to drive their devices. Which of
// them are modules at all depends on the kernel's configuration.
var wantedModules = []string{
	// KVM
	"irqbypass", "ccp", "kvm", "kvm-amd",
	// a host's ends of devices
	"tun", "tap", "vhost", "vhost_iotlb", "vhost_net", "vhost_vsock", "loop", "veth", "bridge", "stp", "llc",
	// virtio and its drivers
	"virtio", "virtio_ring", "virtio_mmio", "virtio_pci", "virtio_pci_modern_dev", "virtio_pci_legacy_dev",
	"virtio_blk", "virtio_net", "net_failover", "failover", "virtio_console", "virtio-rng",
	"vsock", "vmw_vsock_virtio_transport_common", "vmw_vsock_virtio_transport",
	// what is no virtio device
	"pvpanic", "pvpanic-mmio", "pvpanic-pci", "watchdog", "wdat_wdt", "vmgenid",
}

// modulesKey is the part of an unpacked kernel's key that depends on us.
func modulesKey() string {
	sum := sha256.Sum256([]byte(strings.Join(wantedModules, " ")))
	return fmt.Sprintf("modules %x", sum[:8])
}

// Modules returns the files of the modules and of those that they depend on, in
// the order in which they are to be loaded. A name that the kernel has no module
// for is left out: its code is part of the kernel then, or it has none.
func (k Kernel) Modules(names ...string) ([]string, error) {
	o := loadOrder{dir: filepath.Join(k.Dir, "modules")}
	for _, n := range names {
		if err := o.add(n); err != nil {
			return nil, fmt.Errorf("lab: kernel %s: %w", k.Name, err)
		}
	}
	return o.files, nil
}

type loadOrder struct {
	dir   string
	files []string
}

func (o *loadOrder) add(name string) error {
	file := filepath.Join(o.dir, name+".ko")
	if _, err := os.Stat(file); err != nil {
		// Dependencies are spelled with underscores, files as they like.
		file = filepath.Join(o.dir, strings.ReplaceAll(name, "_", "-")+".ko")
	}
	if slices.Contains(o.files, file) {
		return nil
	}
	if _, err := os.Stat(file); err != nil {
		return nil
	}
	needs, err := dependencies(file)
	if err != nil {
		return fmt.Errorf("module %s: %w", name, err)
	}
	for _, n := range needs {
		before := len(o.files)
		if err := o.add(n); err != nil {
			return err
		}
		if len(o.files) == before && !o.has(n) {
			return fmt.Errorf("module %s needs %s, which was not unpacked: add it to wantedModules", name, n)
		}
	}
	o.files = append(o.files, file)
	return nil
}

func (o *loadOrder) has(name string) bool {
	return slices.ContainsFunc(o.files, func(f string) bool {
		return strings.ReplaceAll(strings.TrimSuffix(filepath.Base(f), ".ko"), "-", "_") == strings.ReplaceAll(name, "-", "_")
	})
}

// dependencies reads a module's own list, "depends=a,b" in its section .modinfo.
// Packages bring no modules.dep: depmod makes that where they are installed.
func dependencies(file string) ([]string, error) {
	f, err := elf.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	s := f.Section(".modinfo")
	if s == nil {
		return nil, fmt.Errorf("%s has no section .modinfo", file)
	}
	b, err := s.Data()
	if err != nil {
		return nil, err
	}
	for field := range bytes.SplitSeq(b, []byte{0}) {
		if v, ok := bytes.CutPrefix(field, []byte("depends=")); ok && len(v) > 0 {
			return strings.Split(string(v), ","), nil
		}
	}
	return nil, nil
}
