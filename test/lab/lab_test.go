package lab_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mayfly-vm/mayfly/lab"
)

// probe builds the program of the folder probe, which does what its arguments say.
func probe(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("starts machines")
	}
	p, err := lab.Build(t.Context(), "github.com/mayfly-vm/mayfly/test/lab/probe")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestProgramFindsKVMAndItsFiles(t *testing.T) {
	dir := t.TempDir()
	data := bytes.Repeat([]byte("mayfly\n"), 300_000) // more than one frame
	if err := os.WriteFile(filepath.Join(dir, "data"), data, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "tree/deep"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "tree/deep/leaf"), []byte("leaf"), 0o600); err != nil {
		t.Fatal(err)
	}
	var live bytes.Buffer
	r, err := lab.Run(t.Context(), lab.Job{
		Program: probe(t),
		Args:    []string{"kvm", "copy:in/data:out", "cat:in/tree/deep/leaf", "env:GREETING", "stderr:oops", "exit:7"},
		Env:     []string{"GREETING=good day"},
		Files:   map[string]string{"in/data": filepath.Join(dir, "data"), "in/tree": filepath.Join(dir, "tree")},
		Collect: []string{"out", "absent"},
		Stdout:  &live,
		Timeout: time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%v, up in %v", r.Where, r.Boot)
	if r.ExitCode != 7 {
		t.Errorf("exit code %d, want 7", r.ExitCode)
	}
	for _, want := range []string{"KVM API 12, a machine and a processor made\n", "leaf", "GREETING=good day", "oops"} {
		if !bytes.Contains(r.Output, []byte(want)) {
			t.Errorf("output lacks %q:\n%s", want, r.Output)
		}
	}
	if bytes.Contains(live.Bytes(), []byte("oops")) || !bytes.Contains(live.Bytes(), []byte("leaf")) {
		t.Errorf("Stdout got %q", live.Bytes())
	}
	if !bytes.Equal(r.Files["out"], data) {
		t.Errorf("file out came back with %d bytes, want %d as sent", len(r.Files["out"]), len(data))
	}
	if _, ok := r.Files["absent"]; ok {
		t.Error("a file that was never written came back")
	}
}

// TestDisksAreWrittenForTheProgramOnly: what the program writes to a disk does not
// reach the image file.
func TestDisksAreWrittenForTheProgramOnly(t *testing.T) {
	dir := t.TempDir()
	old, fresh := bytes.Repeat([]byte("old disk"), 8<<10), bytes.Repeat([]byte("new data"), 1<<10)
	for name, data := range map[string][]byte{"disk, with a comma": old, "fresh": fresh} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	image := filepath.Join(dir, "disk, with a comma")
	r, err := lab.Run(t.Context(), lab.Job{
		Program: probe(t), Timeout: time.Minute,
		Args:    []string{"copy:a.img:before", "copy:fresh:a.img", "copy:a.img:after", "copy:b.img:other"},
		Files:   map[string]string{"fresh": filepath.Join(dir, "fresh")},
		Disks:   map[string]string{"a.img": image, "b.img": image},
		Collect: []string{"before", "after", "other"},
	})
	if err != nil || r.ExitCode != 0 {
		t.Fatalf("%v, exit code %d\n%s", err, r.ExitCode, r.Output)
	}
	if !bytes.Equal(r.Files["before"], old) || !bytes.Equal(r.Files["other"], old) {
		t.Errorf("the program found %d and %d bytes, not the image's %d", len(r.Files["before"]), len(r.Files["other"]), len(old))
	}
	if !bytes.HasPrefix(r.Files["after"], fresh) {
		t.Error("what was written was not read again")
	}
	if b, err := os.ReadFile(image); err != nil || !bytes.Equal(b, old) {
		t.Errorf("the image has changed (%v)", err)
	}
}

func TestModulesAreLoaded(t *testing.T) {
	r, err := lab.Run(t.Context(), lab.Job{
		Program: probe(t), Nest: true, Timeout: time.Minute, Modules: []string{"tun", "vhost_net", "vhost_vsock", "loop", "bridge", "veth"},
		Args: []string{"cat:/proc/modules"},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"tun ", "vhost_net ", "vhost_vsock ", "vsock ", "loop ", "bridge ", "veth "} {
		if !bytes.Contains(r.Output, []byte(want)) {
			t.Errorf("not loaded: %s\n%s", want, r.Output)
		}
	}
}

func TestHugePagesAreAsAsked(t *testing.T) {
	r, err := lab.Run(t.Context(), lab.Job{
		Program: probe(t), Nest: true, THP: "madvise", Timeout: time.Minute,
		Args: []string{"cat:/sys/kernel/mm/transparent_hugepage/enabled"},
	})
	if err != nil || !bytes.Contains(r.Output, []byte("[madvise]")) {
		t.Fatalf("%v, output %q", err, r.Output)
	}
}

func TestProgramThatHangsIsKilledAndShowsWhere(t *testing.T) {
	r, err := lab.Run(t.Context(), lab.Job{Program: probe(t), Args: []string{"hang"}, Timeout: 3 * time.Second})
	if !errors.Is(err, lab.ErrTimeout) {
		t.Fatalf("error %v, want a timeout", err)
	}
	if !r.Where.Native && !strings.Contains(err.Error(), "lab: first process of the nest") {
		t.Errorf("the error does not show the console:\n%v", err)
	}
	if !bytes.Contains(r.Output, []byte("SIGQUIT")) || !bytes.Contains(r.Output, []byte("main.hang")) {
		t.Errorf("the output does not show the goroutines:\n%s", r.Output)
	}
}

func TestNestThatDiesShowsItsConsole(t *testing.T) {
	_, err := lab.Run(t.Context(), lab.Job{Program: probe(t), Nest: true, Args: []string{"panic-kernel"}, Timeout: time.Minute})
	var nest *lab.NestError
	if !errors.As(err, &nest) {
		t.Fatalf("error %v, want a NestError", err)
	}
	for _, want := range []string{"the emulator ended", "sysrq triggered crash"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error lacks %q:\n%v", want, err)
		}
	}
}

func TestCancelledContextEndsTheNest(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	_, err := lab.Run(ctx, lab.Job{
		Program: probe(t), Args: []string{"cat:/proc/version", "hang"}, Timeout: time.Minute,
		Stdout: writerFunc(func([]byte) { cancel(enough) }),
	})
	if !errors.Is(err, enough) {
		t.Fatalf("error %v, want the context's cause", err)
	}
}

type writerFunc func([]byte)

func (f writerFunc) Write(p []byte) (int, error) { f(p); return len(p), nil }

func TestJobsThatCannotWorkAreRefused(t *testing.T) {
	static := probe(t)
	dynamic := "/bin/ls"
	for name, c := range map[string]struct {
		job  lab.Job
		want string
	}{
		"dynamic program":  {lab.Job{Program: dynamic}, "CGO_ENABLED=0"},
		"missing program":  {lab.Job{Program: "nowhere"}, "no such file"},
		"no program":       {lab.Job{Program: "lab_test.go"}, "bad magic"},
		"file above":       {lab.Job{Program: static, Files: map[string]string{"../x": "lab_test.go"}}, "leads out"},
		"file in /dev":     {lab.Job{Program: static, Files: map[string]string{"/dev/kvm": "lab_test.go"}}, "belongs to the nest"},
		"missing file":     {lab.Job{Program: static, Files: map[string]string{"x": "nowhere"}}, "no such file"},
		"disk in a folder": {lab.Job{Program: static, Disks: map[string]string{"a/b": "lab_test.go"}}, "no plain file name"},
		"disk and file":    {lab.Job{Program: static, Files: map[string]string{"x": "lab_test.go"}, Disks: map[string]string{"x": "lab_test.go"}}, "names a file and a disk"},
		"wrong huge pages": {lab.Job{Program: static, THP: "sometimes"}, "want always"},
	} {
		if _, err := lab.Run(t.Context(), c.job); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, c.want)
		}
	}
}
