package timeline_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/timeline"
)

// example is a realistic start: milliseconds of set-up, seconds of guest, a copying thread across both.
func example(cpus int) timeline.Snapshot {
	start := time.Date(2026, 11, 23, 10, 11, 12, 345678901, time.UTC)
	r := timeline.New(start)
	r.SetTitle("mayfly run vmlinuz-6.1.0-40-cloud-amd64", "2 CPUs, 256 MiB, PVH, copied into huge pages")
	r.SetOrigin(timeline.OriginProcess)
	us := func(n int) time.Time { return start.Add(time.Duration(n) * time.Microsecond) }
	for _, m := range []struct {
		name string
		at   int
	}{
		{"exec and Go runtime", 1080}, {"arguments", 1130}, {"kernel opened", 1420}, {"/dev/kvm opened", 1450}, {"VM made", 1900}, {"memory slots set", 2050},
		{"kernel in memory", 4020}, {"initrd mapped", 4110}, {"tables written", 4190}, {"interrupt chips", 4380}, {"vCPUs made", 4900},
		{timeline.GuestEntered, 5210}, {timeline.FirstOutput, 410000}, {"early boot <done> & \"so\" on\x1b[31m", 730000}, {timeline.Init, 1510000}, {"end: powered off", 1802000},
	} {
		r.MarkAt(m.name, us(m.at))
	}
	r.Span("kernel text copied by a second thread", us(2100), us(21000))
	for i := range cpus {
		r.SetExits(i, []timeline.Exit{{"serial port", uint64(220 / (i + 1))}, {"io-apic", uint64(60 / (i + 1))}, {"hlt", uint64(90 + 31*i)}, {"interrupt", uint64(664 - 100*i%600)}, {"power", 2}})
	}
	return r.Snapshot()
}

func TestPicturesAreWellFormedAndSelfContained(t *testing.T) {
	for _, s := range []timeline.Snapshot{example(1), example(4), example(255), {}} {
		var svg, html bytes.Buffer
		if err := s.WriteSVG(&svg); err != nil {
			t.Fatal(err)
		}
		if err := s.WriteHTML(&html); err != nil {
			t.Fatal(err)
		}
		d := xml.NewDecoder(bytes.NewReader(svg.Bytes()))
		for {
			if _, err := d.Token(); err == io.EOF {
				break
			} else if err != nil {
				t.Fatalf("the SVG is no XML: %v", err)
			}
		}
		for _, out := range []string{svg.String(), html.String()} {
			rest := strings.ReplaceAll(out, "http://www.w3.org/2000/svg", "")
			for _, bad := range []string{"http:", "https:", "url(", "<script", "@import", "NaN", "Inf", "\x1b", "<done>"} {
				if strings.Contains(rest, bad) {
					t.Errorf("the picture holds %q", bad)
				}
			}
		}
	}
}

func TestWriteFile(t *testing.T) {
	s := example(2)
	dir := t.TempDir()
	for name, want := range map[string]string{"a.json": "{", "a.svg": "<svg", "a.html": "<!doctype html>"} {
		file := filepath.Join(dir, name)
		if err := s.WriteFile(file); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(file)
		if err != nil || !strings.HasPrefix(string(b), want) {
			t.Errorf("%s begins %.20q, %v", name, b, err)
		}
	}
	fifo, full := filepath.Join(dir, "fifo.json"), filepath.Join(dir, "full.json")
	if err := errors.Join(unix.Mkfifo(fifo, 0o600), os.Symlink("/dev/full", full)); err != nil {
		t.Fatal(err)
	}
	if err := s.WriteFile(fifo); err == nil || !strings.Contains(err.Error(), "a FIFO that nobody reads") {
		t.Errorf("FIFO: %v", err)
	}
	if err := s.WriteFile(full); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("full disk: %v", err)
	}
	if err := s.WriteFile(filepath.Join(dir, "a.png")); err == nil {
		t.Error("a.png: want an error")
	}
	b, _ := os.ReadFile(filepath.Join(dir, "a.json"))
	var back timeline.Snapshot
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(s, back); diff != "" {
		t.Errorf("what is read is not what was written:\n%s", diff)
	}
}

// With MAYFLY_PICTURES=DIR the example is written there, to be viewed.
func TestKeepPictures(t *testing.T) {
	dir := os.Getenv("MAYFLY_PICTURES")
	if dir == "" {
		t.Skip("MAYFLY_PICTURES names no folder")
	}
	for name, s := range map[string]timeline.Snapshot{"one": example(1), "four": example(4), "empty": {}} {
		for _, ext := range []string{".svg", ".html", ".json"} {
			if err := s.WriteFile(filepath.Join(dir, name+ext)); err != nil {
				t.Fatal(err)
			}
		}
	}
}
