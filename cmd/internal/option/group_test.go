package option

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mayfly-vm/mayfly/cmd/internal/document"
	"github.com/mayfly-vm/mayfly/internal/yamljson"
)

// toy is a machine with a device of each sort: many with a path, many with a kind, one, and one that needs no keys.
type toy struct {
	Name  string
	CPUs  int
	Quiet bool
	Disk  []toyDisk
	Net   []toyNet
	Sock  *toySock
	RNG   *toyRNG
}

type toyDisk struct {
	Path     string
	ReadOnly bool
	Cache    string
	Queues   int
	Timeout  time.Duration
}

type toyNet struct {
	Kind, Tap string
	Forward   []string
}

type toySock struct {
	Path string
	CID  uint64
}

type toyRNG struct{ Source string }

func (m *toy) flags() []Flag {
	return []Flag{
		{Name: "name", Arg: "TEXT", Help: "a name", Value: Text(&m.Name)},
		{Name: "cpus", Arg: "N", Default: "1", Help: "processors", Value: Number(&m.CPUs, 1, 8)},
		{Name: "quiet", Help: "no message", Value: ForLine(Bool(&m.Quiet))},
		{Name: "disk", Arg: "PATH,KEY=VALUE,…", Many: true, Help: "a disk", Groups: ManyOf(&m.Disk, (*toyDisk).keys)},
		{Name: "net", Arg: "KIND,KEY=VALUE,…", Many: true, Help: "a network card", Groups: ManyOf(&m.Net, (*toyNet).keys)},
		{Name: "sock", Arg: "PATH,KEY=VALUE,…", Help: "a socket", Groups: OneOf(&m.Sock, (*toySock).keys)},
		{Name: "rng", Arg: "KEY=VALUE,…", Optional: true, Help: "entropy", Groups: OneOf(&m.RNG, (*toyRNG).keys)},
	}
}

func (d *toyDisk) keys() *Group {
	return &Group{Main: "path", Keys: []Flag{
		{Name: "path", Arg: "FILE", Required: true, Help: "the image", Value: Path(&d.Path)},
		{Name: "readonly", Help: "no writes", Value: Bool(&d.ReadOnly)},
		{Name: "cache", Default: "writeback", Help: "what a flush does", Value: Choice(&d.Cache, "writeback", "unsafe")},
		{Name: "queues", Arg: "N", Default: "1", Help: "queues", Value: Number(&d.Queues, 1, 64)},
		{Name: "timeout", Arg: "TIME", Help: "how long", Value: duration(&d.Timeout, time.Millisecond, time.Hour)},
	}}
}

func (n *toyNet) keys() *Group {
	return &Group{
		Main: "kind",
		Keys: []Flag{
			{Name: "kind", Help: "what it is connected to", Value: Choice(&n.Kind, "none", "user", "tap")},
			{Name: "tap", Arg: "NAME", Help: "a tap", Value: Text(&n.Tap)},
			{Name: "forward", Arg: "PORT:PORT", Many: true, Help: "a port", Value: Texts(&n.Forward)},
		},
		Check: func() error {
			if n.Tap != "" && n.Kind == "user" {
				return errors.New("tap: a user network has none")
			}
			return nil
		},
	}
}

func (s *toySock) keys() *Group {
	return &Group{Main: "path", Keys: []Flag{
		{Name: "path", Arg: "FILE", Required: true, Help: "the socket", Value: Path(&s.Path)},
		{Name: "cid", Arg: "N", Help: "the address", Value: Number(&s.CID, 3, 1<<32-2)},
	}}
}

func (r *toyRNG) keys() *Group {
	return &Group{Keys: []Flag{{Name: "source", Arg: "FILE", Help: "where from", Value: Path(&r.Source)}}}
}

func TestKeys(t *testing.T) {
	for _, c := range []struct {
		args []string
		want toy
	}{
		{[]string{"--disk", "a.img"}, toy{Disk: []toyDisk{{Path: "a.img"}}}},
		{[]string{"--disk=a.img,readonly,queues=4,cache=unsafe", "--disk", "b"}, toy{Disk: []toyDisk{{"a.img", true, "unsafe", 4, 0}, {Path: "b"}}}},
		{[]string{"--disk", "readonly=false,path=a=b,,c,timeout=2m"}, toy{Disk: []toyDisk{{Path: "a=b,c", Timeout: 2 * time.Minute}}}},
		{[]string{"--disk", "readonly,path=a"}, toy{Disk: []toyDisk{{Path: "a", ReadOnly: true}}}},
		{[]string{"--disk", "queues"}, toy{Disk: []toyDisk{{Path: "queues"}}}}, // only a boolean key stands alone
		{[]string{"--net", "user,forward=8080:80,forward=22:22"}, toy{Net: []toyNet{{Kind: "user", Forward: []string{"8080:80", "22:22"}}}}},
		{[]string{"--net", "tap=t0", "--net", "tap"}, toy{Net: []toyNet{{Tap: "t0"}, {Kind: "tap"}}}},
		{[]string{"--sock", "s", "--sock", "cid=5"}, toy{Sock: &toySock{"s", 5}}},
		{[]string{"--rng", "--cpus", "2"}, toy{RNG: &toyRNG{}, CPUs: 2}},
		{[]string{"--rng=source=/dev/hwrng"}, toy{RNG: &toyRNG{"/dev/hwrng"}}},
	} {
		var m toy
		_, err := (&Command{Name: "run", Flags: m.flags()}).Parse(c.args)
		if err != nil {
			t.Errorf("%q: %v", c.args, err)
		}
		if diff := cmp.Diff(c.want, m); diff != "" {
			t.Errorf("%q: %s", c.args, diff)
		}
	}
}

func TestKeysNameWhatIsWrong(t *testing.T) {
	for args, want := range map[string]string{
		"--disk a,readonli":          `run: --disk "a,readonli": there is no key "readonli"; did you mean readonly?`,
		"--disk a,cach=unsafe":       `run: --disk "a,cach=unsafe": there is no key "cach"; did you mean cache?`,
		"--disk a,zzz":               `run: --disk "a,zzz": there is no key "zzz"; it is one of path, readonly, cache, queues and timeout`,
		"--disk a,cache=unsave":      `run: --disk "a,cache=unsave": cache "unsave": did you mean unsafe? It is one of writeback and unsafe`,
		"--disk a,queues=0":          `run: --disk "a,queues=0": queues "0": out of range; it is a number from 1 to 64`,
		"--disk a,queues":            `run: --disk "a,queues": queues wants a value: queues=N`,
		"--disk a,cache":             `run: --disk "a,cache": cache wants a value: cache=writeback|unsafe`,
		"--disk a,queues=":           `run: --disk "a,queues=": queues "": not a whole number; it is one from 1 to 64`,
		"--disk a,queues=1,queues=2": `run: --disk "a,queues=1,queues=2": queues is given twice`,
		"--disk a,readonly=maybe":    `run: --disk "a,readonly=maybe": readonly "maybe": it is true or false; alone it means true`,
		"--disk a,":                  `run: --disk "a,": nothing between two commas, or after the last; two commas together stand for one in a value`,
		"--disk queues,path=b":       `run: --disk "queues,path=b": path is given twice`,
		"--disk readonly":            `run: --disk "readonly": path is missing: begin with it, or write path=FILE`,
		"--disk dir/a=b.img":         `run: --disk "dir/a=b.img": there is no key "dir/a"; a value with = in it is written path=dir/a=b.img`,
		"--disk path=":               `run: --disk "path=": path "": empty; name a file`,
		"--disk a,timeout=5":         `run: --disk "a,timeout=5": timeout "5": not a time; write one such as 250ms, 30s or 2m`,
		"--disk a,timeout=2h":        `run: --disk "a,timeout=2h": timeout "2h": out of range; it is a time from 1ms to 1h`,
		"--net usr":                  `run: --net "usr": kind "usr": did you mean user? It is one of none, user and tap`,
		"--net user,tap=t0":          `run: --net "user,tap=t0": tap: a user network has none`,
		"--sock cid=5":               `run: --sock "cid=5": path is missing: begin with it, or write path=FILE`,
		"--sock s,cid=2":             `run: --sock "s,cid=2": cid "2": out of range; it is a number from 3 to 4294967294`,
		"--sock s,cid=-1":            `run: --sock "s,cid=-1": cid "-1": out of range; it is a number from 3 to 4294967294`,
		"--rng=/dev/random":          `run: --rng "/dev/random": there is no key "/dev/random"; it is one of source`,
	} {
		var m toy
		_, err := (&Command{Name: "run", Flags: m.flags()}).Parse(strings.Fields(args))
		if err == nil || err.Error() != want {
			t.Errorf("%q:\n got %v\nwant %s", args, err, want)
		}
	}
	var m toy
	if _, err := (&Command{Name: "run", Flags: m.flags()}).Parse([]string{"--disk", ""}); err == nil || !strings.Contains(err.Error(), "path is missing") {
		t.Errorf("an empty value: %v", err)
	}
}

func TestRates(t *testing.T) {
	for s, want := range map[string]struct {
		n   uint64
		per time.Duration
	}{
		"100M/s": {100 << 20, time.Second}, "1KiB/100ms": {1024, 100 * time.Millisecond}, "5G/1m": {5 << 30, time.Minute}, "1K/500us": {1024, 500 * time.Microsecond}, "1K/1.5s": {1024, 1500 * time.Millisecond},
	} {
		n, per, err := ByteRate(s)
		if err != nil || n != want.n || per != want.per {
			t.Errorf("ByteRate(%q) = %d, %v, %v", s, n, per, err)
		}
		if n2, per2, err := ByteRate(ByteRateText(n, per)); n2 != n || per2 != per || err != nil {
			t.Errorf("%q is written %q", s, ByteRateText(n, per))
		}
		if !regexp.MustCompile(ByteRatePattern).MatchString(ByteRateText(n, per)) || !regexp.MustCompile(ByteRatePattern).MatchString(s) {
			t.Errorf("the schema's pattern doesn't know %s or %s", s, ByteRateText(n, per))
		}
	}
	for s, want := range map[string]struct {
		n   uint64
		per time.Duration
	}{
		"1000/s": {1000, time.Second}, "20K/s": {20000, time.Second}, "5/10ms": {5, 10 * time.Millisecond},
	} {
		n, per, err := OpRate(s)
		if err != nil || n != want.n || per != want.per {
			t.Errorf("OpRate(%q) = %d, %v, %v", s, n, per, err)
		}
		if n2, per2, err := OpRate(OpRateText(n, per)); n2 != n || per2 != per || err != nil {
			t.Errorf("%q is written %q", s, OpRateText(n, per))
		}
		if !regexp.MustCompile(OpRatePattern).MatchString(OpRateText(n, per)) || !regexp.MustCompile(OpRatePattern).MatchString(s) {
			t.Errorf("the schema's pattern doesn't know %s or %s", s, OpRateText(n, per))
		}
	}
	for s, want := range map[string]string{
		"100M": "no time after a slash", "100/s": "no unit after 100", "M/s": "not an amount", "0M/s": "nothing would pass", "1M/": "not one up to 24h", "1M/0s": "not one up to 24h",
		"1M/x": "not one up to 24h", "1M/48h": "not one up to 24h", "-1M/s": "not an amount", "": "no time", "/s": "not an amount", "1M/s/s": "not one up to 24h",
	} {
		if n, per, err := ByteRate(s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ByteRate(%q) = %d, %v, %v, want %s", s, n, per, err, want)
		}
	}
	for s, want := range map[string]string{
		"1000": "no time", "x/s": "not a number of operations", "0/s": "nothing would pass", "1KK/s": "not a number", "99999999999999999999/s": "not a number", "-1/s": "not a number", "1T/s": "not a number",
	} {
		if n, per, err := OpRate(s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("OpRate(%q) = %d, %v, %v, want %s", s, n, per, err, want)
		}
	}
}

// apply reads a file's text as JSON.
func apply(m *toy, text string) error {
	n, err := document.Parse([]byte(text))
	if err != nil {
		return err
	}
	return Apply(m.flags(), n)
}

func TestApply(t *testing.T) {
	for text, want := range map[string]toy{
		`{"$schema": "x", "name": "n", "cpus": 3}`:                          {Name: "n", CPUs: 3},
		`{"disk": "a,readonly"}`:                                            {Disk: []toyDisk{{Path: "a", ReadOnly: true}}},
		`{"disk": {"path": "a,b", "readonly": false, "queues": 2}}`:         {Disk: []toyDisk{{Path: "a,b", Queues: 2}}},
		`{"disk": ["a", {"path": "b", "cache": "unsafe"}]}`:                 {Disk: []toyDisk{{Path: "a"}, {Path: "b", Cache: "unsafe"}}},
		`{"net": {"kind": "user", "forward": ["1:2", "3:4"]}, "rng": true}`: {Net: []toyNet{{Kind: "user", Forward: []string{"1:2", "3:4"}}}, RNG: &toyRNG{}},
		`{"net": {"forward": "1:2"}, "rng": false, "disk": []}`:             {Net: []toyNet{{Forward: []string{"1:2"}}}},
		`{"rng": {}, "sock": {"path": "s", "cid": 3}}`:                      {RNG: &toyRNG{}, Sock: &toySock{"s", 3}},
	} {
		var m toy
		if err := apply(&m, text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if diff := cmp.Diff(want, m); diff != "" {
			t.Errorf("%s: %s", text, diff)
		}
	}
}

func TestApplyNamesWhatIsWrong(t *testing.T) {
	for text, want := range map[string]string{
		`[]`:                     `:1: found a list: a machine is an object, such as {"kernel": "vmlinux"}`,
		"{\n\"cpu\": 3}":         `:2: there is no key "cpu"; did you mean cpus?`,
		`{"disks": []}`:          `:1: there is no key "disks"; did you mean disk?`,
		`{"zzz": 1}`:             `:1: there is no key "zzz"; it is one of name, cpus, disk, net, sock and rng`,
		`{"quiet": true}`:        `:1: "quiet" is for the command line alone: --quiet`,
		`{"cpus": "3"}`:          `:1: cpus: found "3": write a number, without quotes`,
		`{"cpus": 9}`:            `:1: cpus "9": out of range; it is a number from 1 to 8`,
		`{"cpus": 1.5}`:          `:1: cpus "1.5": not a whole number; it is one from 1 to 8`,
		`{"cpus": [1]}`:          `:1: cpus: found a list: there can be only one`,
		`{"cpus": null}`:         `:1: cpus: has no value: write one, or leave it out`,
		`{"cpus": {}}`:           `:1: cpus: found an object where a single value belongs`,
		`{"name": 5}`:            `:1: name: found 5: write "5", with quotes`,
		`{"disk": 5}`:            `:1: disk: found a number where keys belong`,
		`{"disk": true}`:         `:1: disk: found true: write its keys`,
		`{"disk": {}}`:           `:1: disk: path is missing: begin with it, or write path=FILE`,
		`{"disk": ["a", "b,x"]}`: `:1: disk[1] "b,x": there is no key "x"; it is one of path, readonly, cache, queues and timeout`,
		"{\"disk\": [\n\"a\",\n{\"path\": \"b\",\n\"read\": true}]}": `:4: disk[1]: there is no key "read"; did you mean readonly?`,
		`{"disk": {"path": "b", "readonly": "true"}}`:                `:1: disk.readonly: found "true": write true or false, without quotes`,
		`{"disk": {"path": "b", "cache": "unsave"}}`:                 `:1: disk.cache "unsave": did you mean unsafe? It is one of writeback and unsafe`,
		`{"net": {"kind": "user", "tap": "t"}}`:                      `:1: net: tap: a user network has none`,
		`{"net": {"forward": [["1:2"]]}}`:                            `:1: net.forward[0]: found a list where a single value belongs`,
	} {
		var m toy
		if err := apply(&m, text); err == nil || err.Error() != want {
			t.Errorf("%s:\n got %v\nwant %s", text, err, want)
		}
	}
}

// What is written as YAML and read again is the same machine.
func roundTrip(t *testing.T, m toy) {
	t.Helper()
	if m.CPUs == 0 {
		m.CPUs = 1 // defaults are written out
	}
	m.Quiet = false
	text, err := YAML(m.flags())
	if err != nil {
		t.Fatal(err)
	}
	js, err := yamljson.Convert([]byte(text))
	if err != nil {
		t.Fatalf("%v in:\n%s", err, text)
	}
	var back toy
	if err := apply(&back, string(js)); err != nil {
		t.Fatalf("%v in:\n%s", err, text)
	}
	if diff := cmp.Diff(m, back); diff != "" {
		t.Fatalf("%s\nin:\n%s", diff, text)
	}
}

func TestYAMLRoundTrip(t *testing.T) {
	roundTrip(t, toy{})
	roundTrip(t, toy{Name: "yes", RNG: &toyRNG{}})
	for _, s := range []string{"a b", "no", "123", "1e5", "a: b", "- a", "#", "a #b", "'", `"`, "\\", "ä", "\n", "\x00", "\u2028", "{", "[", "*a", "&a", "!a", "%", "~", "null", "a,b", "\x1b[0m", "=", "<<", "0x1", ".inf", "a:", "\t"} {
		roundTrip(t, toy{
			Name: s, CPUs: 2, Disk: []toyDisk{{Path: s, ReadOnly: true}, {Path: "b", Timeout: time.Second}},
			Net: []toyNet{{}, {Kind: "user", Forward: []string{s, "2:3"}}}, Sock: &toySock{Path: s, CID: 7}, RNG: &toyRNG{Source: s},
		})
	}
}

func TestHelpTellsEachKey(t *testing.T) {
	help := (&Command{Name: "run", Brief: "run", Flags: (&toy{}).flags()}).Help("toy")
	for _, want := range []string{
		"--rng[=KEY=VALUE,…]", "Keys of --disk PATH,KEY=VALUE,…:", "path=FILE", "cache=writeback|unsafe", "what a flush does (default writeback)", "  readonly ", "forward=PORT:PORT",
	} {
		if !strings.Contains(help, want) {
			t.Errorf("no %q in:\n%s", want, help)
		}
	}
}

func FuzzKeys(f *testing.F) {
	f.Add("a.img,readonly,cache=unsafe", "user,forward=8080:80")
	f.Add("path=a,,b,timeout=2m", "tap=t0")
	f.Fuzz(func(t *testing.T, disk, net string) {
		var m toy
		if _, err := (&Command{Name: "run", Flags: m.flags()}).Parse([]string{"--disk", disk, "--net=" + net}); err != nil {
			if strings.ContainsAny(err.Error(), "\n") {
				t.Errorf("more than a line: %q", err)
			}
			return
		}
		if strings.ToValidUTF8(disk+net, "?") != disk+net {
			return // what isn't UTF-8 no file can hold
		}
		roundTrip(t, m)
	})
}

func FuzzApply(f *testing.F) {
	f.Add(`{"disk": ["a", {"path": "b", "cache": "unsafe"}], "rng": true}`)
	f.Fuzz(func(t *testing.T, text string) {
		var m toy
		err := apply(&m, text)
		if err != nil && !errors.As(err, new(*document.Error)) {
			t.Errorf("%q: %v", text, err)
		}
		if err == nil {
			roundTrip(t, m)
		}
	})
}

// duration is a time from least to most; zero is what is there by default.
func duration(p *time.Duration, least, most time.Duration) Value {
	return Value{
		Pattern: TimePattern,
		Set: func(s string) error {
			d, err := time.ParseDuration(s)
			if err != nil {
				return errors.New("not a time; write one such as 250ms, 30s or 2m")
			}
			if d < least || d > most {
				return fmt.Errorf("out of range; it is a time from %s to %s", DurationText(least), DurationText(most))
			}
			*p = d
			return nil
		},
		Get: func() []string { return given(DurationText(*p), *p != 0) },
	}
}
