package vnet_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/virtio/virtiotest"
	"github.com/mayfly-vm/mayfly/virtio/vnet"
)

// TestPasst asks passt itself for an Ethernet address (RFC 826): it answers for
// every one on its network but the guest's own.
func TestPasst(t *testing.T) {
	program, err := exec.LookPath("passt")
	if err != nil {
		t.Skip("no passt on this machine (apt-get install passt)")
	}
	dev := openPasst(t, program)
	defer dev.Close()
	d := virtiotest.New(t, dev, virtiotest.Options{})
	rx, tx := d.Queue(0), d.Queue(1)
	for range 16 {
		rx.Add(nil, []int{2000})
	}
	rx.Kick()
	guest, asked := []byte{0x02, 9, 9, 9, 9, 9}, []byte{192, 0, 2, 77}
	for range 3 {
		tx.Do([][]byte{withHeader(arpRequest(guest, asked))}, nil)
		for { // passt may speak of itself in between, by router advertisements
			_, f := received(t, rx)
			if len(f) < 42 || f[12] != 0x08 || f[13] != 0x06 {
				continue
			}
			const reply = 2
			if f[21] != reply || !bytes.Equal(f[:6], guest) || !bytes.Equal(f[28:32], asked) || !bytes.Equal(f[22:28], f[6:12]) {
				t.Fatalf("% x is no answer", f[:42])
			}
			break
		}
	}
}

// openPasst runs passt and makes a card on its socket as soon as it listens there.
func openPasst(t *testing.T, program string) *vnet.Device {
	// passt gives up root's rights before it makes the socket.
	dir, err := os.MkdirTemp("", "passt")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "s")
	var said bytes.Buffer
	cmd := exec.Command(program, "--foreground", "--socket", socket, "--address", "192.0.2.9", "--gateway", "192.0.2.1", "--netmask", "24")
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		cmd.Wait()
	}()
	t.Cleanup(func() {
		cmd.Process.Signal(unix.SIGTERM)
		<-ended
	})
	limit := time.After(virtiotest.Deadline)
	for {
		dev, err := vnet.New(vnet.Config{Kind: vnet.Passt, Socket: socket})
		if err == nil {
			return dev
		}
		select {
		case <-ended:
			t.Fatalf("passt has ended: %s", said.Bytes())
		case <-limit:
			t.Fatal(err)
		case <-time.After(time.Millisecond):
		}
	}
}

// arpRequest asks who has an address.
func arpRequest(from, asked []byte) []byte {
	f := append(bytes.Repeat([]byte{0xFF}, 6), from...)
	f = append(f, 0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1) // Ethernet, IPv4, request
	f = append(append(f, from...), 192, 0, 2, 9)
	return append(append(f, 0, 0, 0, 0, 0, 0), asked...)
}
