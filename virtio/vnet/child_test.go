package vnet_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mayfly-vm/mayfly/virtio/vnet"
)

// userNetwork makes a card whose user network is a shell script.
func userNetwork(t *testing.T, script string) (*vnet.Device, chan error) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "mayfly-usernet"), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	reported := make(chan error, 10)
	d, err := vnet.New(vnet.Config{Name: "n", Report: func(err error) { reported <- err }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d, reported
}

// TestUserNetworkThatFails: what keeps it from coming up is known before the guest
// starts, and is not reported a second time.
func TestUserNetworkThatFails(t *testing.T) {
	for _, tc := range []struct{ script, want string }{
		{"echo 'mayfly-usernet: forward: TCP 127.0.0.1:80 is in use' >&2; exit 1", "net n: "},
		{"echo 'mayfly-usernet: forward: TCP 127.0.0.1:80 is in use' >&2; exit 1", "/mayfly-usernet: forward: TCP 127.0.0.1:80 is in use"},
		{"exit 7", "it ended: exit status 7"},
		{"kill -9 $$", "it ended: signal: killed"},
		{"exit 0", "it ended: exit status 0"},
		{"echo rea", "mayfly-usernet: rea"},
	} {
		d, reported := userNetwork(t, tc.script)
		for range 2 { // the answer stays
			if err := d.Ready(); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%s: %v", tc.script, err)
			}
		}
		if d.Link() {
			t.Errorf("%s: the link is up", tc.script)
		}
		d.Close()
		select {
		case err := <-reported:
			t.Errorf("%s: reported too: %v", tc.script, err)
		default:
		}
	}
	// One that cannot be run at all.
	d, _ := userNetwork(t, "")
	d.Close()
	path := filepath.Join(strings.SplitN(os.Getenv("PATH"), ":", 2)[0], "mayfly-usernet")
	if err := os.WriteFile(path, []byte("no program"), 0o755); err != nil {
		t.Fatal(err)
	}
	d, err := vnet.New(vnet.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := d.Ready(); err == nil || !strings.Contains(err.Error(), "exec format error") {
		t.Error(err)
	}
}

// TestUserNetworkThatEnds: one that ends while the machine runs is reported once, and
// the link goes down.
func TestUserNetworkThatEnds(t *testing.T) {
	for _, tc := range []struct{ script, want string }{
		{"echo ready; echo 'mayfly-usernet: out of luck' >&2; exit 1", "mayfly-usernet: out of luck; the guest's link is down until"},
		{"echo ready; exit 0", "it ended: exit status 0; the guest's link is down until"},
	} {
		d, reported := userNetwork(t, tc.script)
		if err := d.Ready(); err != nil {
			t.Error(err)
		}
		select {
		case err := <-reported:
			if !strings.Contains(err.Error(), tc.want) {
				t.Error(err)
			}
		case <-time.After(30 * time.Second):
			t.Fatal("nothing was reported")
		}
		if d.Link() {
			t.Error("the link is up")
		}
		d.Close()
		if len(reported) > 0 {
			t.Errorf("reported again: %v", <-reported)
		}
	}
}

// TestUserNetworkThatEndsWithTheCard: that is no fault.
func TestUserNetworkThatEndsWithTheCard(t *testing.T) {
	for range 50 {
		d, reported := userNetwork(t, "echo ready; read x <&3; exit 1")
		if err := d.Ready(); err != nil {
			t.Fatal(err)
		}
		if !d.Link() {
			t.Error("the link is not up")
		}
		d.Close()
		if len(reported) > 0 {
			t.Fatalf("reported: %v", <-reported)
		}
	}
}
