package lab

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestInitramfsIsReadByCpio lets the cpio program judge.
func TestInitramfsIsReadByCpio(t *testing.T) {
	cpio, err := exec.LookPath("cpio")
	if err != nil {
		t.Skip("no cpio program")
	}
	host := filepath.Join(t.TempDir(), "host")
	if err := os.WriteFile(host, []byte("from a file"), 0o644); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	err = WriteInitramfs(&b, []Entry{
		{Name: "/init", Data: []byte("#!")},
		{Name: "/init", Data: []byte("#!later")},
		{Name: "a/b/c", Host: host, Mode: 0o640},
		{Name: "link", Mode: fs.ModeSymlink | 0o777, Data: []byte("a/b/c")},
	})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(cpio, "-itv", "--quiet")
	cmd.Stdin = bytes.NewReader(b.Bytes())
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var got []string
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		got = append(got, f[0]+" "+strings.Join(f[len(f)-1:], ""))
	}
	want := "drwxr-xr-x a|drwxr-xr-x a/b|-rw-r----- a/b/c|drwxr-xr-x dev|crw------- dev/console|-rwxr-xr-x init|lrwxrwxrwx a/b/c"
	if strings.Join(got, "|") != want {
		t.Errorf("cpio lists\n%s\nwant %s", out, want)
	}
	dir := t.TempDir()
	cmd = exec.Command(cpio, "-id", "--quiet", "init", "a/b/c")
	cmd.Dir, cmd.Stdin = dir, bytes.NewReader(b.Bytes())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for name, want := range map[string]string{"init": "#!later", "a/b/c": "from a file"} {
		if b, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(b) != want {
			t.Errorf("%s holds %q, %v", name, b, err)
		}
	}
}

func TestInitramfsIsTheSameEachTime(t *testing.T) {
	files := map[string][]byte{"init": []byte("x"), "b": []byte("y"), "c/d": nil}
	first := Initramfs(files)
	for range 10 {
		if !bytes.Equal(first, Initramfs(files)) {
			t.Fatal("the same files gave another archive")
		}
	}
}

func TestInitramfsRefusesWhatIsNoFile(t *testing.T) {
	for _, e := range []Entry{{Name: ""}, {Name: "/"}, {Name: "x", Host: "/nowhere"}, {Name: "x", Host: t.TempDir()}} {
		if err := WriteInitramfs(new(bytes.Buffer), []Entry{e}); err == nil {
			t.Errorf("%+v was taken", e)
		}
	}
}
