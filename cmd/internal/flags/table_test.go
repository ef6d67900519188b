package flags

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/mayfly-vm/mayfly/cmd/internal/document"
	"github.com/mayfly-vm/mayfly/cmd/internal/option"
	"github.com/mayfly-vm/mayfly/internal/yamljson"
)

// parsed reads flags with the command's own table.
func parsed(args ...string) (*Run, error) {
	o := new(Run)
	_, err := o.Command().Parse(args)
	return o, err
}

// written is the machine as a file; read is what comes of such a file.
func (o *Run) written() string {
	text, err := option.YAML(o.Machine())
	if err != nil {
		panic(err)
	}
	return text
}

func read(t *testing.T, yaml string) *Run {
	t.Helper()
	b, err := yamljson.Convert([]byte(yaml))
	if err != nil {
		t.Fatalf("%v in:\n%s", err, yaml)
	}
	n, err := document.Parse(b)
	if err != nil {
		t.Fatalf("%v in:\n%s", err, yaml)
	}
	o := new(Run)
	if err := option.Apply(o.Flags(), n); err != nil {
		t.Fatalf("%v in:\n%s", err, yaml)
	}
	return o
}

// Each key of each device is set once here; what is written must hold it, and mean the same when it is read.
func TestEveryKeyGoesThereAndBack(t *testing.T) {
	values := map[string]string{ // of keys without a choice, by their names
		"path": "run.go", "backing": ".", "kind": "tap", "serial": "a,b", "queue-size": "64", "tap": "t0", "bridge": "br0", "socket": "run.go", "forward": "udp:[::1]:53:53", "allow": "10.0.0.0/8", "deny": "10.1.2.3",
		"mac": "52:54:00:12:34:56", "name": "n", "mtu": "9000", "mode": "0660", "cid": "9", "max-connections": "5", "queues": "2", "pty": "p", "file": "f", "limit": "1M",
		"uuid": "123e4567-e89b-12d3-a456-426614174000", "oem": "x=y", "manufacturer": "m", "product": "p", "version": "v", "sku": "s", "family": "f", "asset-tag": "a",
	}
	for _, f := range new(Run).Machine() {
		if f.Groups == nil {
			continue
		}
		for _, k := range f.Groups.Blank().Keys {
			value, known := values[k.Name]
			switch {
			case known:
			case k.Name == "fd", k.Name == "credential", k.Name == "credential-file":
				continue // needs an open one; are written as oem
			case k.Values != nil:
				value = k.Values[len(k.Values)-1]
			case k.Type == option.Boolean:
				value = "true"
				if k.Default == "true" {
					value = "false"
				}
			case strings.HasSuffix(k.Name, "bandwidth"):
				value = "10M/100ms"
			case strings.HasSuffix(k.Name, "bandwidth-burst"):
				value = "1G"
			case strings.HasSuffix(k.Name, "ops"):
				value = "1000/s"
			case strings.HasSuffix(k.Name, "ops-burst"):
				value = "7"
			default:
				t.Errorf("--%s %s: this test has no value for it", f.Name, k.Name)
				continue
			}
			line := k.Name + "=" + strings.ReplaceAll(value, ",", ",,")
			for _, more := range []string{"", ",path=run.go", ",stdio", ",file=f", ",kind=user", ",kind=tap", ",socket=run.go", ",bandwidth=1M/s", ",ops=1/s", ",rx-bandwidth=1M/s", ",rx-ops=1/s", ",tx-bandwidth=1M/s", ",tx-ops=1/s", ",path=run.go,bandwidth=1M/s", ",path=run.go,ops=1/s"} {
				o, err := parsed("--" + f.Name + "=" + line + more)
				if err != nil {
					continue // the next ones have what it lacks
				}
				text := o.written()
				if !strings.Contains(text, k.Name+":") {
					t.Errorf("--%s %s%s is not in:\n%s", f.Name, line, more, text)
				}
				if back := read(t, text).written(); back != text {
					t.Errorf("--%s %s%s: written\n%sand back\n%s", f.Name, line, more, text, back)
				}
				line = ""
				break
			}
			if line != "" {
				_, err := parsed("--" + f.Name + "=" + line)
				t.Errorf("--%s %s: no line with it is right: %v", f.Name, line, err)
			}
		}
	}
}

func FuzzDevices(f *testing.F) {
	f.Add("run.go,readonly,bandwidth=10M/100ms,serial=a,,b", "user,forward=8080:80", "v.sock,cid=9,mode=660", "ops=5/s")
	f.Add("path=run.go,queue-size=64,engine=threads,discard=false", "tap=t0,bridge=br0,mac=52:54:00:12:34:56,tx-ops=1K/s,tx-ops-burst=5", "vhost", "ring=packed")
	f.Fuzz(func(t *testing.T, disk, net, vsock, rng string) {
		if !utf8.ValidString(disk + net + vsock + rng) {
			return // no file can hold it
		}
		o, err := parsed("--disk", disk, "--net", net, "--vsock", vsock, "--rng="+rng)
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("more than a line: %q", err)
			}
			return
		}
		if text := o.written(); text != read(t, text).written() {
			t.Errorf("written\n%sand back\n%s", text, read(t, text).written())
		}
	})
}

// What the table costs a start that uses no device: the description of the flags, and reading a line.
func BenchmarkTable(b *testing.B) {
	line := []string{"vmlinux", "--initrd", "initrd.img", "--cpus", "2", "--memory", "1G", "--quiet"}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := new(Run).Command().Parse(line); err != nil {
			b.Fatal(err)
		}
	}
}
