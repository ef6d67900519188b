package kernel

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A directory in which others can put kernels is no cache, and its entries are
// not used.
func TestCacheDirOfOthers(t *testing.T) {
	kernel := write(t, goodBzImage())
	for name, c := range map[string]struct {
		spoil func(dir string) error
		root  bool // only root can
		says  string
	}{
		"another user's":  {func(d string) error { return os.Chown(d, 12345, 0) }, true, "is a cache directory of user 12345"},
		"group's":         {func(d string) error { return os.Chmod(d, 0o770) }, false, "others can write to (mode 0770)"},
		"everybody's":     {func(d string) error { return os.Chmod(d, 0o707) }, false, "others can write to (mode 0707)"},
		"with sticky bit": {func(d string) error { return os.Chmod(d, 0o777|os.ModeSticky) }, false, ""},
	} {
		if c.root && os.Geteuid() != 0 {
			continue
		}
		dir := filepath.Join(t.TempDir(), "cache")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := c.spoil(dir); err != nil {
			t.Fatal(err)
		}
		im, err := Open(kernel, Options{CacheDir: dir})
		if c.says == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			im.Close()
			continue
		}
		if err == nil {
			im.Close()
			t.Errorf("%s: it was used", name)
			continue
		}
		if !errors.Is(err, ErrCacheDir) || !strings.HasPrefix(err.Error(), dir+": ") || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
		if left := list(t, dir); len(left) != 0 {
			t.Errorf("%s: %v was written there", name, left)
		}
		// The default directory: a start works without a cache.
		home := filepath.Dir(dir)
		if err := os.MkdirAll(filepath.Join(home, "mayfly"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(dir, filepath.Join(home, "mayfly", "kernels")); err != nil {
			t.Fatal(err)
		}
		t.Setenv("XDG_CACHE_HOME", home)
		if im, err = Open(kernel, Options{}); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !bytes.Equal(content(t, im), newCraft().elf()) {
			t.Errorf("%s: wrong kernel", name)
		}
		im.Close()
		if left := list(t, filepath.Join(home, "mayfly", "kernels")); len(left) != 0 {
			t.Errorf("%s: %v was written there", name, left)
		}
	}
}

// All names are looked up in the directory that was checked: another one that
// takes its path changes nothing.
func TestCacheDirIsOpenedOnce(t *testing.T) {
	c := preparedCache(t)
	moved := c.path + "-moved"
	if err := os.Rename(c.path, moved); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Rename(moved, c.path) })
	if err := os.Mkdir(c.path, 0o777); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(c.path)
	tmp, err := c.temp()
	if err != nil {
		t.Fatal(err)
	}
	defer tmp.Close()
	if _, err := tmp.Write(newCraft().elf()); err != nil {
		t.Fatal(err)
	}
	k := make(key, 32)
	f, err := c.commit(tmp, k)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	if f, _, _ = c.content(k, 0); f == nil {
		t.Error("the entry is not found")
	} else {
		f.Close()
	}
	if here, there := list(t, c.path), list(t, moved); len(here) != 0 || len(there) != 1 {
		t.Errorf("the entry is in %v or %v", here, there)
	}
}
