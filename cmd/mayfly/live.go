package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/cmd/internal/ending"
	"github.com/mayfly-vm/mayfly/cmd/internal/flags"
	"github.com/mayfly-vm/mayfly/cmd/internal/process"
	"github.com/mayfly-vm/mayfly/cmd/internal/report"
	"github.com/mayfly-vm/mayfly/cmd/internal/signals"
	"github.com/mayfly-vm/mayfly/internal/terminal"
	"github.com/mayfly-vm/mayfly/timeline"
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
	vm, err := r.open(r.warning(messages))
	messages.Flush(time.Second) // before any other message, and before the terminal is changed
	if err != nil {
		return fail(err, "run")
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
		process.SpareProcessor(r.Config.CPUs)
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

// warning shows warnings of this host, unless the command is to be quiet.
func (r *running) warning(messages *report.Queue) func(string) {
	if r.Quiet {
		return func(string) {}
	}
	return func(s string) { messages.Message(flags.Name + ": " + s) }
}

// open makes the machine, and opens what is written at its end: nothing can be opened when it runs.
// warn is given what the host can't do to confine the machine.
func (r *running) open(warn func(string)) (*mayfly.VM, error) {
	var err error
	if r.Config.Confinement, err = confinement(r.Confine, warn); err != nil {
		return nil, err
	}
	vm, err := mayfly.New(r.Config)
	if err != nil {
		return nil, r.ExplainCmdline(err)
	}
	if r.Timeline != "" {
		if r.timeline, err = timeline.Create(r.Timeline); err != nil {
			vm.Close()
			return nil, fmt.Errorf("--timeline: %w", err)
		}
	}
	return vm, nil
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

// reportEnd reports how the machine ended and returns the exit code; killed is that of a machine which a signal or a key killed.
func (r *running) reportEnd(outcome mayfly.Outcome, err error, killed int) int {
	code, messages := ending.Describe(outcome, err, killed)
	for _, m := range messages {
		if m.Important || !r.Quiet {
			report.Message(m.Text)
		}
	}
	return code
}
