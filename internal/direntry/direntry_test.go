package direntry

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func bindSocket(t *testing.T, path string) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, path string) *Entry {
	t.Helper()
	e, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

// Only a socket of this user's own gets another mode, whatever takes its place.
func TestChmodSocket(t *testing.T) {
	dir := t.TempDir()
	victim := filepath.Join(dir, "victim")
	if err := os.WriteFile(victim, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		swap func(path string) error
		ok   bool
	}{
		"the socket":                 {func(string) error { return nil }, true},
		"a symbolic link":            {func(p string) error { os.Remove(p); return os.Symlink(victim, p) }, false},
		"a file":                     {func(p string) error { os.Remove(p); return os.WriteFile(p, nil, 0o600) }, false},
		"a link to another's socket": {func(p string) error { return os.Link(p, p+"2") }, false},
		"nothing":                    {os.Remove, false},
	} {
		path := filepath.Join(t.TempDir(), "s")
		bindSocket(t, path)
		if err := os.Chmod(path, 0o600); err != nil {
			t.Fatal(err)
		}
		e := open(t, path)
		if err := c.swap(path); err != nil {
			t.Fatal(err)
		}
		st, err := e.ChmodSocket(0o666)
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
		if !c.ok && st != (unix.Stat_t{}) {
			t.Errorf("%s: the state of a file that is not ours: %+v", name, st)
		}
		if c.ok {
			if now, err := os.Stat(path); err != nil || now.Mode().Perm() != 0o666 || st.Mode&0o777 != 0o666 {
				t.Errorf("%s: mode %v, %o, %v", name, now.Mode(), st.Mode, err)
			}
		}
		if now, err := os.Stat(victim); err != nil || now.Mode().Perm() != 0o600 {
			t.Fatalf("%s: the other file's mode is %v, %v", name, now.Mode(), err)
		}
	}
}

// A directory that takes the place of the one that was opened changes nothing.
func TestDirectoryReplaced(t *testing.T) {
	root := t.TempDir()
	dir, moved := filepath.Join(root, "dir"), filepath.Join(root, "moved")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	e := open(t, filepath.Join(dir, "link"))
	if err := e.Symlink("/dev/pts/7"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(dir, moved); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(dir, "link")
	if err := os.WriteFile(other, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if to, err := e.Readlink(); err != nil || to != "/dev/pts/7" {
		t.Errorf("link to %q, %v", to, err)
	}
	if err := e.Remove(); err != nil {
		t.Error(err)
	}
	if _, err := e.Stat(); !os.IsNotExist(err) {
		t.Errorf("removed, and %v", err)
	}
	if _, err := os.Stat(other); err != nil {
		t.Error("the other directory's file was removed:", err)
	}
}
