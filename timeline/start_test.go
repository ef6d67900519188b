package timeline

import (
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"testing"
	"time"
)

func init() {
	// The test binary is its own child here, in the state in which a program's main finds itself: main thread, nothing slept.
	if v := os.Getenv("TIMELINE_TEST_PARENT"); v != "" {
		start, origin := ProcessStart()
		sent, _ := strconv.ParseInt(v, 10, 64)
		os.Stdout.WriteString(string(origin) + "\n" + start.Sub(time.Unix(0, sent)).String())
		os.Exit(0)
	}
}

// The start must lie after the moment at which the parent asked for the process and within what a start can take.
func TestProcessStart(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const near = 20 * time.Millisecond
	best := time.Hour
	// On a busy host a child may sleep, or its account may not be had at once: then others follow, but not for ever.
	for i, begun := 0, time.Now(); i < 10 || best > near && time.Since(begun) < time.Minute; i++ {
		cmd := exec.Command(exe)
		sent := time.Now()
		cmd.Env = append(os.Environ(), "TIMELINE_TEST_PARENT="+strconv.FormatInt(sent.UnixNano(), 10),
			"GORACE=atexit_sleep_ms=0") // else a second each
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		if len(out) > len(OriginProcess) && Origin(out[:len(OriginProcess)]) == OriginProcess {
			d, err := time.ParseDuration(string(out[len(OriginProcess)+1:]))
			if err != nil {
				t.Fatalf("%q: %v", out, err)
			}
			t.Logf("%v after the parent's call", d)
			best = min(best, d)
			if d < -time.Millisecond {
				t.Errorf("the process began %v before its parent asked for it", -d)
			}
		}
	}
	if best > near {
		t.Errorf("start found %v after the parent's call at best", best)
	}
}

func TestAgeOf(t *testing.T) {
	const stat = "77 (a ) b) R 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 1000 20 21\n" // field 22 = 1000 ticks = 10 s
	for _, c := range []struct {
		name, stat, sched string
		cpu, now          time.Duration
		want              time.Duration
		ok                bool
	}{
		{"fits", stat, "900 200000 4\n", time.Millisecond, 10*time.Second + 5*time.Millisecond, 1200 * time.Microsecond, true},
		{"no schedstat", stat, "", time.Millisecond, 10*time.Second + 5*time.Millisecond, time.Millisecond, true},
		{"slept as a shell before exec", stat, "", time.Millisecond, 12 * time.Second, 0, false},
		{"older than its tick", stat, "", 9 * time.Millisecond, 10 * time.Second, 0, false},
		{"cut off", stat[:20], "", 0, 10 * time.Second, 0, false},
		{"no name", "1 2 3", "", 0, 0, 0, false},
		{"empty", "", "", 0, 0, 0, false},
		{"not a number", "77 (a) R 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 x 20 21", "", 0, 10 * time.Second, 0, false},
	} {
		got, ok := ageOf([]byte(c.stat), []byte(c.sched), c.cpu, c.now)
		if got != c.want || ok != c.ok {
			t.Errorf("%s: %v, %v, want %v, %v", c.name, got, ok, c.want, c.ok)
		}
	}
}
