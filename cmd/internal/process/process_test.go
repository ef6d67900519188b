package process

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// beChild makes this test the process whose standard input or whose program is replaced.
const beChild = "MAYFLY_TEST_BE"

func TestMain(m *testing.M) {
	var err error
	switch os.Getenv(beChild) {
	case "":
		os.Exit(m.Run())
	case "reader":
		if err = ReplaceStdin([]byte("kept")); err == nil {
			_, err = io.Copy(os.Stdout, os.Stdin)
		}
	case "exec":
		err = errors.Join(Harden(), Hide())
		os.Setenv(beChild, "descriptors")
		if err == nil {
			err = Exec(os.Args[0], []int{4})
		}
	case "descriptors":
		for _, fd := range []string{"3", "4"} {
			at, _ := os.Readlink("/proc/self/fd/" + fd)
			fmt.Print(at == os.DevNull, " ")
		}
		fmt.Print(os.Args[1:])
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(0)
}

func child(t *testing.T, be string, args ...string) string {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), beChild+"="+be)
	cmd.Stdin = strings.NewReader("read before")
	for range 2 { // descriptors 3 and 4
		f, err := os.Open(os.DevNull)
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

func TestReplaceStdin(t *testing.T) {
	if got := child(t, "reader"); got != "kept" {
		t.Errorf("standard input is %q", got)
	}
}

// A hardened process gives the next program the descriptors that are named, and no other; its arguments stay.
func TestExecKeepsArgumentsAndNamedDescriptors(t *testing.T) {
	if got := child(t, "exec", "--one", "two"); got != "false true [--one two]" {
		t.Errorf("the program printed %q", got)
	}
}

func TestDescriptor(t *testing.T) {
	f, err := MemoryFile("test", []byte("data"))
	if err != nil {
		t.Fatal(err)
	}
	if fd := Descriptor(Path(f)); fd != int(f.Fd()) {
		t.Errorf("%s is %d, want %d", Path(f), fd, f.Fd())
	}
	if b, err := os.ReadFile(Path(f)); err != nil || !bytes.Equal(b, []byte("data")) {
		t.Errorf("%q, %v", b, err)
	}
	path := Path(f)
	f.Close()
	for _, path := range []string{path, "/dev/fd/x", "/dev/fd/-1", "/dev/null", ""} {
		if fd := Descriptor(path); fd != -1 {
			t.Errorf("%q is %d", path, fd)
		}
	}
}

// Where the runtime's poller can't be opened, the error names the cause; the runtime would end the process.
func TestFewFiles(t *testing.T) {
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	few := unix.Rlimit{Cur: 3, Max: old.Max}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	err := startPoller()
	if back := unix.Setrlimit(unix.RLIMIT_NOFILE, &old); back != nil {
		t.Fatal(back)
	}
	if !errors.Is(err, unix.EMFILE) {
		t.Errorf("with 3 files: %v", err)
	}
	if err := startPoller(); err != nil {
		t.Error(err)
	}
}
