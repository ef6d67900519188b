package main

import (
	"fmt"

	"github.com/mayfly-vm/mayfly/bench/monitor"
	"github.com/mayfly-vm/mayfly/bench/peer"
)

// floodFrame is the size of what the host floods a guest with.
const floodFrame = 60

// net compares the network cards; the other end of the link is the kernel of
// this computer, in a namespace.
func (b *bench) net() error {
	w, err := newNetwork(1)
	if err != nil {
		fmt.Printf("\n(no network here, its rows are left out: %v)\n", err)
		return nil
	}
	defer w.close()
	f := newFigures([]measure{
		{"send, frames of 60 B", "nettx=60", 300, "ops", ""},
		{"send, frames of 1514 B", "nettx=1514", 300, "bytes", ""},
		{"send, 60 KB to be cut into segments", "nettx=60000", 300, "bytes", ""},
		{"receive, frames of 60 B", "netrx=300", 0, "ops", ""},
		{"ping 60 B, 1 on the way", "netping=60,1", 300, "ops", ""},
		{"ping 60 B, 32 on the way", "netping=60,32", 300, "ops", ""},
		{"ping 1514 B, 32 on the way", "netping=1514,32", 300, "ops", ""},
	}, monitor.Ways(b.paths))
	for range max(3, b.runs/4) {
		b.collect(f, monitor.Devices{Tap: "tap0", Network: w.fd}, floodFrame)
	}
	f.print("Network card, on a tap", nil)
	return nil
}

func (b *bench) vsock() error {
	f := newFigures([]measure{
		{"guest to host, 64 KiB packets", fmt.Sprintf("vsock=tx,%d,65536", peer.Sink), 300, "bytes", ""},
		{"host to guest", fmt.Sprintf("vsock=rx,%d,65536", peer.Source), 300, "bytes", ""},
		{"round trips, 64 B", fmt.Sprintf("vsock=ping,%d,64", peer.Echo), 300, "ops", ""},
	}, only(monitor.Ways(b.paths), func(m monitor.Monitor) bool { return m.Vsock }))
	for range max(3, b.runs/4) {
		b.collect(f, monitor.Devices{Vsock: monitor.OwnSocket}, 0)
	}
	f.print("vsock, to a Unix socket", nil)
	return nil
}

func (b *bench) rng() error {
	f := newFigures([]measure{
		{"4 KiB requests, depth 8", "rng=4096", 200, "bytes", ""},
		{"64 B requests as Linux makes them, depth 8", "rng=64", 200, "bytes", ""},
	}, monitor.Ways(b.paths))
	for range max(3, b.runs/4) {
		b.collect(f, monitor.Devices{RNG: true}, 0)
	}
	f.print("Source of entropy", nil)
	return nil
}
