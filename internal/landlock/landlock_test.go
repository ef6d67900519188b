package landlock

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// childDir makes this test the process that is restricted.
const childDir = "MAYFLY_TEST_LANDLOCK"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		if err := restricted(dir); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// restricted tries in another thread than the one that restricts.
func restricted(dir string) error {
	var sealed, begun, done sync.WaitGroup
	sealed.Add(1)
	begun.Add(1)
	var err error
	done.Go(func() {
		runtime.LockOSThread()
		begun.Done()
		sealed.Wait()
		err = try(dir)
	})
	begun.Wait()
	remove, oerr := unix.Open(dir+"/mine", unix.O_PATH|unix.O_DIRECTORY, 0)
	if oerr != nil {
		return oerr
	}
	rules, err := New(Version(), Rules{Remove: []int{remove}, Read: []string{dir + "/readable", dir + "/missing"}, Scope: true})
	if err != nil {
		return err
	}
	if _, _, e := syscall.AllThreadsSyscall6(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0); e != 0 {
		return e
	}
	if err := rules.Enforce(); err != nil {
		return err
	}
	rules.Close()
	sealed.Done()
	done.Wait()
	return err
}

func try(dir string) error {
	if _, err := os.ReadFile(dir + "/readable"); err != nil {
		return err
	}
	if err := os.Remove(dir + "/mine/file"); err != nil {
		return err
	}
	for what, do := range map[string]func() error{
		"read":   func() error { _, err := os.ReadFile(dir + "/secret"); return err },
		"list":   func() error { _, err := os.ReadDir(dir); return err },
		"write":  func() error { return os.WriteFile(dir+"/mine/new", nil, 0o600) },
		"append": func() error { _, err := os.OpenFile(dir+"/readable", os.O_WRONLY, 0); return err },
		"remove": func() error { return os.Remove(dir + "/secret") },
		"mkdir":  func() error { return os.Mkdir(dir+"/mine/dir", 0o700) },
		"link":   func() error { return os.Symlink("x", dir+"/mine/link") },
		"exec":   func() error { return exec.Command("/proc/self/exe").Run() },
		"device": func() error { _, err := os.OpenFile("/dev/null", os.O_RDWR, 0); return err },
	} {
		if do() == nil {
			return fmt.Errorf("%s: is allowed", what)
		}
	}
	var tcp net.ListenConfig
	tcp.SetMultipathTCP(false) // which Landlock leaves alone
	if _, err := tcp.Listen(context.Background(), "tcp", "127.0.0.1:0"); err == nil && Version() >= 4 {
		return fmt.Errorf("listens at TCP")
	}
	return nil
}

func TestRestrict(t *testing.T) {
	if Version() == 0 {
		t.Skip(ErrUnsupported)
	}
	dir := t.TempDir()
	for name, err := range map[string]error{
		"mine":      os.Mkdir(filepath.Join(dir, "mine"), 0o700),
		"mine/file": os.WriteFile(filepath.Join(dir, "mine/file"), nil, 0o600),
		"readable":  os.WriteFile(filepath.Join(dir, "readable"), []byte("text"), 0o600),
		"secret":    os.WriteFile(filepath.Join(dir, "secret"), []byte("text"), 0o600),
	} {
		if err != nil {
			t.Fatal(name, err)
		}
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = []string{childDir + "=" + dir}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

func TestAttr(t *testing.T) {
	for version, size := range map[int]uintptr{1: 8, 2: 8, 3: 8, 4: 16, 5: 16, 6: 24, 7: 24, 9: 24} {
		a, got := (&Rules{Scope: true}).attr(version)
		if got != size || version < 4 && a.Handled_access_net != 0 || version < versionOfScope && a.Scoped != 0 || version >= 4 && a.Handled_access_net == 0 {
			t.Errorf("version %d: %+v, %d bytes", version, a, got)
		}
	}
	if a, _ := (&Rules{Network: true}).attr(9); a.Handled_access_net != 0 || a.Scoped != 0 {
		t.Errorf("%+v", a)
	}
	if at := unsafe.Offsetof(unix.LandlockPathBeneathAttr{}.Parent_fd); at != 8 {
		t.Errorf("parent_fd is at %d", at)
	}
}

func TestUnsupported(t *testing.T) {
	if _, err := New(0, Rules{}); err != ErrUnsupported {
		t.Error(err)
	}
}
