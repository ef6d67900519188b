package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/cmd/internal/exit"
	"github.com/mayfly-vm/mayfly/cmd/internal/flags"
	"github.com/mayfly-vm/mayfly/cmd/internal/process"
	"github.com/mayfly-vm/mayfly/cmd/internal/report"
	"github.com/mayfly-vm/mayfly/cmd/internal/signals"
	"github.com/mayfly-vm/mayfly/internal/terminal"
)

// startGrace is how long a cancelled start may take to end by itself. One in the middle of a long system call, which makes
// gigabytes of memory present, doesn't see that it is cancelled.
const startGrace = time.Second

// live starts the machine and stays until its end.
func (r *running) live() int {
	con := terminal.NewConsole()
	messages := report.NewQueue(con.Message)
	r.Config.Logger = slog.New(messages)
	r.Connect(con, os.Stdout)
	vm, err := mayfly.New(r.Config)
	messages.Flush(time.Second) // before any other message, and before the terminal is changed
	if err != nil {
		return fail(r.ExplainCmdline(err), "run")
	}
	defer vm.Close()
	finishStats, err := r.writeStats(vm)
	if err != nil {
		return fail(err, "run")
	}

	received := make(chan os.Signal, 8)
	listen := func() {
		signal.Notify(received, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGCONT)
		signal.Ignore(syscall.SIGPIPE) // a message that nobody reads must not end the program with the terminal raw
	}
	defer signal.Stop(received)
	// Signals before the terminal: one that ends the program in between would leave it raw. Without a terminal one may end it while
	// there is no machine: Go hands each of them to another thread, which takes a tenth of such a start.
	tty := terminal.Is(os.Stdin)
	if tty {
		listen()
	}
	if err := con.Open(func() { sendBreak(vm, con) }); err != nil {
		return fail(err, "run")
	}
	defer con.Restore()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	k := &signals.Handler{Machine: vm, Message: messages.Message, Resumed: con.Terminal().Reapply, Started: make(chan struct{}), Over: make(chan struct{}), Code: make(chan int, 1)}
	k.Abort = func(code int) {
		cancel()
		time.AfterFunc(startGrace, func() { exitIfStarting(k, con, code) })
	}
	if r.Quiet {
		k.Message = func(string) {}
	}
	if tty {
		go k.Handle(received, con.Left())
	}
	if err := process.Hide(); err != nil {
		con.Message(flags.Name + ": warning: guest memory is not hidden from this user's other processes: " + err.Error())
	}
	err = vm.Start(ctx)
	if !tty { // nothing to handle before listen, and a thread to wake
		go k.Handle(received, con.Left())
	}
	close(k.Started)
	if err != nil {
		close(k.Over)
		killed := <-k.Code
		messages.Flush(time.Second)
		con.Restore()
		return startFailed(err, ctx.Err() != nil, killed)
	}
	if len(vm.Plan().Devices) > 0 {
		spareProcessor(r.Config.CPUs)
	}
	if tty {
		defer r.followSize(vm)()
		con.Terminal().TakeKeys()
	} else {
		listen()
	}
	outcome, err := vm.Wait(context.Background())
	close(k.Over)
	killed := <-k.Code
	messages.Flush(time.Second)
	con.Restore()
	code := finishStats(r.writeTimeline(vm, r.reportEnd(outcome, err, killed)))
	vm.Close() // a disk may report only now that something was not written
	messages.Flush(time.Second)
	return code
}

// sendBreak sends a break to the guest's serial port.
func sendBreak(vm *mayfly.VM, con *terminal.Console) {
	if err := vm.Break(); err != nil {
		con.Message(flags.Name + ": " + err.Error())
	}
}

// followSize gives the guest the size of this program's terminal, if a port of its console has that, until stop is called.
func (r *running) followSize(vm *mayfly.VM) (stop func()) {
	port := r.TerminalPort()
	if port < 0 {
		return func() {}
	}
	return terminal.FollowSize(func(columns, rows uint16) {
		_ = vm.ResizeConsole("console", port, columns, rows) // the machine may have ended
	})
}

// exitIfStarting ends the program where the machine's start has not ended.
func exitIfStarting(k *signals.Handler, con *terminal.Console, code int) {
	if !k.Running() {
		con.Restore()
		report.Message("the machine was killed while it started")
		os.Exit(code)
	}
}

// startFailed reports why there is no machine and returns the exit code; code is
// the one of a machine that was killed.
func startFailed(err error, killed bool, code int) int {
	if killed {
		report.Message("the machine was killed while it started")
		return code
	}
	return fail(err, "run")
}

// spareProcessor gives the devices of a machine with so many vCPUs a processor of
// Go's (a P of its scheduler). Each vCPU in the guest holds one; with no other left,
// a device that has work would wait for the runtime's sysmon, up to 10 ms. There is
// no more than one: Go would wake threads that find no work. And there is none where
// one vCPU is alone on one CPU: there sysmon takes at once what is held, and with
// another P it would poll every 20 us for 10 ms after each exit.
func spareProcessor(vcpus int) {
	if runtime.NumCPU() > 1 || vcpus > 1 {
		runtime.GOMAXPROCS(max(runtime.GOMAXPROCS(0), max(vcpus, 1)+1))
	}
}

// reportEnd reports how the machine ended and returns the exit code; killed is that of a machine which a signal or a key killed.
func (r *running) reportEnd(outcome mayfly.Outcome, err error, killed int) int {
	lost := outcome.Lost > 0 || outcome.LostCause != nil
	switch {
	case lost && outcome.Lost == 0:
		report.Message(fmt.Sprintf("the guest's output may be incomplete: %v", outcome.LostCause))
	case lost:
		report.Message(fmt.Sprintf("%d bytes of the guest's output were lost: %v", outcome.Lost, outcome.LostCause))
	}
	if err != nil {
		report.Message(report.Explain(err))
		return exit.Error
	}
	code, text := ending(outcome.Reason, killed)
	if lost && code == exit.OK {
		code = exit.Error
	}
	if code == exit.OK && r.Quiet {
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
	report.Message(text)
	return code
}

// ending returns the exit code of a machine's end, and its description.
func ending(r mayfly.Reason, killed int) (code int, text string) {
	switch r {
	case mayfly.PowerOff:
		return exit.OK, "the guest powered off"
	case mayfly.Halted:
		return exit.OK, "the guest halted"
	case mayfly.Rebooted:
		return exit.OK, "the guest rebooted"
	case mayfly.Panicked:
		return exit.Panic, "the guest's kernel panicked"
	case mayfly.TripleFault:
		return exit.Crash, "the guest crashed"
	case mayfly.Hung:
		return exit.Crash, "the guest hung"
	case mayfly.InternalError, mayfly.FailedEntry:
		return exit.KVM, "KVM could not run the guest"
	case mayfly.ImageChanged:
		return exit.Image, "a file that the guest was loaded from changed under it"
	case mayfly.Killed:
		return killed, "the machine was killed"
	}
	return exit.Error, "the machine ended: " + string(r)
}
