package images_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mayfly-vm/mayfly/lab/images"
)

// fsck checks a file system and changes nothing.
func fsck(t *testing.T, image string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), images.Tool("e2fsck"), "-f", "-n", image).CombinedOutput(); err != nil {
		t.Errorf("e2fsck %s: %v\n%s", image, err, out)
	}
}

// cat is a file of a file system.
func cat(t *testing.T, image, name string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), images.Tool("debugfs"), "-R", "cat "+name, image).Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func TestDebianIsWhole(t *testing.T) {
	if testing.Short() {
		t.Skip("needs the lab's cache")
	}
	i, err := images.Get(t.Context(), images.Debian, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	fsck(t, i.Disk())
	if got := cat(t, i.Disk(), "/etc/hostname"); got != "mayfly\n" {
		t.Errorf("host name %q", got)
	}
	if shadow := cat(t, i.Disk(), "/etc/shadow"); !strings.Contains("\n"+shadow, "\nroot::") {
		t.Errorf("root has a password, or is no user: %q", shadow)
	}
	for file, magic := range map[string]string{i.Kernel(): "HdrS", i.Initrd(): ""} {
		b, err := os.ReadFile(file)
		if err != nil || len(b) < 1<<20 || !bytes.Contains(b[:1<<10], []byte(magic)) {
			t.Errorf("%s: %d bytes, %v", file, len(b), err)
		}
	}
	again, err := images.Get(t.Context(), images.Debian, os.Stderr)
	if err != nil || again != i {
		t.Errorf("a second Get: %+v, %v", again, err)
	}
}

func TestExt4HoldsTheFiles(t *testing.T) {
	dir, image := t.TempDir(), filepath.Join(t.TempDir(), "root.img")
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte("content"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := images.Ext4(t.Context(), image, 16<<20, dir); err != nil {
		t.Fatal(err)
	}
	fsck(t, image)
	if got := cat(t, image, "/file"); got != "content" {
		t.Errorf("/file holds %q", got)
	}
	if err := images.Ext4(t.Context(), image, 1<<20, "nowhere"); err == nil || !strings.Contains(err.Error(), "nowhere") {
		t.Errorf("error %v", err)
	}
}
