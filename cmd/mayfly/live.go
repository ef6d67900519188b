package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/internal/terminal"
)

// startGrace is how long a start that shall end may take to do so by itself. One in the middle of a long call to the
// kernel, which makes gigabytes of memory present, doesn't hear of it.
const startGrace = time.Second

// live starts the machine and stays until its end.
func (o *runOptions) live() int {
	con := newConsole()
	reports := newReports(con.Say)
	o.cfg.Report = reports.report
	o.cfg.Console.In, o.cfg.Console.Out = con, os.Stdout
	o.ports(con)
	vm, err := mayfly.New(o.cfg)
	reports.flush(time.Second) // before anything else is said, or the terminal is touched
	if err != nil {
		return fail(o.cmdline.explain(err, o.cfg.Bus, o.terminalName()), "run")
	}
	defer vm.Close()

	signals := make(chan os.Signal, 8)
	listen := func() {
		signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGCONT)
		signal.Ignore(syscall.SIGPIPE) // words that nobody reads are no reason to die with the terminal raw
	}
	defer signal.Stop(signals)
	// Signals before the terminal: one that ends the program in between would leave it raw. Without a terminal one may end it while
	// there is no machine: Go hands each of them to another thread, which takes a tenth of such a start.
	tty := terminal.Is(os.Stdin)
	if tty {
		listen()
	}
	if err := con.open(); err != nil {
		return fail(err, "run")
	}
	defer con.Restore()
	con.sysrq = func() {
		if err := vm.Break(); err != nil {
			con.Say(programName + ": " + err.Error())
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	k := &killer{vm: vm, say: reports.message, resumed: con.term.Reapply, started: make(chan struct{}), over: make(chan struct{}), code: make(chan int, 1)}
	k.abort = func(code int) {
		cancel()
		time.AfterFunc(startGrace, func() {
			if !k.running() {
				con.Restore()
				say("the machine was killed while it started")
				os.Exit(code)
			}
		})
	}
	if o.quiet {
		k.say = func(string) {}
	}
	go k.listen(signals, con.left)
	if err := hide(); err != nil {
		con.Say(programName + ": warning: guest memory is not hidden from this user's other processes: " + err.Error())
	}
	err = vm.Start(ctx)
	close(k.started)
	if err != nil {
		close(k.over)
		killed := <-k.code
		reports.flush(time.Second)
		con.Restore()
		if ctx.Err() != nil {
			say("the machine was killed while it started")
			return killed
		}
		return fail(err, "run")
	}
	if len(vm.Plan().Devices) > 0 && (runtime.NumCPU() > 1 || o.cfg.CPUs > 1) {
		// Each processor in the guest holds one of Go's; with no other left, a device
		// that has work would wait for the scheduler's watchman, up to 10 ms.
		// No more than one: Go would wake threads to look for work that others have done.
		// And none where one processor is alone on one CPU: there the watchman takes at once what is held,
		// and with another at hand would look every 20 us for 10 ms behind each exit.
		runtime.GOMAXPROCS(max(runtime.GOMAXPROCS(0), max(o.cfg.CPUs, 1)+1))
	}
	if port := o.terminalPort(); port >= 0 && tty {
		sizes := followSize(vm, port)
		defer signal.Stop(sizes)
	}
	if tty {
		con.term.TakeKeys()
	} else {
		listen()
	}
	outcome, err := vm.Wait(context.Background())
	close(k.over)
	killed := <-k.code
	reports.flush(time.Second)
	con.Restore()
	code := o.writeTimeline(vm, o.tell(outcome, err, killed))
	vm.Close() // a disk may report only now that something was not written
	reports.flush(time.Second)
	return code
}

// tell writes how the machine ended and returns the exit code; killed is the killer's.
func (o *runOptions) tell(outcome mayfly.Outcome, err error, killed int) int {
	lost := outcome.Lost > 0 || outcome.LostCause != nil
	switch {
	case lost && outcome.Lost == 0:
		say(fmt.Sprintf("the guest's output may be incomplete: %v", outcome.LostCause))
	case lost:
		say(fmt.Sprintf("%d bytes of the guest's output were lost: %v", outcome.Lost, outcome.LostCause))
	}
	if err != nil {
		say(explain(err))
		return exitError
	}
	code, text := ending(outcome.Reason, killed)
	if lost && code == exitOK {
		code = exitError
	}
	if code == exitOK && o.quiet {
		return code
	}
	switch outcome.Restarts {
	case 0:
	case 1:
		text += " after a restart"
	default:
		text += fmt.Sprintf(" after %d restarts", outcome.Restarts)
	}
	if d := strings.TrimSpace(outcome.Detail); d != "" && outcome.Reason != mayfly.Killed {
		text += ": " + d
	}
	say(text)
	return code
}

// ending gives the exit code for a machine's end, and words for it.
func ending(r mayfly.Reason, killed int) (code int, text string) {
	switch r {
	case mayfly.PowerOff:
		return exitOK, "the guest powered off"
	case mayfly.Halted:
		return exitOK, "the guest halted"
	case mayfly.Rebooted:
		return exitOK, "the guest rebooted"
	case mayfly.Panicked:
		return exitPanic, "the guest's kernel panicked"
	case mayfly.TripleFault:
		return exitCrash, "the guest crashed"
	case mayfly.Hung:
		return exitCrash, "the guest hung"
	case mayfly.InternalError, mayfly.FailedEntry:
		return exitKVM, "KVM could not run the guest"
	case mayfly.ImageChanged:
		return exitImage, "a file that the guest was loaded from changed under it"
	case mayfly.Killed:
		return killed, "the machine was killed"
	}
	return exitError, "the machine ended: " + r.String()
}
