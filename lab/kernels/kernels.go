// Package kernels brings the kernels that the lab needs into a cache: Debian's
// own, unpacked from its packages, and two small ones that are built from
// Debian's source with the fragment in guest/kernel. It needs Debian or a
// system with apt-get and Debian's archive among its sources.
package kernels

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mayfly-vm/mayfly/lab/internal/cache"
	"github.com/mayfly-vm/mayfly/lab/internal/debian"
)

// The names of the kernels.
const (
	Debian61Cloud  = "debian-6.1-cloud"
	Debian61       = "debian-6.1"
	Debian612Cloud = "debian-6.12-cloud" // the nest's own kernel, too
	Debian612      = "debian-6.12"
	Microvm        = "microvm"       // small, guest/kernel/microvm.config
	MicrovmNoPVH   = "microvm-nopvh" // the same without CONFIG_PVH
)

// All lists the names of all kernels.
func All() []string {
	return []string{Debian61Cloud, Debian61, Debian612Cloud, Debian612, Microvm, MicrovmNoPVH}
}

// A Kernel is a directory of the cache with these files:
//
//	vmlinuz    the bzImage as it lies in /boot
//	vmlinux    the ELF file that was packed in it; for the small kernels the
//	           one that the linker made
//	config     its configuration
//	modules/   the modules that machines of the lab load, unpacked (Debian's only)
//	key        what it was made from: a package's version and a hash of the
//	           modules' names, or a source version and a hash of the fragment
type Kernel struct {
	Name string
	Dir  string
	Key  string
}

// Vmlinuz is the path of the bzImage.
func (k Kernel) Vmlinuz() string { return filepath.Join(k.Dir, "vmlinuz") }

// Vmlinux is the path of the ELF file.
func (k Kernel) Vmlinux() string { return filepath.Join(k.Dir, "vmlinux") }

// Get returns the kernel from the cache and makes it when it isn't there.
// Progress gets a line for each step that takes time; it may be nil.
func Get(ctx context.Context, name string, progress io.Writer) (Kernel, error) {
	return get(ctx, name, progress, false)
}

// Update is like [Get] but asks apt-get for a newer version than the cached.
func Update(ctx context.Context, name string, progress io.Writer) (Kernel, error) {
	return get(ctx, name, progress, true)
}

func get(ctx context.Context, name string, progress io.Writer, update bool) (Kernel, error) {
	if progress == nil {
		progress = io.Discard
	}
	if !slices.Contains(All(), name) {
		return Kernel{}, fmt.Errorf("lab: no kernel is called %q; there are %s", name, strings.Join(All(), ", "))
	}
	dir, err := cache.Dir()
	if err != nil {
		return Kernel{}, err
	}
	k := Kernel{Name: name, Dir: filepath.Join(dir, "kernels", name)}
	valid := func() bool {
		key, err := os.ReadFile(filepath.Join(k.Dir, "key"))
		k.Key = string(key)
		ours := modulesKey()
		if isBuilt(name) {
			ours = fragmentKey(name)
		}
		return err == nil && strings.HasSuffix(k.Key, ours)
	}
	if !update && valid() {
		return k, nil
	}
	unlock, err := cache.Lock(dir, progress)
	if err != nil {
		return Kernel{}, err
	}
	defer unlock()
	if !update && valid() { // made by another process while this one waited
		return k, nil
	}
	if err := os.MkdirAll(filepath.Join(dir, "kernels"), 0o755); err != nil {
		return Kernel{}, err
	}
	m := maker{debian.Client{Context: ctx, Cache: dir, Progress: progress}}
	if isBuilt(name) {
		err = m.build(k)
	} else {
		err = m.unpack(k)
	}
	if err != nil {
		return Kernel{}, fmt.Errorf("lab: kernel %s: %w", name, err)
	}
	if !valid() {
		return Kernel{}, fmt.Errorf("lab: kernel %s: made, but its key is %q", name, k.Key)
	}
	return k, nil
}

func isBuilt(name string) bool { return name == Microvm || name == MicrovmNoPVH }

// maker makes kernels. The cache is locked while it works.
type maker struct{ debian.Client }

// CacheDir returns the directory of the lab's cache; see lab/internal/cache.
func CacheDir() (string, error) { return cache.Dir() }
