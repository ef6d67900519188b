package report

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReportSurvivesAConsole(t *testing.T) {
	want := &Report{
		Cmdline: "console=ttyS0", MemTotal: 1 << 40, Dmesg: strings.Repeat("[    0.000000] line\n", 1000),
		CPUs:     []CPU{{ID: 1, Ran: true, Siblings: "0-1"}},
		Firmware: []FirmwareRange{{Range{1 << 20, 1<<63 - 1}, "System RAM"}},
	}
	var b bytes.Buffer
	b.WriteString("init\n")
	for _, cmdline := range []string{"of the first start", want.Cmdline} {
		r := *want
		r.Cmdline = cmdline
		if err := Write(&b, &r); err != nil {
			t.Fatal(err)
		}
	}
	b.WriteString("reboot: Power down\n")
	console := bytes.ReplaceAll(b.Bytes(), []byte("\n"), []byte("\r\n"))
	got, err := Parse(console)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}

	if _, err := Parse(nil); !errors.Is(err, ErrNone) {
		t.Errorf("empty console: %v", err)
	}
	i := bytes.LastIndex(console, []byte(beginLine)) + len(beginLine) + 10
	lost := append(bytes.Clone(console[:i]), console[i+1:]...)
	if _, err := Parse(lost); err == nil || !strings.Contains(err.Error(), "CRC") {
		t.Errorf("a lost byte: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	var b bytes.Buffer
	Write(&b, &Report{Cmdline: "x"})
	f.Add(b.Bytes())
	f.Fuzz(func(_ *testing.T, p []byte) { Parse(p) })
}
