package timeline

import (
	"bytes"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Origin says what a timeline's time zero is.
type Origin string

// The two origins that [ProcessStart] can give.
const (
	// OriginProcess is the creation of the process (fork), so exec, dynamic set-up and the Go runtime are within the picture.
	OriginProcess Origin = "process start"
	// OriginMain is the program's first own instruction: the process did other things before, which can't be distinguished.
	OriginMain Origin = "first instruction of the program"
)

// tick is the unit of the start time in /proc/self/stat: USER_HZ is 100 on all of Linux's x86.
const tick = 10 * time.Millisecond

// ProcessStart returns when this process began. Call it early in main, on the main thread, and only when it is wanted (it costs
// two reads in /proc, some 50 µs).
//
// The kernel reports its start time in ticks of 10 ms only (proc(5), stat field 22): longer than a whole start of ours. So
// the main thread's age is taken from its own account in nanoseconds: the CPU time that it used (CLOCK_THREAD_CPUTIME_ID) plus the
// time that it waited for a CPU (/proc/self/schedstat, second field). Before main a thread does little else; what it slept
// (measured: below 0.1 ms) is not counted, so the start lies rather too late than too early.
//
// That account goes on over an exec. A process that lived as something else (a shell that ends with "exec mayfly") slept then,
// so account and tick disagree: in that case the origin is [OriginMain], not a number that would be wrong.
func ProcessStart() (time.Time, Origin) {
	if unix.Gettid() == os.Getpid() {
		for range attempts {
			now := time.Now()
			age, ok := readAge()
			if time.Since(now) > atOnce {
				continue // waited for a CPU in between: the account has that, now has not
			}
			if ok {
				return now.Add(-age), OriginProcess
			}
			break
		}
	}
	return time.Now(), OriginMain
}

// What the account and the clock say belongs together only if they are read at once: within atOnce, which is what the start's time
// may be wrong by. On a busy host that can take some attempts.
const (
	atOnce   = 500 * time.Microsecond
	attempts = 10
)

// readAge is how old this thread, the main one, is by its account.
func readAge() (age time.Duration, ok bool) {
	var cpu, boot unix.Timespec
	if unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &cpu) != nil || unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot) != nil {
		return 0, false
	}
	stat, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return 0, false
	}
	sched, _ := os.ReadFile("/proc/self/schedstat") // absent without CONFIG_SCHED_INFO: no waiting known
	return ageOf(stat, sched, time.Duration(cpu.Nano()), time.Duration(boot.Nano()))
}

// ageOf holds the arithmetic of [ProcessStart]: now is CLOCK_BOOTTIME. It reports false when the account doesn't fit
// the tick within a tick's length.
func ageOf(stat, sched []byte, cpu, now time.Duration) (time.Duration, bool) {
	// The second field is the program's name in parentheses and may itself hold blanks and parentheses.
	i := bytes.LastIndexByte(stat, ')')
	fields := bytes.Fields(stat[i+1:]) // from field 3 on
	if i < 0 || len(fields) < 20 {
		return 0, false
	}
	ticks, err := strconv.ParseUint(string(fields[22-3]), 10, 50)
	if err != nil {
		return 0, false
	}
	age := cpu
	if f := bytes.Fields(sched); len(f) >= 2 {
		if wait, err := strconv.ParseInt(string(f[1]), 10, 64); err == nil && wait > 0 {
			age += time.Duration(wait)
		}
	}
	earliest := time.Duration(ticks) * tick
	start := now - age
	const slack = time.Millisecond // what may be slept before main
	if start < earliest-slack || start >= earliest+tick+slack {
		return 0, false
	}
	return age, true
}
