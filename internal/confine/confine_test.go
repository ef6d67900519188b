package confine

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/internal/landlock"
	"github.com/mayfly-vm/mayfly/internal/seccomp"
)

// childDoes makes this test the process that confines itself.
const childDoes = "MAYFLY_TEST_CONFINE"

func TestMain(m *testing.M) {
	switch os.Getenv(childDoes) {
	case "":
		os.Exit(m.Run())
	case "companion":
		exitOn(Companion(Rights{Limits: Limits{OpenFiles: 50, FileSize: 4096}, Keep: []int{4}, Files: landlock.Rules{Read: []string{"/proc"}}, Calls: reporting}))
	case "mark":
		exitOn(MarkCloseOnExec())
		exitOn(eachInherited(func(fd int) error { return fmt.Errorf("%d is not close-on-exec", fd) }))
	case "mark without the call":
		exitOn(eachInherited(func(fd int) error {
			_, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, unix.FD_CLOEXEC)
			return err
		}))
		exitOn(eachInherited(func(fd int) error { return fmt.Errorf("%d is not close-on-exec", fd) }))
	}
	report()
	os.Exit(0)
}

func exitOn(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(77)
	}
}

// reporting is Network, and what report needs.
func reporting(pid int) seccomp.Policy {
	p := Network(pid)
	p.Rules = append(p.Rules, seccomp.Calls(unix.SYS_READLINKAT, unix.SYS_GETDENTS64, unix.SYS_PRLIMIT64, unix.SYS_GETRLIMIT)...)
	return p
}

// report writes what this process holds: descriptors, the state of each thread,
// and limits.
func report() {
	for fd := firstOther; fd < 10; fd++ {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil {
			at, _ := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
			if !strings.HasPrefix(at, "anon_inode:") { // the Go runtime's poller
				fmt.Println("fd", fd)
			}
		}
	}
	threads, err := filepath.Glob("/proc/self/task/*/status")
	exitOn(err)
	for _, t := range threads {
		b, err := os.ReadFile(t)
		exitOn(err)
		for line := range strings.Lines(string(b)) {
			if strings.HasPrefix(line, "Cap") || strings.HasPrefix(line, "NoNewPrivs") {
				fmt.Print(line)
			}
		}
	}
	for _, r := range []int{unix.RLIMIT_NOFILE, unix.RLIMIT_FSIZE, unix.RLIMIT_CORE} {
		var l unix.Rlimit
		exitOn(unix.Getrlimit(r, &l))
		fmt.Println("limit", r, l.Cur, l.Max)
	}
}

// child runs this test as does, with the descriptors 3, 4 and 5.
func child(t *testing.T, does string) string {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = []string{childDoes + "=" + does}
	for range 3 {
		f, err := os.Open(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		cmd.ExtraFiles = append(cmd.ExtraFiles, f)
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}

func TestCompanion(t *testing.T) {
	out := child(t, "companion")
	if strings.Contains(out, "fd 3") || !strings.Contains(out, "fd 4\n") || strings.Contains(out, "fd 5") {
		t.Errorf("of the descriptors 3 to 5, 4 is to be kept:\n%s", out)
	}
	threads := 0
	for line := range strings.Lines(out) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		value = strings.TrimSpace(value)
		switch name {
		case "CapPrm", "CapEff", "CapInh", "CapAmb":
			if strings.Trim(value, "0") != "" {
				t.Errorf("%s is %s", name, value)
			}
		case "NoNewPrivs":
			if threads++; value != "1" {
				t.Errorf("NoNewPrivs is %s", value)
			}
		}
	}
	if threads < 2 {
		t.Errorf("%d threads; the test means to see several", threads)
	}
	for _, want := range []string{
		fmt.Sprintln("limit", unix.RLIMIT_NOFILE, 50, 50),
		fmt.Sprintln("limit", unix.RLIMIT_FSIZE, 4096, 4096),
		fmt.Sprintln("limit", unix.RLIMIT_CORE, 0, 0),
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

func TestMarkCloseOnExec(t *testing.T) {
	for _, does := range []string{"mark", "mark without the call"} {
		if out := child(t, does); !strings.HasPrefix(out, "fd 3\nfd 4\nfd 5\n") {
			t.Errorf("%s: the descriptors are still to be usable:\n%s", does, out)
		}
	}
}
