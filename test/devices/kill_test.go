package devices

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/guest/devinit/ask"
	"github.com/mayfly-vm/mayfly/internal/machinetest"
)

var acked = regexp.MustCompile(`(?m)^acked (\d+)$`)

// TestKilledMonitorKeepsWhatWasFlushed kills "mayfly run" while its guest writes
// records and flushes them: each that was durable according to the device is in the
// image.
func TestKilledMonitorKeepsWhatWasFlushed(t *testing.T) {
	program, err := filepath.Abs(programBin)
	if err != nil {
		t.Fatal(err)
	}
	for i, keys := range []string{"engine=auto", "engine=uring,direct", "engine=threads"} {
		t.Run(strings.ReplaceAll(keys, ",", " "), func(t *testing.T) { // a comma would end the path below
			image := imageOf(t, 32*mib)
			cmd := exec.CommandContext(t.Context(), program, "run", smallKernel, "--initrd", smallInitrd, "--disk", "path="+image+","+keys,
				"--cmdline", cmdline(mayfly.BusMMIO))
			out := new(machinetest.Output)
			in, keyboard, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer in.Close()
			defer keyboard.Close()
			cmd.Stdin, cmd.Stdout, cmd.Stderr = in, out, out
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			ended := make(chan struct{})
			go func() {
				cmd.Wait()
				close(ended)
				cancel() // nobody says anything any more
			}()
			wait := func(text string) {
				t.Helper()
				if err := out.Wait(ctx, text); err != nil {
					cmd.Process.Kill()
					<-ended
					t.Fatalf("%q: %v\n%s", text, err, out.Tail())
				}
			}
			wait(ask.Ready + "\n")
			const seed = 50
			q := ask.Question{ID: 1, Verb: "records", Args: map[string]string{"path": "/dev/vda", "len": "33554432", "seed": strconv.Itoa(seed)}}
			io.WriteString(keyboard, q.String()+"\n")
			wait(fmt.Sprintf("acked %d\n", 40+60*i))
			cmd.Process.Kill()
			<-ended
			all := acked.FindAllStringSubmatch(out.String(), -1)
			n, _ := strconv.Atoi(all[len(all)-1][1])
			b, err := os.ReadFile(image)
			if err != nil {
				t.Fatal(err)
			}
			for r := range n {
				if ask.Mismatch(b[r*4096:][:4096], uint64(seed+r), 0) >= 0 {
					t.Fatalf("%d records were durable, said the disk; number %d is not in the image", n, r)
				}
			}
			t.Logf("%d records", n)
		})
	}
}
