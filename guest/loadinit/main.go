// Command loadinit is the first process of Linux guests whose devices are
// measured. The words after "--" on the kernel's command line are its orders,
// done one after the other; each is announced by a line and answered by another,
// as guest/bench does it:
//
//	blk=read|write,rand|seq,SIZE,DEPTH,MS	on /dev/vda, past the guest's page cache
//	tcp=tx|rx|ping,IP:PORT,SIZE,MS		through eth0
//	icmp=IP,SIZE,MS
//	vsock=tx|rx|ping,PORT,SIZE,MS		to the host
//	busy=MS					nothing but counting
//
// Then it powers off.
package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// tally is what an order came to.
type tally struct {
	ops, bytes int64
	took       time.Duration
}

func main() {
	for _, m := range [][2]string{{"/proc", "proc"}, {"/sys", "sysfs"}, {"/dev", "devtmpfs"}} {
		os.Mkdir(m[0], 0o755)
		unix.Mount(m[1], m[0], m[1], 0, "")
	}
	fmt.Println("init")
	for i, a := range os.Args[1:] {
		kind, rest, _ := strings.Cut(a, "=")
		do := map[string]func([]string) (tally, error){"blk": disk, "tcp": tcp, "icmp": ping, "vsock": vsock, "busy": busy}[kind]
		if do == nil {
			continue // an argument of the kernel's command line
		}
		fmt.Printf("begin=%d\n", i)
		t, err := do(strings.Split(rest, ","))
		if err != nil {
			fmt.Printf("error=%q\n", err.Error())
			continue
		}
		fmt.Printf("result=%s ops=%d bytes=%d ns=%d\n", kind, t.ops, t.bytes, t.took.Nanoseconds())
	}
	fmt.Println("done=1")
	unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}

// busy leaves the processor to nobody: what exits there are then are the clock's.
func busy(words []string) (t tally, err error) {
	n, err := numbers(words, 1)
	if err != nil {
		return t, fmt.Errorf("busy: %w", err)
	}
	begin := time.Now()
	for t.took = 0; t.took < time.Duration(n[0])*time.Millisecond; t.took = time.Since(begin) {
		t.ops++
	}
	return t, nil
}

// numbers reads the last words of an order.
func numbers(words []string, n int) ([]int, error) {
	if len(words) < n {
		return nil, fmt.Errorf("%q has too few words", words)
	}
	v := make([]int, n)
	for i, w := range words[len(words)-n:] {
		var err error
		if v[i], err = strconv.Atoi(w); err != nil {
			return nil, err
		}
	}
	return v, nil
}
