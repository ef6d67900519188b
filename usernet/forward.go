package usernet

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"

	"github.com/containers/gvisor-tap-vsock/pkg/types"

	"github.com/mayfly-vm/mayfly/virtio/vnet"
)

// listening is a forward that is open.
type listening struct {
	proto types.TransportProtocol
	local string
}

// forward listens at a port of the host.
func (n *Network) forward(f vnet.Forward) error {
	host := f.Host
	if host == "" {
		host = "127.0.0.1" // who wants the world in says so
	}
	proto, name := types.TCP, "TCP"
	if f.UDP {
		proto, name = types.UDP, "UDP"
	}
	local := net.JoinHostPort(host, strconv.Itoa(int(f.HostPort)))
	remote := net.JoinHostPort(Guest, strconv.Itoa(int(f.GuestPort)))
	err := n.fw.Expose(proto, local, remote)
	switch {
	case err == nil:
		n.ports = append(n.ports, listening{proto, local})
		return nil
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("forward: %s port %d of %s is in use by another program; choose another host port or end that program (ss -lp shows it)", name, f.HostPort, host)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("forward: no right to listen at %s port %d of %s; ports below 1024 need CAP_NET_BIND_SERVICE: choose a higher one", name, f.HostPort, host)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("forward: %s is no address of this host", host)
	}
	return fmt.Errorf("forward: %s port %d of %s: %w", name, f.HostPort, host, err)
}
