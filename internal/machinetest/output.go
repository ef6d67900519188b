package machinetest

import (
	"bytes"
	"context"
	"regexp"
	"strings"
	"sync"
)

// Output keeps what a guest writes to its console, without carriage returns, for
// tests that wait for some of it. The zero value is empty and ready for use.
type Output struct {
	mu   sync.Mutex
	buf  bytes.Buffer
	more chan struct{} // closed at the next write; nil while nobody waits
}

// Write takes what the guest writes.
func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, c := range p {
		if c != '\r' {
			o.buf.WriteByte(c)
		}
	}
	if o.more != nil {
		close(o.more)
		o.more = nil
	}
	return len(p), nil
}

// String is all of it.
func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// Forget empties it.
func (o *Output) Forget() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.buf.Reset()
}

// Tail is the end of the output, for a message.
func (o *Output) Tail() string {
	const keep = 3000
	t := o.String()
	if len(t) > keep {
		t = "…" + t[len(t)-keep:]
	}
	return "The console ends with:\n" + t
}

// Wait returns when the text has been written.
func (o *Output) Wait(ctx context.Context, text string) error {
	from := 0
	return o.until(ctx, func(b []byte) bool {
		from = min(from, len(b)) // it may have been emptied
		found := bytes.Contains(b[from:], []byte(text))
		from = max(0, len(b)-len(text))
		return found
	})
}

// WaitCount returns when the text has been written n times.
func (o *Output) WaitCount(ctx context.Context, text string, n int) error {
	return o.until(ctx, func(b []byte) bool { return bytes.Count(b, []byte(text)) >= n })
}

// Match returns the first match of the expression, with its groups.
func (o *Output) Match(ctx context.Context, re *regexp.Regexp) (groups []string, err error) {
	err = o.until(ctx, func(b []byte) bool {
		groups = re.FindStringSubmatch(string(b))
		return groups != nil
	})
	return groups, err
}

// Line returns the first whole line that starts with the prefix, without its end.
func (o *Output) Line(ctx context.Context, prefix string) (line string, err error) {
	err = o.until(ctx, func(b []byte) bool {
		for l := range strings.Lines(string(b)) {
			var whole bool
			if line, whole = strings.CutSuffix(l, "\n"); whole && strings.HasPrefix(line, prefix) {
				return true
			}
		}
		line = ""
		return false
	})
	return line, err
}

// until returns when ok is true of the output. ok must not keep its argument.
func (o *Output) until(ctx context.Context, ok func([]byte) bool) error {
	for {
		o.mu.Lock()
		found := ok(o.buf.Bytes())
		if o.more == nil {
			o.more = make(chan struct{})
		}
		more := o.more
		o.mu.Unlock()
		if found {
			return nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
