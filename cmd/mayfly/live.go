package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/internal/terminal"
)

// live starts the machine and stays until its end.
func (o *runOptions) live() int {
	con := newConsole()
	o.cfg.Console = mayfly.Console{In: con, Out: os.Stdout}
	vm, err := mayfly.New(o.cfg)
	if err != nil {
		return fail(err, "run")
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
	if err := vm.Start(context.Background()); err != nil {
		con.Restore()
		return fail(err, "run")
	}
	if !tty {
		listen()
	}
	k := &killer{vm: vm, say: con.Say, resumed: con.term.Reapply, over: make(chan struct{}), code: make(chan int, 1)}
	if o.quiet {
		k.say = func(string) {}
	}
	go k.listen(signals, con.left)
	outcome, err := vm.Wait(context.Background())
	close(k.over)
	killed := <-k.code
	con.Restore()
	return o.writeTimeline(vm, o.tell(outcome, err, killed))
}

// tell writes how the machine ended and returns the exit code; killed is the killer's.
func (o *runOptions) tell(outcome mayfly.Outcome, err error, killed int) int {
	if outcome.Lost > 0 {
		say(fmt.Sprintf("warning: %d bytes of the guest's output were lost: nobody read standard output for seconds", outcome.Lost))
	}
	if err != nil {
		say(err.Error())
		return exitError
	}
	code, text := ending(outcome.Reason, killed)
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
	case mayfly.InternalError, mayfly.FailedEntry:
		return exitKVM, "KVM could not run the guest"
	case mayfly.ImageChanged:
		return exitImage, "a file that the guest was loaded from changed under it"
	case mayfly.Killed:
		return killed, "the machine was killed"
	}
	return exitError, "the machine ended: " + r.String()
}
