package flags

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mayfly-vm/mayfly/cmd/internal/option"
	"github.com/mayfly-vm/mayfly/smbios"
	vconsole "github.com/mayfly-vm/mayfly/virtio/console"
)

func TestIdentity(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte{0, 1}, 0o600); err != nil {
		t.Fatal(err)
	}
	var s smbios.Config
	line := "serial=a,,b,uuid=123e4567-e89b-12d3-a456-426614174000,oem=x,oem=y=z,credential=n=v=w,credential-file=f=" + file + ",product=p"
	if err := smbiosKeys(&s).Set(line); err != nil {
		t.Fatal(err)
	}
	want := smbios.Config{
		Serial: "a,b", Product: "p", OEM: []string{"x", "y=z", "io.systemd.credential:n=v=w", "io.systemd.credential.binary:f=AAE="},
		UUID: [16]byte{0x12, 0x3e, 0x45, 0x67, 0xe8, 0x9b, 0x12, 0xd3, 0xa4, 0x56, 0x42, 0x66, 0x14, 0x17, 0x40, 0},
	}
	if diff := cmp.Diff(want, s); diff != "" {
		t.Fatal(diff)
	}
	p := &s
	text, err := option.YAML([]option.Flag{{Name: "smbios", Groups: option.OneOf(&p, smbiosKeys)}})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"  serial: a,b\n", "uuid: \"123e4567-e89b-12d3-a456-426614174000\"", "    - \"io.systemd.credential:n=v=w\""} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}
	for line, want := range map[string]string{
		"uuid=123": "not a UUID",
		"uuid=00000000-0000-0000-0000-000000000000": "all zeroes",
		"uuid=123e4567-e89b-12d3-a456-42661417400g": "not a UUID",
		"credential=n":                "write NAME=VALUE",
		"credential==v":               "a credential's name",
		"credential-file=n":           "write NAME=FILE",
		"credential-file=n=/dev/zero": "more than 16 KiB",
		"serial=\n":                   "printable ASCII",
	} {
		if err := smbiosKeys(&smbios.Config{}).Set(line); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", line, err)
		}
	}
	if err := smbiosKeys(&smbios.Config{}).Set("credential-file=n=/nope"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

func TestConsolePorts(t *testing.T) {
	t.Chdir(t.TempDir())
	for line, want := range map[string]ConsolePort{
		"stdio":                    {stdio: true},
		"pty=tty":                  {Port: vconsole.Port{PTY: "tty"}},
		"socket=s,name=org.x":      {Port: vconsole.Port{Socket: "s", Name: "org.x"}},
		"file=log,name=n,terminal": {Port: vconsole.Port{File: "log", Name: "n", Console: true}},
	} {
		var p ConsolePort
		if err := consoleKeys(&p).Set(line); err != nil {
			t.Errorf("%s: %v", line, err)
		}
		if p.stdio != want.stdio || p.PTY != want.PTY || p.Socket != want.Socket || p.File != want.File || p.Name != want.Name || p.Console != want.Console {
			t.Errorf("%s: %+v", line, p)
		}
	}
	for line, want := range map[string]string{
		"": "a port has one end", "name=x": "a port has one end", "stdio,pty=a": "a port has one end",
		"stdio,name=a/b": "without blanks and slashes", "pty=nowhere/a": "no such file", "std": "did you mean stdio?",
	} {
		if err := consoleKeys(&ConsolePort{}).Set(line); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", line, err)
		}
	}
}
