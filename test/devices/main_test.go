package devices

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/mayfly-vm/mayfly"
	_ "github.com/mayfly-vm/mayfly/kernel/unpack"
	"github.com/mayfly-vm/mayfly/lab"
	"github.com/mayfly-vm/mayfly/lab/images"
	"github.com/mayfly-vm/mayfly/lab/kernels"
)

// processor is what runs the guests' instructions. On the software processor the tests run on this machine.
var processor = flag.String("processor", string(mayfly.ProcessorKVM), "run guests on `kvm`, in the lab, or on soft, natively")

func TestMain(m *testing.M) {
	flag.Parse()
	if isSoft() {
		patience *= 5
		startup *= 5
	}
	if testing.Short() && lab.Inside() == "" {
		fmt.Println("test/devices: skipped by -short: starts machines")
		os.Exit(0)
	}
	lab.Main(m, prepare)
}

// Files in the lab.
const (
	smallKernel  = "small/vmlinux"
	debianKernel = "debian/vmlinux" // 6.12, its drivers are modules
	smallInitrd  = "small/initrd"   // devinit
	debianInitrd = "debian/initrd"  // devinit and the modules
	programBin   = "mayfly"
	userProgram  = "mayfly-usernet"
	brokerBin    = "mayfly-broker"
	machineBin   = "mayfly-machine" // that machines of the tests run in
	unpackBin    = "mayfly-unpack"
	diskImage    = "debian.img" // a whole Debian; a block device
	diskKernel   = "image/vmlinuz"
	diskInitrd   = "image/initrd"
	rootImage    = "root.img" // devinit alone, ext4; a block device
	goneDisk     = "gone.img" // a block device, empty
	fsck         = "e2fsck"
)

// guestModules are what Debian's kernel loads for our devices.
var guestModules = []string{
	"virtio_mmio", "virtio_pci", "virtio_blk", "virtio_net", "virtio-rng", "virtio_console", "vmw_vsock_virtio_transport",
	"pvpanic-mmio", "pvpanic-pci", "wdat_wdt", "vmgenid",
}

// hostModules are what the nest loads for them.
var hostModules = []string{"tun", "vhost_net", "vhost_vsock", "loop", "bridge", "veth"}

// prepare brings kernels, images and programs together, outside of the lab.
func prepare(ctx context.Context) (lab.Job, error) {
	j := lab.Job{
		Nest:  !isSoft(), // for the sake of this machine's interfaces, mounts and disks
		Host:  isSoft(),
		Files: map[string]string{}, Disks: map[string]string{}, Modules: hostModules,
		Timeout: 40 * time.Minute,
	}
	cache, err := kernels.CacheDir()
	if err != nil {
		return j, err
	}
	small, err := kernels.Get(ctx, kernels.Microvm, os.Stderr)
	if err != nil {
		return j, err
	}
	debian, err := kernels.Get(ctx, kernels.Debian612Cloud, os.Stderr)
	if err != nil {
		return j, err
	}
	image, err := images.Get(ctx, images.Debian, os.Stderr)
	if err != nil {
		return j, err
	}
	init, err := lab.Build(ctx, "github.com/mayfly-vm/mayfly/guest/devinit")
	if err != nil {
		return j, err
	}
	for _, name := range []string{programBin, userProgram, brokerBin, machineBin, unpackBin} {
		if j.Files[name], err = lab.Build(ctx, "github.com/mayfly-vm/mayfly/cmd/"+name); err != nil {
			return j, err
		}
	}
	modules, err := debian.Modules(guestModules...)
	if err != nil {
		return j, err
	}
	own := filepath.Join(cache, "test-devices")
	if err := os.MkdirAll(own, 0o755); err != nil {
		return j, err
	}
	entries := []lab.Entry{{Name: "init", Host: init}}
	plain, err := writeInitrd(own, "initrd", entries)
	if err != nil {
		return j, err
	}
	for i, m := range modules {
		entries = append(entries, lab.Entry{Name: fmt.Sprintf("modules/%02d-%s", i, filepath.Base(m)), Host: m})
	}
	loaded, err := writeInitrd(own, "initrd-modules", entries)
	if err != nil {
		return j, err
	}
	root, err := writeRoot(ctx, own, init)
	if err != nil {
		return j, err
	}
	static := "/sbin/e2fsck.static"
	if _, err := os.Stat(static); err != nil {
		return j, fmt.Errorf("%w; the tests need it: sudo apt-get install e2fsck-static", err)
	}
	for name, host := range map[string]string{
		smallKernel: small.Vmlinux(), smallInitrd: plain, debianKernel: debian.Vmlinux(), debianInitrd: loaded,
		diskKernel: image.Kernel(), diskInitrd: image.Initrd(), fsck: static,
	} {
		j.Files[name] = host
	}
	gone := filepath.Join(own, "gone.img")
	if err := os.WriteFile(gone, make([]byte, 8<<20), 0o644); err != nil {
		return j, err
	}
	j.Disks[diskImage], j.Disks[rootImage], j.Disks[goneDisk] = image.Disk(), root, gone
	return j, nil
}

func writeInitrd(dir, name string, entries []lab.Entry) (string, error) {
	to := filepath.Join(dir, name)
	return to, lab.WriteInitramfsFile(to, entries)
}

// writeRoot makes a root file system that holds the init and nothing else.
func writeRoot(ctx context.Context, dir, init string) (string, error) {
	tmp, err := os.MkdirTemp(dir, "root-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	tree := filepath.Join(tmp, "tree")
	for _, d := range []string{"sbin", "proc", "sys", "dev", "tmp"} {
		if err := os.MkdirAll(filepath.Join(tree, d), 0o755); err != nil {
			return "", err
		}
	}
	b, err := os.ReadFile(init)
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(tree, "sbin/init"), b, 0o755); err != nil {
		return "", err
	}
	image := filepath.Join(tmp, "root.img")
	if err := images.Ext4(ctx, image, 32<<20, tree); err != nil {
		return "", err
	}
	to := filepath.Join(dir, "root.img")
	return to, os.Rename(image, to)
}
