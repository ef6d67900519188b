// Package vhost runs the network card's tests of vhost where there is one.
package vhost

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mayfly-vm/mayfly/lab"
)

func TestVHostInTheNest(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: starts a machine")
	}
	dir := t.TempDir()
	bin := filepath.Join(dir, "vnet.test")
	build := exec.Command("go", "test", "-c", "-o", bin, "github.com/mayfly-vm/mayfly/virtio/vnet")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var out bytes.Buffer
	_, err := lab.Run(context.Background(), lab.Job{
		Program: bin,
		Args:    []string{"-test.v", "-test.run", "VHost", "-test.bench", "VHost", "-test.benchtime", "20000x"},
		Modules: []string{"tun", "vhost_net", "vhost_vsock"},
		Stdout:  &out, Stderr: &out,
		Timeout: 10 * time.Minute,
	})
	t.Logf("%s", out.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if s := out.String(); !strings.Contains(s, "PASS") || strings.Contains(s, "--- FAIL") || strings.Contains(s, "--- SKIP") {
		t.Error("not all passed")
	}
}
