package machinetest

import (
	"context"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// Shell is root's shell on the console of a Debian of package lab/images.
type Shell struct {
	Out  *Output
	Keys io.Writer // the console's input

	count int
}

const (
	loginPrompt = "mayfly login: "
	shellPrompt = "root@mayfly:~# "
)

// Login waits for the prompt and logs in.
func (s *Shell) Login(ctx context.Context) error {
	if err := s.Out.Wait(ctx, loginPrompt); err != nil {
		return fmt.Errorf("no login prompt: %w", err)
	}
	if err := s.Type("root\n"); err != nil {
		return err
	}
	if err := s.Out.Wait(ctx, shellPrompt); err != nil {
		return fmt.Errorf("no shell: %w", err)
	}
	_, err := s.Run(ctx, "stty -echo; bind 'set enable-bracketed-paste off' 2>/dev/null; export PAGER=cat; true")
	return err
}

// Type types the text.
func (s *Shell) Type(text string) error {
	_, err := io.WriteString(s.Keys, text)
	return err
}

var endOfCommand = regexp.MustCompile(`(?s)begin-(\d+)\n(.*?)end-(\d+)-(\d+)\n`)

// Run runs a command and returns what it printed. It is an error if the command fails. What was on the
// console before is forgotten.
func (s *Shell) Run(ctx context.Context, command string) (string, error) {
	s.count++
	s.Out.Forget()
	// Quotes keep what is typed, and comes back, from what is printed.
	if err := s.Type(fmt.Sprintf("echo beg''in-%d; %s\necho e''nd-%d-$?\n", s.count, command, s.count)); err != nil {
		return "", err
	}
	m, err := s.Out.Match(ctx, endOfCommand)
	if err != nil {
		return "", fmt.Errorf("%s: %w", command, err)
	}
	out := strings.ReplaceAll(m[2], shellPrompt, "")
	if m[4] != "0" {
		return out, fmt.Errorf("%s: exit code %s\n%s", command, m[4], m[2])
	}
	return out, nil
}
