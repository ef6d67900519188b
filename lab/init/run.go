package main

import (
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/mayfly-vm/mayfly/lab/internal/link"
)

// dumpTime is what a Go program gets after SIGQUIT to print its goroutines.
const dumpTime = 5 * time.Second

// run runs the program, passes its output on and brings its files back.
func run(w *link.Writer, s link.Spec) link.Ending {
	outR, outW, err := os.Pipe()
	if err != nil {
		return link.Ending{Code: -1, Fault: err.Error()}
	}
	errR, errW, err := os.Pipe()
	if err != nil {
		return link.Ending{Code: -1, Fault: err.Error()}
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return link.Ending{Code: -1, Fault: err.Error()}
	}
	start := time.Now()
	pid, err := syscall.ForkExec(s.Path, append([]string{s.Path}, s.Args...), &syscall.ProcAttr{
		Dir:   s.Dir,
		Env:   append([]string{"PATH=/job:/lab/bin:/bin", "HOME=/tmp", "TMPDIR=/tmp", "USER=root"}, s.Env...),
		Files: []uintptr{null.Fd(), outW.Fd(), errW.Fd()},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return link.Ending{Code: -1, Fault: "start " + s.Path + ": " + err.Error()}
	}
	outW.Close()
	errW.Close()

	var pumps sync.WaitGroup
	pumps.Go(func() { pump(w, link.Stdout, outR) })
	pumps.Go(func() { pump(w, link.Stderr, errR) })

	status, timedOut := wait(pid, s.Timeout)
	end := link.Ending{Code: status.ExitStatus(), TimedOut: timedOut, Elapsed: time.Since(start)}
	if status.Signaled() {
		end.Signal = int(status.Signal())
		end.Code = 128 + end.Signal
	}
	// Processes that the program has left hold its pipes open.
	syscall.Kill(-1, syscall.SIGKILL)
	pumps.Wait()
	for _, name := range s.Collect {
		if err := sendFile(w, s.Dir, name); err != nil {
			end.Missing = append(end.Missing, name)
		}
	}
	return end
}

func pump(w *link.Writer, k link.Kind, r io.Reader) {
	buf := make([]byte, 64<<10)
	for {
		n, err := r.Read(buf)
		if n > 0 {
			w.Write(k, buf[:n])
		}
		if err != nil {
			return
		}
	}
}

// wait reaps all children, as PID 1 must, until pid ends.
func wait(pid int, timeout time.Duration) (status syscall.WaitStatus, timedOut bool) {
	var mu sync.Mutex
	if timeout > 0 {
		quit := time.AfterFunc(timeout, func() {
			mu.Lock()
			timedOut = true
			mu.Unlock()
			syscall.Kill(pid, syscall.SIGQUIT)
		})
		kill := time.AfterFunc(timeout+dumpTime, func() { syscall.Kill(pid, syscall.SIGKILL) })
		defer quit.Stop()
		defer kill.Stop()
	}
	for {
		got, err := syscall.Wait4(-1, &status, 0, nil)
		if err == syscall.EINTR {
			continue
		}
		if got == pid || err != nil {
			mu.Lock()
			defer mu.Unlock()
			return status, timedOut
		}
	}
}

func sendFile(w *link.Writer, dir, name string) error {
	path := name
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, name)
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	buf := make([]byte, link.MaxPayload/2)
	for first := true; ; first = false {
		n, err := io.ReadFull(f, buf)
		if n > 0 || first {
			w.Write(link.File, link.AppendFilePiece(nil, name, buf[:n]))
		}
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
