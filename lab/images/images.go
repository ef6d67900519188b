// Package images makes the disk images that guests of the lab boot from, and
// keeps them in the lab's cache: a Debian from Debian's own packages, and small
// ext4 file systems of the caller's files. Like lab/kernels it needs Debian, or a
// system with apt and Debian's archive among its sources.
package images

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mayfly-vm/mayfly/lab/internal/cache"
	"github.com/mayfly-vm/mayfly/lab/internal/debian"
)

// The names of the images.
const (
	// Debian is the release of this machine's, small.
	Debian = "debian"
	// These have compilers, interpreters and, below /opt/suites, suites of tests: see suites.sh.
	Debian12Suites = "debian-12-suites"
	Debian13Suites = "debian-13-suites"
)

// All lists the names of all images.
func All() []string {
	var names []string
	for _, r := range recipes {
		names = append(names, r.name)
	}
	return names
}

// An Image is a directory of the cache with these files:
//
//	disk.img  a raw disk, sparse: one ext4 file system, labelled "root", without a
//	          partition table
//	vmlinuz   the image's own kernel, as it lies in its /boot
//	initrd    and its initramfs
//	key       a hash of the recipe
type Image struct {
	Name string
	Dir  string
}

// Disk is the path of the raw disk. It is shared: attach it copy-on-write
// (lab.Job.Disks does).
func (i Image) Disk() string { return filepath.Join(i.Dir, "disk.img") }

// Kernel is the path of the image's own kernel, a bzImage.
func (i Image) Kernel() string { return filepath.Join(i.Dir, "vmlinuz") }

// Initrd is the path of the image's own initramfs.
func (i Image) Initrd() string { return filepath.Join(i.Dir, "initrd") }

// Get returns the image from the cache and makes it when it isn't there. Progress gets a line for each
// step that takes time; it may be nil.
func Get(ctx context.Context, name string, progress io.Writer) (Image, error) {
	return get(ctx, name, progress, false)
}

// Update is like [Get] but makes the image anew, of the packages of today.
func Update(ctx context.Context, name string, progress io.Writer) (Image, error) {
	return get(ctx, name, progress, true)
}

func get(ctx context.Context, name string, progress io.Writer, update bool) (Image, error) {
	if progress == nil {
		progress = io.Discard
	}
	n := slices.IndexFunc(recipes, func(r recipe) bool { return r.name == name })
	if n < 0 {
		return Image{}, fmt.Errorf("lab: no image is called %q; there are %s", name, strings.Join(All(), ", "))
	}
	r := recipes[n]
	dir, err := cache.Dir()
	if err != nil {
		return Image{}, err
	}
	i := Image{Name: name, Dir: filepath.Join(dir, "images", name)}
	key := r.key()
	valid := func() bool {
		have, err := os.ReadFile(filepath.Join(i.Dir, "key"))
		return err == nil && string(have) == key
	}
	if !update && valid() {
		return i, nil
	}
	unlock, err := cache.Lock(dir, progress)
	if err != nil {
		return Image{}, err
	}
	defer unlock()
	if !update && valid() { // made by another process while this one waited
		return i, nil
	}
	m := maker{debian.Client{Context: ctx, Cache: dir, Progress: progress}, r}
	if err := m.make(i, key); err != nil {
		return Image{}, fmt.Errorf("lab: image %s: %w", name, err)
	}
	return i, nil
}

// key depends on all that decides how the image is made, but for the packages' versions.
func (r *recipe) key() string {
	return fmt.Sprintf("recipe %x", sha256.Sum256(fmt.Append(nil, basic, r.packages, leftOut, files, r.files, r.script, r.suite, r.diskSize)))
}

type maker struct {
	debian.Client
	recipe recipe
}

// make makes the image under a temporary name and renames it when it is whole.
func (m *maker) make(i Image, key string) (err error) {
	if err := m.Require("mmdebstrap", "e2fsprogs"); err != nil {
		return err
	}
	tmp := i.Dir + ".tmp"
	// Of a process that was killed; its files belong to root.
	if err := m.AsRoot("rm", "-rf", "--one-file-system", tmp); err != nil {
		return err
	}
	if err := os.MkdirAll(tmp, 0o755); err != nil {
		return err
	}
	root := filepath.Join(tmp, "root")
	defer func() {
		if e := m.AsRoot("rm", "-rf", "--one-file-system", root); err == nil {
			err = e
		}
	}()
	if err := m.bootstrap(tmp, root); err != nil {
		return err
	}
	m.Logf("writing the disk image of %d MiB", m.recipe.diskSize>>20)
	if err := m.pack(tmp, root); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(tmp, "key"), []byte(key), 0o644); err != nil {
		return err
	}
	if err := m.AsRoot("rm", "-rf", "--one-file-system", root); err != nil {
		return err
	}
	return cache.Replace(tmp, i.Dir)
}

// pack writes the tree as an ext4 file system and copies the kernel out of it.
func (m *maker) pack(tmp, root string) error {
	i := Image{Dir: tmp}
	if err := sparse(i.Disk(), m.recipe.diskSize); err != nil {
		return err
	}
	argv := mkfs()
	argv[0] = Tool(argv[0])
	if err := m.AsRoot(append(argv, "-L", "root", "-d", root, i.Disk())...); err != nil {
		return err
	}
	for link, to := range map[string]string{"vmlinuz": i.Kernel(), "initrd.img": i.Initrd()} {
		// By the link in the root directory, which names a file below /boot.
		target, err := os.Readlink(filepath.Join(root, link))
		if err != nil {
			return err
		}
		if filepath.IsAbs(target) || strings.Contains(target, "..") {
			return fmt.Errorf("/%s leads to %q", link, target)
		}
		if err := m.AsRoot("install", "-m", "644", filepath.Join(root, target), to); err != nil {
			return err
		}
	}
	return nil
}

// mkfs makes an ext4 file system with the features that Debian gives it. Its
// tables are written out now: a kernel that mounts it would begin doing so.
func mkfs() []string {
	return []string{"mke2fs", "-F", "-q", "-t", "ext4", "-E", "lazy_itable_init=0,lazy_journal_init=0"}
}

// sparse makes a file that is all hole.
func sparse(name string, size int64) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Truncate(size), f.Close())
}
