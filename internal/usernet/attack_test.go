package usernet_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"

	"github.com/mayfly-vm/mayfly/internal/machinetest"
	"github.com/mayfly-vm/mayfly/internal/usernet"
)

// The attacks run against the program as it is, each with more than its bounds take;
// MAYFLY_TEST_ATTACK=full makes them as large as the faults that were reported.
func attackSize(small, full int) int {
	if os.Getenv("MAYFLY_TEST_ATTACK") == "full" {
		return full
	}
	return small
}

// mostMemory is what the program may take under attack, in KiB.
const mostMemory = 64 << 10

// program is a running mayfly-usernet and a machine on its network.
type program struct {
	*guest
	pid int
	// What its descriptors are before an attack.
	idle int
}

func startProgram(t *testing.T, args ...string) *program {
	t.Helper()
	dir := withProgram(t)
	path := dir + "/s"
	c := exec.Command(dir+"/mayfly-usernet", append([]string{"-listen", path, "-mac", guestMAC}, args...)...)
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatalf("%q, %v", line, err)
	}
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	g := newGuest(t, func(f []byte) { conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(f))), f...)) })
	g.receive(conn)
	t.Cleanup(func() {
		conn.Close()
		if err := c.Wait(); err != nil {
			t.Errorf("mayfly-usernet: %v", err)
		}
	})
	p := &program{guest: g, pid: c.Process.Pid}
	if !slices.Contains(args, "-isolated") { // it has no name server
		p.awaitName()
	}
	p.idle = p.descriptors()
	return p
}

// awaitName asks the router for its own name: the network is there then.
func (p *program) awaitName() {
	p.t.Helper()
	m := new(dns.Msg)
	m.SetQuestion(usernet.RouterName+".", dns.TypeA)
	q, _ := m.Pack()
	if _, err := p.ask(usernet.Gateway, 53, q, 20*time.Second); err != nil {
		p.t.Fatal(err)
	}
}

func (p *program) descriptors() int {
	list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.pid))
	if err != nil {
		p.t.Fatal(err)
	}
	return len(list)
}

// peak is the program's VmHWM in KiB.
func (p *program) peak() int {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.pid))
	if err != nil {
		p.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "VmHWM:")
	n, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		p.t.Fatal(err)
	}
	return n
}

// check fails where an attack took more than its bounds, most descriptors among them.
func (p *program) check(most int) {
	p.t.Helper()
	fds, peak := p.descriptors(), p.peak()
	p.t.Logf("%d descriptors, at most %d KiB", fds, peak)
	if fds > p.idle+most {
		p.t.Errorf("%d descriptors are open, %d before", fds, p.idle)
	}
	if peak > mostMemory {
		p.t.Errorf("the program took %d KiB", peak)
	}
}

// settle waits until no more than most descriptors are left.
func (p *program) settle(most int) {
	p.t.Helper()
	machinetest.Until(p.t, fmt.Sprintf("return to %d descriptors or fewer", p.idle+most), func() bool { return p.descriptors() <= p.idle+most })
}

// connectReset connects and, once that is done, resets the connection.
func (g *guest) connectReset(ip string, port uint16) error {
	var queue waiter.Queue
	ep, terr := g.s.NewEndpoint(tcp.ProtocolNumber, ipv4.ProtocolNumber, &queue)
	if terr != nil {
		return fmt.Errorf("%v", terr)
	}
	defer ep.Abort()
	entry, ready := waiter.NewChannelEntry(waiter.WritableEvents | waiter.EventHUp)
	queue.EventRegister(&entry)
	defer queue.EventUnregister(&entry)
	if terr := ep.Connect(address(ip, port)); terr != nil {
		if _, ok := terr.(*tcpip.ErrConnectStarted); !ok {
			return fmt.Errorf("%v", terr)
		}
	}
	select {
	case <-ready:
	case <-time.After(20 * time.Second):
		return fmt.Errorf("no answer")
	}
	if terr := ep.LastError(); terr != nil {
		return fmt.Errorf("%v", terr)
	}
	return nil
}

// TestAttackResets: the machine resets its connections, and the server that it is in
// league with never closes.
func TestAttackResets(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	port := hostServer(t, func(net.Conn) { <-t.Context().Done() })
	p := startProgram(t, "-host")
	connected := 0
	for range attackSize(2000, 12000) {
		if p.connectReset(usernet.Host, port) == nil {
			connected++
		}
	}
	t.Logf("%d connections", connected)
	p.check(800)
	p.settle(20)
	if connected < attackSize(1000, 6000) {
		t.Errorf("only %d connections were taken", connected)
	}
}

// TestAttackKeepsConnections: one destination gets its share of connections, and
// others are still reached.
func TestAttackKeepsConnections(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	port := serverAt(t, "0.0.0.0:0", func(net.Conn) { <-t.Context().Done() })
	p := startProgram(t, "-host")
	open := 0
	for range 1500 {
		c, err := p.dial(usernet.Host, port)
		if err == nil {
			open++
			defer c.Close()
			c.SetWriteDeadline(time.Now().Add(time.Millisecond))
			c.Write(make([]byte, 64<<10)) // nobody reads it
		}
	}
	t.Logf("%d connections", open)
	if open < 300 || open > 400 {
		t.Errorf("%d connections to one address", open)
	}
	c, err := p.dial("198.51.100.1", port)
	if err != nil {
		t.Errorf("another address is not reached: %v", err)
	} else {
		c.Close()
	}
	p.check(400)
}

// TestAttackSilentResolver: questions that nobody answers.
func TestAttackSilentResolver(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	silent, err := net.ListenPacket("udp", "127.0.0.1:53")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	p := startProgram(t)
	to := address(usernet.Gateway, 53)
	c, err := gonet.DialUDP(p.s, nil, &to, ipv4.ProtocolNumber)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	failed := make(chan int)
	go func() { // the answers to those for which there was no room
		n := 0
		b := make([]byte, 2000)
		for {
			c.SetReadDeadline(time.Now().Add(15 * time.Second))
			size, err := c.Read(b)
			m := new(dns.Msg)
			if err != nil || m.Unpack(b[:size]) != nil || m.Rcode != dns.RcodeServerFailure {
				failed <- n
				return
			}
			n++
		}
	}()
	for i := range attackSize(3000, 75000) {
		m := new(dns.Msg)
		m.SetQuestion(fmt.Sprintf("q%d.example.org.", i), dns.TypeA)
		q, _ := m.Pack()
		if _, err := c.Write(q); err != nil {
			t.Fatal(err)
		}
		p.paced()
	}
	p.check(140)
	if n := <-failed; n < 500 {
		t.Errorf("%d failures were answered", n)
	}
	p.settle(5)
	p.awaitName()
}

// TestAttackNameStreams: connections to the name server with more to read than it
// gets to while the resolver is silent.
func TestAttackNameStreams(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	silent, err := net.Listen("tcp", "127.0.0.1:53")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	p := startProgram(t)
	m := new(dns.Msg)
	m.SetQuestion("q.example.org.", dns.TypeA)
	q, _ := m.Pack()
	q = append(binary.BigEndian.AppendUint16(nil, uint16(len(q))), q...)
	q = append(q, make([]byte, 1<<20)...)
	var group sync.WaitGroup
	for range 64 {
		c, err := p.dial(usernet.Gateway, 53)
		if err != nil {
			continue // the backlog is full
		}
		defer c.Close()
		group.Go(func() {
			c.SetWriteDeadline(time.Now().Add(2 * time.Second))
			c.Write(q)
		})
	}
	group.Wait()
	p.check(140)
	// These buffers come on top of those of all connections.
	if peak := p.peak(); peak > 24<<10 {
		t.Errorf("the program took %d KiB", peak)
	}
}

// paced waits until the machine's frames have left: its link drops what it has no
// room for.
func (g *guest) paced() {
	for g.link.NumQueued() > 100 {
		<-g.sent
	}
}

// TestAttackForwardUDP: a UDP forward receives from many ports of the outside.
func TestAttackForwardUDP(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	p := startProgram(t, "-forward", "udp:5353:5353")
	p.echoUDP(5353)
	first, err := net.Dial("udp", "127.0.0.1:5353")
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	exchange(t, first)
	for i := range attackSize(3000, 50000) {
		c, err := net.Dial("udp", "127.0.0.1:5353")
		if err != nil {
			t.Fatal(err)
		}
		c.Write(bytes.Repeat([]byte("x"), 1000))
		c.Close()
		if i%100 == 0 {
			exchange(t, first) // one in use goes on
		}
	}
	p.check(0)
}

// exchange sends datagrams until one comes back.
func exchange(t *testing.T, c net.Conn) {
	t.Helper()
	var b [10]byte
	for range 40 {
		if _, err := c.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		c.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
		if n, err := c.Read(b[:]); err == nil && string(b[:n]) == "hello" {
			return
		}
	}
	t.Fatal("nothing comes back")
}

// TestAttackForwardTCP: more connections to a forward than the machine takes.
func TestAttackForwardTCP(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	p := startProgram(t, "-forward", "8080:80")
	p.echo(80)
	var open []net.Conn
	refused := 0
	for range attackSize(1500, 6000) {
		c, err := net.Dial("tcp", "127.0.0.1:8080")
		if err != nil {
			refused++ // at once
			continue
		}
		defer c.Close()
		open = append(open, c)
	}
	t.Logf("%d were refused while they connected", refused)
	// One client has its share; another gets something too.
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	c, err := d.Dial("tcp", "127.0.0.1:8080")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	pingPong(t, c, 1000)
	p.check(300)
	for _, c := range open {
		c.Close()
	}
	p.settle(5)
}

// TestAttackDeadAddresses: what is being connected to addresses that are not there
// does not stop other connections, and ends.
func TestAttackDeadAddresses(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	// Neighbours with an address that nobody has: no answer, no error.
	for i := 10; i < 20; i++ {
		ip(t, "neigh", "add", fmt.Sprintf("198.51.100.%d", i), "lladdr", "02:00:00:00:00:01", "dev", "dummy0")
	}
	port := hostServer(t, func(c net.Conn) { io.Copy(c, c) })
	p := startProgram(t, "-host")
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	for i := range attackSize(1000, 20000) {
		go func() {
			if c, err := gonet.DialContextTCP(ctx, p.s, address(fmt.Sprintf("198.51.100.%d", 10+i%10), uint16(1000+i)), ipv4.ProtocolNumber); err == nil {
				c.Close()
			}
		}()
		p.paced()
	}
	began := time.Now()
	c, err := p.dial(usernet.Host, port)
	if err != nil {
		t.Fatalf("after %v: %v", time.Since(began), err)
	}
	defer c.Close()
	pingPong(t, c, 1000)
	t.Logf("another connection works after %v", time.Since(began))
	p.check(300)
	stop()
	c.Close()
	p.settle(5) // at the latest when the attempts time out
}

// TestAttackManyFlows: a UDP socket of the host for each port of the machine.
func TestAttackManyFlows(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	sink, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close()
	p := startProgram(t, "-host")
	to := address(usernet.Host, uint16(sink.LocalAddr().(*net.UDPAddr).Port))
	for range attackSize(3000, 30000) {
		c, err := gonet.DialUDP(p.s, nil, &to, ipv4.ProtocolNumber)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		c.Close()
		p.paced()
	}
	p.check(260)
}

// TestAttackUnread: the machine reads nothing of what servers have sent and finished,
// finishes its own side, and goes on to the next connection.
func TestAttackUnread(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	answer := make([]byte, 400<<10)
	port := hostServer(t, func(c net.Conn) { c.Write(answer) })
	p := startProgram(t, "-host")
	small := tcpip.TCPReceiveBufferSizeRangeOption{Min: 4096, Default: 4096, Max: 4096}
	if err := p.s.SetTransportProtocolOption(tcp.ProtocolNumber, &small); err != nil {
		t.Fatal(err)
	}
	for range attackSize(600, 3000) {
		c, err := p.dial(usernet.Host, port)
		if err != nil {
			continue // there is no room: it was refused
		}
		c.(*gonet.TCPConn).CloseWrite()
		defer c.Close()
	}
	p.check(400)
}

// TestAttackAllBuffers: all connections that there may be, to several destinations,
// each with more to move in both directions than the other side reads.
func TestAttackAllBuffers(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	port := serverAt(t, "0.0.0.0:0", func(c net.Conn) {
		c.Write(make([]byte, 1<<20)) // more than the machine reads
		<-t.Context().Done()
	})
	p := startProgram(t, "-host", "-forward", "8080:80")
	small := tcpip.TCPReceiveBufferSizeRangeOption{Min: 4096, Default: 4096, Max: 4096}
	if err := p.s.SetTransportProtocolOption(tcp.ProtocolNumber, &small); err != nil {
		t.Fatal(err)
	}
	open := 0
	for i := 2; i < 18; i++ {
		to := fmt.Sprintf("198.51.100.%d", i)
		ip(t, "addr", "add", to+"/32", "dev", "dummy0")
		for range 400 {
			c, err := p.dial(to, port)
			if err != nil {
				break // this destination has its share
			}
			defer c.Close()
			open++
			c.SetWriteDeadline(time.Now().Add(2 * time.Millisecond))
			c.Write(make([]byte, 256<<10))
		}
	}
	t.Logf("%d connections", open)
	if open < 700 {
		t.Errorf("only %d connections", open)
	}
	p.check(800)
}

// TestProgramIsLimited: should a bound inside the program fail, the host's holds.
func TestProgramIsLimited(t *testing.T) {
	p := startProgram(t, "-isolated", "-forward", fmt.Sprintf("%d:80", freePort(t, "tcp")))
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", p.pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "Max open files")
	var now syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &now); err != nil {
		t.Fatal(err)
	}
	want := strconv.FormatUint(min(now.Max, uint64(usernet.Descriptors(1))), 10)
	if f := strings.Fields(rest); f[0] != want || f[1] != want {
		t.Errorf("%s descriptors, at most %s; want %s", f[0], f[1], want)
	}
}
