// Package ask is how a test on the host talks with the first process of its
// guest (guest/devinit) over the serial console: lines of questions, lines of
// answers.
//
//	host   7 fill path=/dev/vda off=0 len=1048576 seed=3\n
//	guest  @7 1c2d3e4f {"values":{"sha256":"…"}}\n
//
// Each question is answered when it is done, in whatever order. The number after
// the mark is the CRC-32 of the JSON after it: a console may lose bytes, and the
// kernel may write in between.
package ask

import (
	"encoding/json"
	"fmt"
	"hash/crc32"
	"sort"
	"strconv"
	"strings"
)

// Ready is the line that the guest prints when it takes questions.
const Ready = "devinit: ready"

// MaxLine is the longest question: what a terminal of Linux takes as one line.
const MaxLine = 4000

// Question is one thing to do.
type Question struct {
	ID   int
	Verb string
	Args map[string]string // without blanks
}

// String is the question's line, without its end.
func (q Question) String() string {
	words := make([]string, 0, len(q.Args))
	for k, v := range q.Args {
		words = append(words, k+"="+v)
	}
	sort.Strings(words)
	return strings.Join(append([]string{strconv.Itoa(q.ID), q.Verb}, words...), " ")
}

// ParseQuestion reads a line.
func ParseQuestion(line string) (Question, error) {
	f := strings.Fields(line)
	if len(f) < 2 {
		return Question{}, fmt.Errorf("%q is no question", line)
	}
	id, err := strconv.Atoi(f[0])
	if err != nil {
		return Question{}, fmt.Errorf("%q has no number", line)
	}
	q := Question{ID: id, Verb: f[1], Args: map[string]string{}}
	for _, w := range f[2:] {
		k, v, _ := strings.Cut(w, "=")
		q.Args[k] = v
	}
	return q, nil
}

// Answer is what came of it.
type Answer struct {
	ID     int               `json:"-"`
	Error  string            `json:"error,omitempty"`
	Errno  string            `json:"errno,omitempty"` // such as "EIO", when the kernel gave one
	Values map[string]string `json:"values,omitempty"`
}

// Line is the answer's line, with its end.
func (a Answer) Line() string {
	b, err := json.Marshal(a)
	if err != nil {
		panic(err) // strings only
	}
	return fmt.Sprintf("@%d %08x %s\n", a.ID, crc32.ChecksumIEEE(b), b)
}

// ParseAnswer reads a line; ok is false for a line that is no answer.
func ParseAnswer(line string) (a Answer, ok bool, err error) {
	rest, ok := strings.CutPrefix(line, "@")
	if !ok {
		return a, false, nil
	}
	f := strings.SplitN(strings.TrimRight(rest, "\r\n"), " ", 3)
	if len(f) != 3 {
		return a, false, nil
	}
	if a.ID, err = strconv.Atoi(f[0]); err != nil {
		return a, false, nil
	}
	if sum := fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(f[2]))); sum != f[1] {
		return a, true, fmt.Errorf("answer %d has CRC %s, its line says %s: bytes were lost or came between: %q", a.ID, sum, f[1], f[2])
	}
	return a, true, json.Unmarshal([]byte(f[2]), &a)
}
