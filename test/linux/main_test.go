package linux

import (
	"context"
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/internal/compression"
	"github.com/mayfly-vm/mayfly/kernel"
	_ "github.com/mayfly-vm/mayfly/kernel/unpack"
	"github.com/mayfly-vm/mayfly/lab"
	"github.com/mayfly-vm/mayfly/lab/kernels"
)

// processor is what runs the guests' instructions. On the software processor the tests run on this machine.
var processor = flag.String("processor", string(mayfly.ProcessorKVM), "run guests on `kvm`, in the lab, or on soft, natively")

func TestMain(m *testing.M) {
	flag.Parse()
	if isSoft() {
		patience *= 5
	}
	if testing.Short() && lab.Inside() == "" {
		fmt.Println("test/linux: skipped by -short: starts machines")
		os.Exit(0)
	}
	lab.Main(m, prepare)
}

// Files in the lab, in addition to a folder with vmlinux and vmlinuz for each kernel.
const (
	initrdFile = "initrd"         // uncompressed: testinit
	initFile   = "init"           // testinit itself
	programBin = "mayfly"         // the command
	machineBin = "mayfly-machine" // that machines of the tests run in
	cacheDir   = "kernels"        // the unpacked kernel of a bzImage that takes long to unpack
)

// prepare brings kernels and programs together, outside of the lab.
func prepare(ctx context.Context) (j lab.Job, err error) {
	j = lab.Job{Files: map[string]string{}, Timeout: 30 * time.Minute, Host: isSoft()}
	for _, name := range kernels.All() {
		k, err := kernels.Get(ctx, name, os.Stderr)
		if err != nil {
			return j, err
		}
		j.Files[name+"/vmlinux"], j.Files[name+"/vmlinuz"] = k.Vmlinux(), k.Vmlinuz()
	}
	if j.Files[programBin], err = lab.Build(ctx, "github.com/mayfly-vm/mayfly/cmd/mayfly"); err != nil {
		return j, err
	}
	if j.Files[compression.Program], err = lab.Build(ctx, "github.com/mayfly-vm/mayfly/cmd/mayfly-unpack"); err != nil {
		return j, err
	}
	if j.Files[machineBin], err = lab.Build(ctx, "github.com/mayfly-vm/mayfly/cmd/mayfly-machine"); err != nil {
		return j, err
	}
	if j.Files[initFile], err = lab.Build(ctx, "github.com/mayfly-vm/mayfly/guest/testinit"); err != nil {
		return j, err
	}
	// The lab's own cache, so that what is made here lasts.
	dir, err := kernels.CacheDir()
	if err != nil {
		return j, err
	}
	if j.Files[initrdFile], err = writeInitrd(dir, j.Files[initFile]); err != nil {
		return j, err
	}
	j.Files[cacheDir], err = unpackSlowest(dir, j.Files[kernels.Debian61+"/vmlinuz"])
	return j, err
}

func writeInitrd(dir, init string) (string, error) {
	to := dir + "/test-linux-initrd"
	return to, lab.WriteInitramfsFile(to, []lab.Entry{{Name: "init", Host: init}})
}

// unpackSlowest unpacks a bzImage of xz on this machine: in the nest, where each
// instruction is emulated, it alone would take a minute. All others are
// unpacked in there.
func unpackSlowest(dir, vmlinuz string) (string, error) {
	dir += "/test-linux-kernels"
	im, err := kernel.Open(vmlinuz, kernel.Options{CacheDir: dir})
	if err != nil {
		return "", err
	}
	return dir, im.Close()
}
