package main

import (
	"flag"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/mayfly-vm/mayfly/cmd/internal/flags"
	"github.com/mayfly-vm/mayfly/guest/check"
	"github.com/mayfly-vm/mayfly/internal/machinetest"
)

var update = flag.Bool("update", false, "write the scripts' expectations")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){flags.Name: main, "without": without})
}

func TestScripts(t *testing.T) {
	programs := machinetest.Programs(t)
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { busy.Close() })
	testscript.Run(t, testscript.Params{
		Dir:           "testdata/script",
		UpdateScripts: *update,
		Setup: func(e *testscript.Env) error {
			for name, o := range map[string]check.Options{
				"POWEROFF": {}, "REBOOT": {End: check.Reboot}, "HALT": {End: check.Halt}, "TRIPLE": {End: check.TripleFault}, "MARK": {Mark: 'A'},
			} {
				e.Setenv(name, check.Cmdline(o))
			}
			if mayfly, err := exec.LookPath(flags.Name); err == nil {
				e.Setenv("ALONE", filepath.Dir(mayfly)) // without the other programs
			}
			e.Setenv("PATH", e.Getenv("PATH")+string(os.PathListSeparator)+programs) // after this test as mayfly
			e.Setenv("BUSY", strconv.Itoa(busy.Addr().(*net.TCPAddr).Port))
			e.Setenv("XDG_CACHE_HOME", e.WorkDir+"/cache")
			return os.WriteFile(e.WorkDir+"/check.elf", check.ELF, 0o644)
		},
		Condition: func(cond string) (bool, error) {
			switch cond {
			case "kvm":
				return machinetest.HaveKVM(), nil
			case "root":
				return os.Geteuid() == 0, nil
			}
			_, err := exec.LookPath(cond)
			return err == nil, nil
		},
	})
}
